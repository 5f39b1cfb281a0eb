"""MoCLR through the real engine: loss against float64, the target, views, resume, ranks, micro-batches, cost, checkpoint."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from superbatch.data.augment import NUMBERS, augmented
from superbatch.data.fields import Source
from superbatch.errors import UserError
from superbatch.models import build_model, read_metadata
from superbatch.models.headed import is_image_only, load_measured
from superbatch.options import (
    AugmentSettings,
    MoclrSettings,
    ModelSettings,
    OptimizerSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.tasks.contrastive import IMAGE
from superbatch.tasks.momentum_contrast import MomentumContrast
from superbatch.tasks.views import VIEWS, view_of, views_field
from superbatch.training import Job, train
from tests.in_ranks import in_ranks
from tests.tiny_model import tiny_model_cfg
from tests.training.conftest import ROWS, in_memory
from tests.training.test_ranks import assert_close
from tests.training.training_helpers import Killed, kill_after, outcome

MOCLR = MoclrSettings(hidden=12, projection=6, momentum=0.8)


@pytest.fixture
def make_job(model_file: Path, tmp_path: Path):
    """Return a function that makes the same job anew, from its first weights."""

    def make(state: str = "state", moclr: MoclrSettings = MOCLR, **changes: Any) -> Job:
        torch.manual_seed(99)  # whatever the global state is, a run does not depend on it
        options = {"batch_size": 6, "steps": 9, "checkpoint_every": 3, "evaluate_every": 5, "threads": 1}
        options |= {"loss": "softmax", "optimizer": OptimizerSettings(learning_rate=3e-3)}
        training = TrainingSettings(**{**options, **changes})
        model = ModelSettings(config=str(model_file))
        clip = build_model(model, loss="softmax", batch_size=6, seed=training.seed)
        task = MomentumContrast(clip, training, moclr)
        evaluate = lambda clip: {"set/sum": float(clip.model.visual(torch.ones(1, 3, 16, 16)).sum())}  # noqa: E731
        source = Source(fields(training.seed))
        return Job("job", task, source, training, SelectionSettings(), 6, {}, tmp_path / state, evaluate)

    return make


def fields(seed: int = 0) -> dict[str, Any]:
    """Images of a colour each, and noise."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 200, (ROWS, 3, 1, 1))
    pixels = (colours + rng.integers(0, 50, (ROWS, 3, 16, 16))).astype(np.uint8)
    return {IMAGE: in_memory(pixels), VIEWS: views_field(seed, ROWS, 2)}


def placed(job: Job) -> Job:
    job.task.place(torch.device("cpu"), job.training)
    return job


def batch_of(job: Job, rows: int = 6, step: int = 0):
    return job.source.read(job.task.reads.training, np.arange(rows), step)


def sides64(job: Job, model: Any, pixels: Tensor, heads: tuple[str, ...]) -> Tensor:
    """What a model makes of a view: float64 from its embedding on."""
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) * 255 for value in job.task.clip.mean_std)
    with torch.no_grad():
        found = normalize(model.visual((pixels - mean) / std), dim=1)
        for name in heads:
            found = model.heads[name](found)
    return (found / found.norm(dim=1, keepdim=True)).double()


@pytest.mark.parametrize("predictor", [True, False])
def test_the_loss_is_info_nce_of_each_view_against_the_targets_other(make_job, predictor):
    job = placed(make_job(moclr=replace(MOCLR, predictor=predictor)))
    with torch.no_grad():
        for parameter in job.task.target.parameters():
            parameter.mul_(1.1)  # a target that is not the learner
    batch, expected = batch_of(job), 0.0
    heads = ("projector", "predictor") if predictor else ("projector",)
    for one, other in ((0, 1), (1, 0)):
        numbers = [batch[VIEWS][:, v * NUMBERS : (v + 1) * NUMBERS] for v in (one, other)]
        views = [augmented(batch[IMAGE], part, MOCLR.augment) for part in numbers]
        query, key = (
            sides64(job, job.task.learner, views[0], heads),
            sides64(job, job.task.target, views[1], heads[:1]),
        )
        power = torch.exp(query @ key.T / MOCLR.temperature)
        expected = expected - torch.log(power.diagonal() / power.sum(1))
    outputs = job.task.outputs("learner", batch)
    loss = job.task.loss("learner", outputs, batch, None)
    assert float(loss.detach()) == pytest.approx(float(expected.mean()), rel=1e-5)
    rows, finite = job.task.row_losses("learner", batch)
    torch.testing.assert_close(rows, expected, rtol=1e-5, atol=1e-6)
    assert finite.all() and not any(outputs[f"key_{number}"].requires_grad for number in (0, 1))
    assert all(g is not None for g in torch.autograd.grad(loss, list(job.task.learner.parameters())))


def test_the_target_starts_as_the_learner_and_follows_it_ever_slower(make_job):
    job = placed(make_job())
    learner, target = job.task.learner.state_dict(), job.task.target.state_dict()
    assert set(target) < set(learner) and all(torch.equal(value, learner[name]) for name, value in target.items())
    assert job.task.momentum(0) == pytest.approx(0.8) and job.task.momentum(9) == pytest.approx(1)
    assert job.task.momentum(3) == pytest.approx(1 - 0.2 * (math.cos(math.pi / 3) + 1) / 2)
    before = {name: value.clone() for name, value in target.items()}
    with torch.no_grad():
        for parameter in job.task.learner.parameters():
            parameter.add_(1)
        job.task.after_update(3)
    share = job.task.momentum(3)
    for name, value in job.task.target.state_dict().items():
        expected = share * before[name] + (1 - share) * learner[name]  # state_dict shares the weights
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


def test_views_differ_by_step_and_row_and_by_nothing_else(make_job):
    job = make_job()
    batch, again = batch_of(job), job.source.read(job.task.reads.training, np.array([4, 1]), 0)
    for number in (0, 1):
        views = view_of(batch, number, MOCLR.augment)
        assert torch.equal(views[[4, 1]], view_of(again, number, MOCLR.augment))
        assert not torch.equal(views, view_of(batch_of(job, step=1), number, MOCLR.augment))
    assert not torch.equal(view_of(batch, 0, MOCLR.augment), view_of(batch, 1, MOCLR.augment))
    assert not torch.equal(batch_of(make_job(seed=1))[VIEWS], batch[VIEWS])


@pytest.mark.parametrize("how", [{}, {"accumulate": 2}, {"workers": 1}])
def test_killed_and_resumed_is_bit_identical(make_job, monkeypatch, how):
    expected = outcome(train(make_job(state="never", **how)))
    for steps in (4, 2):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(make_job(**how))
    assert outcome(train(make_job(**how))) == expected


def moved(make_job, **changes: Any) -> Tensor:
    job = make_job(**changes)
    weights = lambda: torch.cat([p.detach().flatten() for m in job.task.models.values() for p in m.module.parameters()])  # noqa: E731
    before = weights()
    train(job)
    return weights() - before


def test_ranks_and_micro_batches_make_the_run_of_one_process(make_job, tmp_path):
    expected = moved(make_job, state="one")
    runs = in_ranks(2, partial(moved, make_job, state="two"), tmp_path / "ranks")
    for found in [*runs, moved(make_job, state="micro", accumulate=2)]:
        assert_close(found, expected)


def test_it_learns_and_nobody_trains_the_text_tower(make_job):
    job = make_job(steps=50, moclr=replace(MOCLR, augment=AugmentSettings(jitter=0, gray=0)))
    before = {name: value.clone() for name, value in job.task.clip.model.state_dict().items()}
    ledger = pq.read_table(train(job).training_dir / "ledger.parquet").to_pydict()
    changed = {name for name, value in job.task.clip.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("visual.") for name in changed)
    assert np.mean(ledger["loss"][-10:]) < np.mean(ledger["loss"][:10]) - 0.5


def test_the_cost_is_of_two_views_and_of_the_targets_forward_passes(make_job):
    job = placed(make_job())
    made, tower = job.task.forwards(), job.task.forwards().at_full
    projector, predictor = 2 * (16 * 12 + 12 * 6), 2 * (6 * 12 + 12 * 6)
    assert made.learner == 2 * (tower + projector + predictor) and made.frozen == 2 * (tower + projector)
    step = job.account().step(6, 0)
    assert step == 6 * (3 * made.learner + made.frozen)
    assert sum(one.step(6, 0) for one in job.account().members.values()) == pytest.approx(step)
    twice = placed(make_job(accumulate=2)).account()
    assert twice.step(6, 0) == 6 * (4 * made.learner + 2 * made.frozen) and twice.step(6, 0, False) == step
    flops = train(make_job()).summary["flops"]
    assert flops["as_executed_total"] == pytest.approx(9 * step) and flops["frozen_total"] == 9 * 6 * made.frozen
    assert placed(make_job(checkpoint_activations=True)).task.forwards().recomputed["learner"] > 0


def test_a_checkpoint_is_open_clips_and_says_that_it_knows_no_texts(make_job):
    job = make_job()
    result = train(job)
    assert is_image_only(result.model_dir) and not (result.model_dir / "classifier.safetensors").exists()
    assert read_metadata(result.model_dir)["weights_sha256"] == result.summary["digests"]["weights"]
    pixels, shown = torch.randn(3, 3, 16, 16), load_measured(result.model_dir)
    plain = open_clip.create_model(f"local-dir:{result.model_dir}").eval()
    expected = job.task.clip.model.eval().encode_image(pixels, normalize=True)
    torch.testing.assert_close(plain.encode_image(pixels, normalize=True), expected)
    torch.testing.assert_close(shown.model.eval().encode_image(pixels, normalize=True), expected)
    assert shown.image_size == 16 and not hasattr(shown.model, "encode_text")


def test_it_has_no_scores(make_job):
    job = placed(make_job())
    with pytest.raises(UserError, match="selection.method: is joint, and moclr has no scores; use uniform"):
        job.task.scores(batch_of(job), SelectionSettings("joint").rules[0])


@pytest.mark.parametrize("tower", ["test_resnet", "test_vit"])
def test_towers_of_timm_take_part(tower, tmp_path, make_job, monkeypatch):
    """A ResNet has batch normalisation: its running statistics are the learner's own, the target's follow, and both are there again after a kill."""
    vision = {
        "timm_model_name": tower,
        "timm_pool": "avg" if "resnet" in tower else "",
        "timm_proj": "linear",
        "image_size": 32,
    }
    config = {"model_cfg": {**tiny_model_cfg(), "vision_cfg": vision, "custom_text": True}}
    (tmp_path / "timm.json").write_text(json.dumps(config))
    model = ModelSettings(config=str(tmp_path / "timm.json"))

    def job(state: str) -> Job:
        made = make_job(state, steps=3, checkpoint_every=1)
        clip = build_model(model, loss="softmax", batch_size=6, seed=0)
        pixels = np.random.default_rng(0).integers(0, 256, (ROWS, 3, 32, 32), dtype=np.uint8)
        source = Source({IMAGE: in_memory(pixels), VIEWS: views_field(0, ROWS, 2)})
        return replace(made, task=MomentumContrast(clip, made.training, MOCLR), source=source, evaluate=None)

    whole = job("never")
    expected = outcome(train(whole))
    learner, target = whole.task.learner.state_dict(), whole.task.target.state_dict()
    followed = [name for name in target if name.endswith("running_mean")]
    assert bool(followed) == (tower == "test_resnet") and all(
        learner[name].any() and target[name].any() for name in followed
    )
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 2)
        train(job("state"))
    assert outcome(train(job("state"))) == expected
