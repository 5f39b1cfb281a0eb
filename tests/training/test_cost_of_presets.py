"""Every preset of conf, a few tiny steps of it: what torch counts while it runs is what its account says, within 1 %.

3F a trained sample counts a gradient of the pixels, which nothing asks for, and not that fused attention computes its scores again in
the backward pass: together 0.4 % too much here.
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

from superbatch.config import learner_settings, method_names
from superbatch.data.fields import Source
from superbatch.data.sampling import rows_aside
from superbatch.models import ClipModel, build_model
from superbatch.models.cost import without_fastpath
from superbatch.nested import merge
from superbatch.options import LearnerSettings, ModelSettings
from superbatch.tasks import Contrastive, Reference
from superbatch.tasks.contrastive import IMAGE, TOKENS
from superbatch.tasks.flexi import LOW, Flexi, flexi_fields
from superbatch.training import Job, TrainResult, adapt, loop, picks, train
from superbatch.training.flops import SCORE, Samples
from tests.project import PROJECT
from tests.training.conftest import in_memory, random_embeddings

ROWS, WORDS, SIDE, CONTEXT = 800, 64, 32, 20
CONF = {
    name: yaml.safe_load((PROJECT / "conf" / "base" / f"{name}.yml").read_text())
    for name in ("parameters", "parameters_methods")
}
PRESETS = {name: CONF["parameters_methods"][name]["learner"] for name in method_names(CONF["parameters_methods"])}
PROXY = {"selection": {"proxy": {"config": "conf/models/proxy.json"}}}
TWICE, AGAIN = {"training": {"accumulate": 2}}, {"training": {"checkpoint_activations": True}}
CASES = {name: (name, {}) for name in PRESETS} | {
    "jest, a proxy": ("jest", PROXY),
    "jest, all twice": ("jest", merge(TWICE, AGAIN)),
    "flexi_jest, all twice": ("flexi_jest", merge(TWICE, AGAIN)),
}


def few_words(config: str, folder: Path, loss: str) -> ClipModel:
    """Build a model of conf with a small vocabulary, which costs no operations."""
    model = json.loads((PROJECT / config).read_text())
    model["model_cfg"]["text_cfg"]["vocab_size"] = WORDS
    file = folder / Path(config).name
    file.write_text(json.dumps(model))
    return build_model(ModelSettings(config=str(file)), loss=loss, batch_size=32, seed=0)


def sized(name: str, changes: dict[str, Any]) -> LearnerSettings:
    """A preset's settings, its run a few steps and its batches a few samples."""
    found = learner_settings(CONF["parameters"]["learner"], merge(PRESETS[name], changes), name)
    sizes = {"batch_size": 32, "steps": 2, "threads": 1, "device": "cpu", "evaluate_every": 2, "checkpoint_every": 2}
    follows = found.selection.adapt and replace(found.selection.adapt, every=1, sample=40)
    selection = replace(found.selection, num_chunks=4, adapt=follows)
    return replace(found, training=replace(found.training, **sizes), selection=selection)


def job_of(name: str, settings: LearnerSettings, folder: Path) -> Job:
    """A run on made-up rows. Which rows a method draws from costs nothing at a step, so the pool's settings are left aside."""
    training, selection = settings.training, settings.selection
    clip = few_words(settings.model.config, folder, training.loss)
    proxy = None if selection.proxy is None else few_words(selection.proxy.config, folder, training.loss)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (ROWS, 3, SIDE, SIDE), dtype=np.uint8)
    fields = {IMAGE: in_memory(pixels), TOKENS: in_memory(rng.integers(1, WORDS, (ROWS, CONTEXT)))}
    reference, task = Reference(10.0, -1.0), None
    if settings.flexi is None:
        task = Contrastive(clip, training, selection, reference, proxy)
    else:
        task = Flexi(clip, training, selection, settings.flexi, reference)
        at_low = lambda side: in_memory(pixels[:, :, :: SIDE // side, :: SIDE // side])  # noqa: E731
        fields |= flexi_fields(task, fields, at_low, training.seed)
    source = Source(fields | random_embeddings(ROWS, 64), aside=rows_aside(selection, ROWS, training.seed))
    return Job(name, task, source, training, selection, settings.super_batch_size, {}, folder / "state")


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
    count(adapt, "_p_values", "score")
    return found


def low_share(job: Job, result: TrainResult) -> float:
    """The share of the trained samples that were drawn to train low; the account takes its mean, `flexi.low_share`."""
    picks = pq.read_table(result.training_dir / "picks.parquet").to_pandas()
    steps = picks[picks["chosen"]].groupby("step")["row"]
    return float(np.mean([job.source.fields[LOW].read(rows.to_numpy(), step).mean() for step, rows in steps]))


@pytest.mark.parametrize(("name", "changes"), CASES.values(), ids=CASES)
def test_the_account_is_what_torch_counts(name, changes, counted, tmp_path: Path) -> None:
    job = job_of(name, sized(name, changes), tmp_path)
    result = train(job)
    flops, ledger = result.summary["flops"], pq.read_table(result.training_dir / "ledger.parquet").to_pylist()[-1]
    samples = Samples(ledger["samples_trained"], ledger["samples_scored"], ledger.get("samples_measured", 0))
    assert flops["as_executed"] == job.account().by_tower(samples)
    assert flops["as_executed_total"] == pytest.approx(job.account().total(samples))
    assert result.summary["plan"]["flops_as_executed"] == pytest.approx(flops["as_executed_total"])
    if LOW in job.source.fields:
        job.task.flexi = replace(job.task.flexi, low_share=low_share(job, result))
    told, towers, about = (
        job.account().parts(samples),
        job.account().by_tower(samples),
        partial(pytest.approx, rel=0.01),
    )
    assert sum(value for part, value in told.items() if part != SCORE) == about(counted["train"])
    assert told[SCORE] == about(counted["score"]) and towers["image"][SCORE] == about(counted["score image"])
    assert (counted["score"] > 0) == bool(job.scoring or job.selection.adapt)
