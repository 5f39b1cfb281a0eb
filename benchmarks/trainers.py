"""The two trainers that are compared: superbatch's and open_clip's own, on the same shards and model configuration."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from superbatch.training.assemble import SetFiles, build_proxy, learner_job, share_vocabulary
from turns import Wrap

from superbatch.options import LearnerSettings, ModelSettings, OptimizerSettings, SelectionSettings, TrainingSettings
from superbatch.training import loop
from superbatch.training.job import Job, Reference

UNIFORM = SelectionSettings()
_here = threading.local()
_make_loader = loop.make_loader


def _wrapped_loader(*arguments: Any) -> Iterable[Any]:
    return _here.wrap(_make_loader(*arguments))


loop.make_loader = _wrapped_loader  # type: ignore[assignment]


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


class RandomReference:
    """Reference embeddings of random rows: what looking them up and choosing cost, without a reference."""

    def __init__(self, rows: int, dim: int) -> None:
        made = np.random.default_rng(7).normal(size=(rows, dim)).astype(np.float32)
        self.made = made / np.linalg.norm(made, axis=1, keepdims=True)

    def rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (n, dim) unit vectors twice."""
        return self.made[rows % len(self.made)], self.made[rows % len(self.made)]


def our_job(
    case: Case, pool: SetFiles, folder: Path, *, compact: bool = True, selection: SelectionSettings = UNIFORM
) -> Job:
    """Make a run of ours; its state goes to `folder`. A proxy is built as the learner's settings say."""
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
    settings = LearnerSettings(model=model, training=training)
    job = learner_job(case.name, settings, pool, pool, folder, folder / "state", None)
    if selection.method != "uniform":
        job.selection = selection
        job.super_batch_size = replace(settings, selection=selection).super_batch_size
        job.reference = Reference(RandomReference(4_096, case.config["model_cfg"]["embed_dim"]), 10.0, -10.0)
    if selection.proxy is not None:
        job.proxy = build_proxy(selection.proxy, job.clip, training, case.name)
        share_vocabulary(job.proxy, job.vocabulary, selection.proxy.config)
    return job


def ours(case: Case, pool: SetFiles, wrap: Wrap, **options: Any) -> None:
    """Train with superbatch."""
    with TemporaryDirectory() as folder:
        job = our_job(case, pool, Path(folder), **options)
        _here.wrap = wrap
        loop.train(job)


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
