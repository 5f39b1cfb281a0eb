"""Every preset of conf, a few tiny steps of it: what torch counts while it runs is what its account says, within 1 % (of images alone 1.5 %).

3F a trained sample counts a gradient of the pixels, which nothing asks for, and not that fused attention computes its scores again in
the backward pass: together 0.4 % too much here, and 1.3 % where image towers are all there is.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from torch.utils.flop_counter import FlopCounterMode

from superbatch import options
from superbatch.config import learner_settings, method_names
from superbatch.data.fields import Source
from superbatch.data.sampling import rows_aside
from superbatch.models import ClipModel, build_model
from superbatch.models.classifier import Classifier
from superbatch.models.cost import without_fastpath
from superbatch.nested import merge
from superbatch.options import LearnerSettings, ModelSettings, PoolSettings
from superbatch.tasks import Contrastive, Reference
from superbatch.tasks.classact import LABEL, REFERENCE_LOSS, ClassAct
from superbatch.tasks.contrastive import IMAGE, TOKENS
from superbatch.tasks.distilled import Distilled, separate_fields
from superbatch.tasks.flexi import LOW, Flexi, flexi_fields
from superbatch.tasks.momentum_contrast import MomentumContrast
from superbatch.tasks.views import VIEWS, views_field
from superbatch.training import Job, TrainResult, adapt, loop, picks, train
from superbatch.training.flops import SCORE, Samples
from tests.project import PROJECT
from tests.training.conftest import in_memory, random_embeddings

ROWS, WORDS, SIDE, CONTEXT = 800, 64, 32, 20
CLASSES = tuple(map(str, range(100)))
CONF = {
    name: yaml.safe_load((PROJECT / "conf" / "base" / f"{name}.yml").read_text())
    for name in ("parameters", "parameters_methods")
}
PROXY = {"selection": {"proxy": {"config": "conf/models/proxy.json"}}}
ALL_TWICE = {"training": {"accumulate": 2, "checkpoint_activations": True}}


def preset(name: str, changes: dict[str, Any] | None = None) -> LearnerSettings:
    """A preset's settings with some changes, its run a few steps and its batches a few samples."""
    block = merge(CONF["parameters_methods"][name]["learner"], changes or {})
    found = learner_settings(CONF["parameters"]["learner"], block, name)
    sizes = {"batch_size": 32, "steps": 2, "threads": 1, "device": "cpu", "evaluate_every": 2, "checkpoint_every": 2}
    follows = found.selection.adapt and replace(found.selection.adapt, every=1, sample=40)
    selection = replace(found.selection, num_chunks=4, adapt=follows)
    return replace(found, training=replace(found.training, **sizes), selection=selection)


def cases() -> dict[str, LearnerSettings]:
    """Every preset by name; names of those whose steps are the same are joined: from which rows they draw costs nothing at a step."""
    names: dict[LearnerSettings, list[str]] = {}
    for name in method_names(CONF["parameters_methods"]):
        same = replace(preset(name), pool=PoolSettings(), warm_start=False)
        names.setdefault(same, []).append(name)
    more = {
        "jest, a proxy": preset("jest", PROXY),
        "jest, all twice": preset("jest", ALL_TWICE),
        "active_clip_online, all twice": preset("active_clip_online", ALL_TWICE),
        "flexi_jest, all twice": preset("flexi_jest", ALL_TWICE),
        "classact, all twice": preset("classact", ALL_TWICE),
        "moclr, all twice": preset("moclr", ALL_TWICE),
    }
    return {" = ".join(joined): settings for settings, joined in names.items()} | more


def few_words(config: str, folder: Path, loss: str) -> ClipModel:
    """Build a model of conf with a small vocabulary, which costs no operations."""
    model = json.loads((PROJECT / config).read_text())
    model["model_cfg"]["text_cfg"]["vocab_size"] = WORDS
    file = folder / Path(config).name
    file.write_text(json.dumps(model))
    return build_model(ModelSettings(config=str(file)), loss=loss, batch_size=32, seed=0)


def job_of(settings: LearnerSettings, folder: Path) -> Job:
    """A run on made-up rows."""
    training, selection = settings.training, settings.selection
    clip = few_words(settings.model.config, folder, training.loss)
    along = {where: few_words(model.config, folder, training.loss) for where, model in selection.along.items()}
    proxy = along.get(options.PROXY)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (ROWS, 3, SIDE, SIDE), dtype=np.uint8)
    fields = {IMAGE: in_memory(pixels), TOKENS: in_memory(rng.integers(1, WORDS, (ROWS, CONTEXT)))}
    reference, task = Reference(10.0, -1.0), None
    fields |= random_embeddings(ROWS, 64)
    if settings.moclr is not None:
        task = MomentumContrast(clip, training, settings.moclr)
        fields |= {VIEWS: views_field(training.seed, ROWS, 2)}
    elif settings.labels is not None:
        learner, small = (one and Classifier(one, CLASSES, 10.0, 0) for one in (clip, proxy))
        task = ClassAct(learner, training, selection, settings.labels.smoothing, small)
        fields |= {LABEL: in_memory(rng.integers(0, len(CLASSES), ROWS)), REFERENCE_LOSS: in_memory(rng.random(ROWS))}
    elif settings.distill is not None:
        task = Distilled(clip, training, selection, settings.distill, reference, proxy)
        fields |= separate_fields(fields, training.seed) if settings.distill.batch == "separate" else {}
    elif settings.flexi is None:
        task = Contrastive(clip, training, selection, reference, proxy, along=along.get(options.ONLINE))
    else:
        task = Flexi(clip, training, selection, settings.flexi, reference)
        at_low = lambda side: in_memory(pixels[:, :, :: SIDE // side, :: SIDE // side])  # noqa: E731
        fields |= flexi_fields(task, fields, at_low, training.seed)
    source = Source(fields, aside=rows_aside(selection, ROWS, training.seed))
    return Job("preset", task, source, training, selection, settings.super_batch_size, {}, folder / "state")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Operations while a run trains and scores; of scoring, `score image` are the image tower's. Choosing is not among them."""
    found: Counter[str] = Counter()

    def count(module: Any, name: str, part: str) -> None:
        real = getattr(module, name)

        def counting(*arguments: Any) -> Any:
            with without_fastpath(), FlopCounterMode(display=False) as counter:
                result = real(*arguments)
            by_module = counter.get_flop_counts()
            found[part] += counter.get_total_flops()
            found[f"{part} image"] += sum(by_module.get("VisionTransformer", {}).values())
            return result

        monkeypatch.setattr(module, name, counting)

    count(loop, "train_step", "train")
    count(picks, "score", "score")
    count(adapt, "_embedded", "score")
    return found


def low_share(job: Job, result: TrainResult) -> float:
    """The share of the trained samples that were drawn to train low; the account takes its mean, `flexi.low_share`."""
    picks = pq.read_table(result.training_dir / "picks.parquet").to_pandas()
    steps = picks[picks["chosen"]].groupby("step")["row"]
    return float(np.mean([job.source.fields[LOW].read(rows.to_numpy(), step).mean() for step, rows in steps]))


@pytest.mark.parametrize("settings", cases().values(), ids=cases())
def test_the_account_is_what_torch_counts(settings: LearnerSettings, counted: Counter[str], tmp_path: Path) -> None:
    job = job_of(settings, tmp_path)
    result = train(job)
    flops, ledger = result.summary["flops"], pq.read_table(result.training_dir / "ledger.parquet").to_pylist()[-1]
    samples = Samples(ledger["samples_trained"], ledger["samples_scored"], ledger.get("samples_measured", 0))
    assert flops["as_executed"] == job.account().by_member(samples)
    assert flops["as_executed_total"] == pytest.approx(job.account().total(samples))
    assert result.summary["plan"]["flops_as_executed"] == pytest.approx(flops["as_executed_total"])
    if LOW in job.source.fields:
        job.task.flexi = replace(job.task.flexi, low_share=low_share(job, result))
    told, towers, about = (
        job.account().parts(samples),
        job.account().by_member(samples),
        partial(pytest.approx, rel=0.01 if settings.labels is settings.moclr is None else 0.015),
    )
    assert sum(value for part, value in told.items() if part != SCORE) == about(counted["train"])
    assert told[SCORE] == about(counted["score"]) and towers["image"][SCORE] == about(counted["score image"])
    assert (counted["score"] > 0) == bool(job.scoring or job.selection.adapt)
