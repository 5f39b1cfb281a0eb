"""The two trainers that are compared: superbatch's and open_clip's own, on the same shards and model configuration."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from turns import Wrap

from superbatch.data.fields import Batch, Field, Source
from superbatch.options import (
    FlexiSettings,
    LearnerSettings,
    ModelSettings,
    OptimizerSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.tasks import Contrastive, Reference, SetFiles, learner_job
from superbatch.tasks.contrastive import CACHED
from superbatch.tasks.flexi import Flexi
from superbatch.tasks.proxy import build_proxy, share_vocabulary
from superbatch.training import Job, picks, train
from superbatch.training.reading import SCORING, TRAINING, Reader

UNIFORM = SelectionSettings()
_here = threading.local()
_read_ahead = picks.read_ahead


def _wrapped_reading(reader: Reader, phase: str, wanted: Iterable[tuple[int, np.ndarray]]) -> Iterator[Batch]:
    """Wrap the batches that a step begins with; what else it reads lies within the step."""
    batches = _read_ahead(reader, phase, wanted)
    return iter(_here.wrap(batches)) if phase == _here.phase else batches


picks.read_ahead = _wrapped_reading


@dataclass(frozen=True)
class Case:
    """What both train: model configuration, batch, precision, device, worker processes, steps a run."""

    name: str
    config: dict[str, Any]
    batch: int
    steps: int
    precision: str = "fp32"
    device: str = "cpu"
    workers: int = 0
    loss: str = "softmax"


def vit(size: int, patch: int, width: int, layers: int, context: int) -> dict[str, Any]:
    """Return open_clip's configuration of a ViT with a text transformer of the same width."""
    vision = {"image_size": size, "patch_size": patch, "width": width, "layers": layers, "head_width": 64}
    text = {"context_length": context, "vocab_size": 49_408, "width": width, "heads": width // 64, "layers": 4}
    half = [0.5, 0.5, 0.5]
    return {
        "model_cfg": {"embed_dim": width, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": half, "std": half, "interpolation": "bicubic", "resize_mode": "shortest"},
    }


def write_config(case: Case, folder: Path) -> Path:
    """Write the configuration as a directory that open_clip reads, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(case.config))
    return folder


@dataclass(frozen=True)
class RandomEmbeddings:
    """A field of a reference's embeddings, at random, in float16: what reading them and choosing by them cost, without a reference.

    Attributes:
        num_rows, dim: how many, of which width.
    """

    num_rows: int
    dim: int

    def __len__(self) -> int:
        return self.num_rows

    @cached_property
    def made(self) -> np.ndarray:
        """Unit vectors that rows take in turn."""
        found = np.random.default_rng(7).normal(size=(min(self.num_rows, 4_096), self.dim))
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)

    def read(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return (n, dim) unit vectors."""
        return self.made[rows % len(self.made)]


def random_reference(num_rows: int, dim: int) -> dict[str, Field]:
    """Return the fields of a made-up reference's embeddings of both sides."""
    return {name: RandomEmbeddings(num_rows, dim) for name in CACHED}


def our_job(
    case: Case,
    pool: SetFiles,
    folder: Path,
    *,
    compact: bool = True,
    selection: SelectionSettings = UNIFORM,
    flexi: FlexiSettings | None = None,
) -> Job:
    """Make a run of ours; its state goes to `folder`. A proxy is built as the learner's settings say; a low view has larger patches."""
    training = TrainingSettings(
        batch_size=case.batch,
        steps=case.steps,
        loss=case.loss,  # type: ignore[arg-type]
        device=case.device,
        precision="bf16" if case.precision == "amp_bf16" else "fp32",
        workers=case.workers,
        checkpoint_every=case.steps,
        evaluate_every=case.steps,
        fresh=True,
        optimizer=OptimizerSettings(learning_rate=5e-4, weight_decay=0.2, beta2=0.98, epsilon=1e-6),
    )
    model = ModelSettings(config=str(write_config(case, folder / "model")), compact_vocabulary=compact)
    settings = LearnerSettings(model=model, training=training, flexi=flexi)
    job = learner_job(case.name, settings, pool, folder / "state")
    return job if selection.method == "uniform" else _choosing(job, settings, selection, case)


def _choosing(job: Job, settings: LearnerSettings, selection: SelectionSettings, case: Case) -> Job:
    """Make a uniform job one that chooses by a made-up reference."""
    assert isinstance(job.task, Contrastive), "a learner's task"
    clip, vocabulary, training = job.task.clip, job.task.vocabulary, job.training
    proxy = None
    if selection.proxy is not None:
        proxy = build_proxy(selection.proxy, clip, training, case.name)
        share_vocabulary(proxy, vocabulary, selection.proxy.config)
    reference = Reference(10.0, -10.0)
    if settings.flexi is None:
        task = Contrastive(clip, training, selection, reference, proxy, vocabulary)
    else:
        task = Flexi(clip, training, selection, settings.flexi, reference, vocabulary)
    made = random_reference(job.source.num_rows, case.config["model_cfg"]["embed_dim"])
    return replace(
        job,
        task=task,
        source=Source({**job.source.fields, **made}),
        selection=selection,
        super_batch_size=replace(settings, selection=selection).super_batch_size,
    )


def begins_with(job: Job) -> str:
    """Return the phase of reading that a step begins with."""
    return TRAINING if job.selection.method == "uniform" or job.task.reads.ahead else SCORING


def ours(case: Case, pool: SetFiles, wrap: Wrap, **options: Any) -> None:
    """Train with superbatch."""
    with TemporaryDirectory() as folder:
        job = our_job(case, pool, Path(folder), **options)
        _here.wrap, _here.phase = wrap, begins_with(job)
        train(job)


def open_clips(case: Case, shards: str, wrap: Wrap) -> None:
    """Train with `python -m open_clip_train.main`, called in this process.

    Two things differ from a plain call, both to its advantage or needed: webdataset 1.x marks the end of a shard by an empty
    sample, on which open_clip 3.3.0 stumbles, so the mark is switched off; and its sample shuffle starts full (1,000 samples)
    instead of reading two samples for each that it gives until it holds 5,000.
    """
    from open_clip_train import data, main

    torch.use_deterministic_algorithms(False)  # ours asks for them on a GPU
    if not isinstance(data.tar_file_expander, partial):
        data.tar_file_expander = partial(data.tar_file_expander, eof_value=None)
    data._SAMPLE_SHUFFLE_SIZE = data._SAMPLE_SHUFFLE_INITIAL
    train_one_epoch = main.train_one_epoch

    def timed(model: Any, loaders: dict[str, Any], *arguments: Any, **options: Any) -> None:
        loaders["train"].dataloader = wrap(loaders["train"].dataloader)
        train_one_epoch(model, loaders, *arguments, **options)

    with TemporaryDirectory() as folder:
        main.train_one_epoch, main.setup_logging = timed, lambda *_: None
        try:
            main.main(_flags(case, shards, folder))
        finally:
            main.train_one_epoch = train_one_epoch


def _flags(case: Case, shards: str, folder: str) -> list[str]:
    samples = str(case.steps * case.batch)
    flags = ["--dataset-type", "webdataset", "--train-data", shards, "--train-num-samples", samples, "--epochs", "1"]
    flags += ["--model", f"local-dir:{write_config(case, Path(folder) / 'model')}", "--device", case.device]
    flags += ["--precision", case.precision, "--batch-size", str(case.batch), "--workers", str(case.workers)]
    flags += ["--warmup", "1", "--lr", "5e-4", "--wd", "0.2", "--beta2", "0.98", "--eps", "1e-6"]
    flags += ["--grad-clip-norm", "1.0", "--seed", "0", "--log-every-n-steps", "1000", "--save-frequency", "0"]
    flags += ["--logs", folder, "--name", "run"] + (["--siglip"] if case.loss == "sigmoid" else [])
    return flags
