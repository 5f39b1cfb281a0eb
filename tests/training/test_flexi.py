"""Flexi-JEST through the real engine: killed and resumed, on ranks, in micro-batches, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from test_ranks import assert_close, ledger_of, picks_of, trained
from torch.utils.flop_counter import FlopCounterMode
from training_helpers import Killed, kill_after, outcome

from superbatch.data.fields import Batch, Source
from superbatch.options import FlexiSettings, LowSettings
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS
from superbatch.tasks.flexi import IMAGE_LOW, LOW, PATCHES, Flexi, flexi_fields
from superbatch.training import train
from superbatch.training.task import LEARNER
from tests.in_ranks import in_ranks
from tests.training.conftest import ROWS, in_memory

LOWS = {
    "patch": LowSettings(patch_size=16),
    "image": LowSettings(image_size=8),
    "drop": LowSettings(patch_drop=0.5),
}


@pytest.fixture
def make_flexi(make_job):
    """Return a function that makes the tests' usual job with a low view."""

    def make(kind: str = "patch", share: float = 0.5, tokens: int | None = None, **changes: Any):
        job = make_job(**changes)
        fields = dict(job.source.fields)
        task = Flexi(
            job.task.clip,
            job.training,
            job.selection,
            FlexiSettings(LOWS[kind], share, tokens),
            job.task.reference,
            job.task.vocabulary,
        )
        pixels = fields[IMAGE].read(np.arange(ROWS), 0)
        fields |= flexi_fields(task, fields, lambda side: in_memory(pixels[:, :, ::2, ::2]), job.training.seed)
        identity = job.identity | {"flexi": task.flexi}
        return replace(job, task=task, source=Source(fields), identity=identity)

    return make


@pytest.mark.parametrize(
    ("kind", "scoring", "later"),
    [
        ("patch", (IMAGE, TOKENS, *CACHED, LOW), ()),
        ("image", (IMAGE_LOW, TOKENS, *CACHED, LOW), (IMAGE,)),
        ("drop", (IMAGE, TOKENS, *CACHED, LOW, PATCHES), ()),
    ],
)
def test_a_smaller_image_is_read_of_all_and_the_full_one_of_the_chosen(make_flexi, kind, scoring, later):
    reads = make_flexi(kind).task.reads
    assert (reads.scoring, reads.later) == (scoring, later)
    never = make_flexi(kind, share=0.0).task.reads
    assert never.training == (IMAGE, TOKENS) and LOW not in never.scoring


def test_full_pixels_are_read_of_those_that_train_at_full(make_flexi):
    job = make_flexi("image")
    batch = job.source.read(job.task.reads.training, np.arange(ROWS), 3)
    low = batch[LOW].bool()
    assert 20 <= int(low.sum()) <= 40 and not batch[IMAGE][low].any() and batch[IMAGE][~low].any((1, 2, 3)).all()
    assert batch[IMAGE_LOW].any((1, 2, 3)).all(), "any of them may be scored"
    assert not torch.equal(job.source.read([LOW], np.arange(ROWS), 4)[LOW], batch[LOW]), "others at another step"


@pytest.mark.parametrize("kind", LOWS)
def test_outputs_are_of_all_samples_in_order(make_flexi, kind):
    job = make_flexi(kind)
    task = job.task
    task.place(torch.device("cpu"), job.training)
    task.clip.model.eval()
    batch = job.source.read(task.reads.training, np.arange(12), 0)
    towers = task._towers[LEARNER]
    with torch.no_grad():
        found = task.outputs(LEARNER, batch)["image"]
        full, low = towers.images(batch[IMAGE]), task._low(towers, batch)
    assert 0 < int(batch[LOW].sum()) < 12
    expected = torch.where(batch[LOW].bool()[:, None], low, full)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kind", "changes"), [("patch", {}), ("image", {"stale": 1, "workers": 1}), ("drop", {})])
def test_killed_and_resumed_is_bit_identical(make_flexi, monkeypatch, kind, changes):
    make = partial(make_flexi, kind, **changes)
    expected = outcome(train(make(state="never", workers=0)))
    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, 5)
            train(make())
    assert outcome(train(make())) == expected


@pytest.mark.parametrize("kind", LOWS)
def test_micro_batches_and_ranks_make_the_run_of_one_process(make_flexi, tmp_path, kind):
    alone, weights = trained(partial(make_flexi, kind), {"state": "one"})
    cut, moved = trained(partial(make_flexi, kind), {"state": "cut", "accumulate": 3})
    assert picks_of(cut) == picks_of(alone)
    assert_close(moved, weights)
    everybody = in_ranks(2, trained, tmp_path / "ranks", partial(make_flexi, kind), {"state": "two"})
    assert picks_of(everybody[0][0]) == picks_of(alone)
    assert ledger_of(everybody[0][0])["loss"] == pytest.approx(ledger_of(alone)["loss"], rel=1e-3)
    assert_close(everybody[0][1], weights)


def test_the_checkpoint_is_open_clips_and_learns_at_both_views(make_flexi):
    job = make_flexi("patch", method="uniform", steps=60, batch_size=16)
    result = train(job)
    loss = pq.read_table(result.training_dir / "ledger.parquet")["loss"].to_numpy()
    assert loss[-10:].mean() < loss[:10].mean()
    theirs = open_clip.create_model(f"local-dir:{result.model_dir}").eval()
    images = torch.randn(2, 3, 16, 16)
    job.task.clip.model.eval()
    with torch.no_grad():
        assert torch.equal(theirs.encode_image(images), job.task.clip.model.encode_image(images))


def half_low(job, count: int) -> Batch:
    """So many samples, each other one low."""
    batch = job.source.read(job.task.reads.scoring, np.arange(count) % ROWS, 0)
    flags = (torch.arange(count) % 2).to(torch.uint8)
    return replace(
        batch, fields={**job.source.read([IMAGE], np.arange(count) % ROWS, 0).fields, **batch.fields, LOW: flags}
    )


def counted(work) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


@pytest.mark.parametrize(("kind", "tokens"), [("patch", None), ("image", 5), ("drop", None)])
@pytest.mark.parametrize("again", [False, True])
def test_forwards_are_what_is_executed_within_one_percent(make_flexi, kind, tokens, again):
    """A sample's operations, as the difference of two batches: what is done once a pass stays out."""
    job = make_flexi(kind, tokens=tokens, checkpoint_activations=again)
    task = job.task
    task.place(torch.device("cpu"), job.training)
    forwards = task.forwards()
    small, large = half_low(job, 8), half_low(job, 16)

    def step(batch: Batch) -> None:
        outputs = task.outputs(LEARNER, batch)
        (outputs["image"].sum() + outputs["text"].sum()).backward()

    per_sample = (counted(partial(step, large)) - counted(partial(step, small))) / 8
    executed = 3 * forwards.trained[LEARNER] + forwards.recomputed.get(LEARNER, 0.0)
    # The first layer's images ask for no gradient, which spares a product of the patch embedding.
    spared = 0.5 * sum(_embedding_flops(job, view) for view in ("full", kind))
    assert per_sample == pytest.approx(executed - spared, rel=0.01)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            scored = (counted(partial(task.scoring_sides, large)) - counted(partial(task.scoring_sides, small))) / 8
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert scored == pytest.approx(forwards.scored, rel=0.01)
    assert forwards.reused == 0 and forwards.views["low"] < forwards.views["full"]


def _embedding_flops(job, view: str) -> float:
    """Of the patch embedding of an image of 16 pixels and width 32: all pixels at full, a quarter of them in a smaller image."""
    return 2 * 32 * 3 * (8 if view == "image" else 16) ** 2


def test_the_papers_formula(make_flexi):
    """3F(0.5 + 0.5A) + AF B/b, with A of the whole model."""
    job = make_flexi("patch")
    task = job.task
    task.place(torch.device("cpu"), job.training)
    summary = train(job).summary
    views, steps, b, big_b = task.forwards().views, 12, 4, 16
    full, a = views["full"], views["low"] / views["full"]
    expected = steps * b * full * (3 * (0.5 + 0.5 * a) + a * big_b / b)
    assert summary["flops"]["paper_total"] == pytest.approx(expected) == summary["flops"]["as_executed_total"]
    assert summary["flops"]["forward_image_low"] < summary["flops"]["forward_image"]
    assert "score" not in summary, "its settings name the criterion"


def test_rows_that_none_trains_on_are_read_whole(make_flexi):
    """`selection.adapt` measures by them at full view; half of them were black to it, and looked wrong."""
    job = make_flexi("image")
    aside = np.arange(5, 25)
    left_out = replace(job.source, aside=aside).left_out
    found = left_out.read(job.task.reads.training, np.arange(len(aside)), 0)
    assert found[LOW].any() and found[IMAGE].any((1, 2, 3)).all()
    assert np.array_equal(found.rows, aside)
