"""ACED through the real engine: killed and resumed, on ranks, in micro-batches; what it learns from, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_ranks import assert_close, ledger_of, picks_of, trained
from training_helpers import Killed, kill_after, outcome

from superbatch.errors import UserError
from superbatch.losses import contrastive_loss, teaching_term
from superbatch.options import (
    AdaptSettings,
    DistillSettings,
    FlexiSettings,
    LearnerSettings,
    LowSettings,
    PoolSettings,
    SelectionSettings,
)
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS, Reference
from superbatch.tasks.distilled import SEPARATE, TAUGHT, Distilled, separate_fields
from superbatch.training import train
from superbatch.training.job import deciding
from superbatch.training.task import LEARNER
from tests.in_ranks import in_ranks
from tests.training.conftest import ROWS, random_embeddings


@pytest.fixture
def make_distilled(make_job):
    """Return a function that makes the tests' usual job with a teacher: the reference, or `own`, another model of another width."""

    def make(batch: str = "chosen", weight: float = 2.0, scale: float | None = 30.0, own: bool = False, **changes: Any):
        job = make_job(**changes)
        fields = dict(job.source.fields)
        how, before = (
            DistillSettings("distillation", weight, scale, batch, "reference_large" if own else None),
            job.task,
        )
        models = (before.reference, before.proxy, before.vocabulary, Reference(7.0, -2.0) if own else None)
        task = Distilled(before.clip, job.training, job.selection, how, *models)
        fields |= dict(zip(TAUGHT, random_embeddings(ROWS, 24, seed=2).values(), strict=True)) if own else {}
        fields |= separate_fields(fields, job.training.seed, task.taught) if batch == "separate" else {}
        source = replace(job.source, fields=fields)
        return replace(job, task=task, source=source, identity=job.identity | {"distill": how})

    return make


def by_formula(
    outputs: dict[str, Any], batch: Any, before: str, weight: float, scale: float, names: tuple[str, str] = CACHED
) -> torch.Tensor:
    """Both terms in float64 by whole matrices."""
    image, text, own, bias = (outputs[name].detach().double() for name in ("image", "text", "scale", "bias"))
    loss = contrastive_loss("sigmoid")(image, text, own, bias)
    seen = [outputs[before + name].double() for name in ("image", "text")]
    taught = [batch[before + name].double() for name in names]
    logits, wanted = own * seen[0] @ seen[1].T, scale * taught[0] @ taught[1].T
    halves = [-(p.softmax(1) * q.log_softmax(1)).sum(1).mean() for p, q in ((wanted, logits), (wanted.T, logits.T))]
    return loss + weight * (halves[0] + halves[1]) / 2


@pytest.mark.parametrize(
    ("batch", "scale", "own"),
    [("chosen", None, False), ("chosen", 30.0, False), ("separate", 30.0, False), ("chosen", None, True), ("separate", 30.0, True)],
)  # fmt: skip
def test_the_loss_is_the_formulas_and_rows_have_its_mean(make_distilled, batch, scale, own):
    job = make_distilled(batch, scale=scale, own=own)
    task = job.task
    task.place(torch.device("cpu"), job.training)
    read = job.source.read(task.reads.training, np.arange(8), 3)
    with torch.no_grad():
        outputs = task.outputs(LEARNER, read)
        found = task.loss(LEARNER, outputs, read, None)
        rows, finite = task.row_losses(LEARNER, read)
    before, usual = SEPARATE if batch == "separate" else "", 7.0 if own else 10.0
    expected = by_formula(outputs, read, before, 2.0, scale or usual, TAUGHT if own else CACHED)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert float(rows.mean()) == pytest.approx(float(expected), rel=1e-5) and finite.all()


def test_another_teacher_teaches_and_the_reference_chooses(make_distilled):
    """Scores see the reference's embeddings alone, and the teacher's are read of the chosen; where nothing is chosen there need be no reference."""
    job = make_distilled(own=True)
    task, rule = job.task, job.selection.rules[0]
    task.place(torch.device("cpu"), job.training)
    assert set(task.reads.scoring) == {IMAGE, TOKENS, *CACHED} and set(task.reads.later) == set(TAUGHT)
    read = job.source.read(task.reads.scoring, np.arange(8), 0)
    scores = task.scores(read, rule)
    assert [torch.equal(side, read[name]) for side, name in zip(scores.reference.sides, CACHED, strict=True)] == [
        True,
        True,
    ]
    assert (scores.reference.scale, scores.reference.bias) == (10.0, -1.0)
    plain = make_distilled(own=True, method="uniform")
    alone = Distilled(
        plain.task.clip, plain.training, plain.selection, plain.task.distill, None, teacher=Reference(7.0, -2.0)
    )
    assert set(alone.reads.training) == {IMAGE, TOKENS, *TAUGHT}


def test_separate_samples_are_a_uniform_draw_anew_each_step(make_distilled):
    """And are whole: pixels, token ids and the teacher's embeddings are of one row."""
    job = make_distilled("separate")
    assert set(job.task.reads.later) == {SEPARATE + name for name in (IMAGE, TOKENS, *CACHED)}
    assert not set(make_distilled("chosen").task.reads.later), "the scoring pass has read the teacher's already"
    pixels = job.source.fields[IMAGE].read(np.arange(ROWS), 0)
    counts = np.zeros(ROWS, int)
    for step in range(40):
        read = job.source.read(job.task.reads.training, np.arange(ROWS), step)
        images = read[SEPARATE + IMAGE].numpy()
        rows = [int(np.flatnonzero((pixels == image).all((1, 2, 3)))[0]) for image in images[:10]]
        for name in (TOKENS, *CACHED):
            there = job.source.fields[name].read(np.array(rows), step)
            assert np.array_equal(read[SEPARATE + name][:10].numpy(), there), name
        counts += np.bincount(rows, minlength=ROWS)
    expected = counts.sum() / ROWS
    assert ((counts - expected) ** 2 / expected).sum() < 110  # chi-square with 59 degrees of freedom: p = 6e-5


@pytest.mark.parametrize(("batch", "changes"), [("chosen", {"own": True}), ("separate", {"stale": 1, "workers": 1})])
def test_killed_and_resumed_is_bit_identical(make_distilled, monkeypatch, batch, changes):
    expected = outcome(train(make_distilled(batch, state="never", **changes)))
    for steps in (5, 3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(make_distilled(batch, **changes))
    assert outcome(train(make_distilled(batch, **changes))) == expected


@pytest.mark.parametrize(("batch", "own"), [("chosen", True), ("separate", False)])
def test_micro_batches_and_ranks_make_the_run_of_one_process(make_distilled, tmp_path, batch, own):
    alone, expected = trained(make_distilled, {"batch": batch, "own": own, "state": "one"})
    pieces, moved = trained(make_distilled, {"batch": batch, "own": own, "state": "pieces", "accumulate": 2})
    assert picks_of(pieces) == picks_of(alone)
    assert_close(moved, expected)
    for result, moved in in_ranks(
        2, trained, tmp_path / "ranks", make_distilled, {"batch": batch, "own": own, "state": "two"}
    ):
        assert picks_of(result) == picks_of(alone)
        assert_close(moved, expected)


def test_a_learner_comes_nearer_to_its_teacher_by_the_weight(make_distilled):
    """On rows of its own: what the term asks for happens, and the more, the more it weighs."""

    def apart(weight: float) -> float:
        job = make_distilled("chosen", weight=weight, method="uniform", steps=150, state=f"w{weight}")
        train(job)
        read = job.source.read(job.task.reads.training, np.arange(20), 0)
        with torch.no_grad():
            outputs = job.task.outputs(LEARNER, read)
            return float(by_formula(outputs, read, "", 1.0, 30.0) - by_formula(outputs, read, "", 0.0, 30.0))

    little, much = apart(1e-6), apart(4.0)
    assert much < little - 0.05


def test_a_proxy_is_not_taught(make_distilled, proxy_file):
    job = make_distilled("chosen", proxy=proxy_file)
    ledger = ledger_of(train(job))
    assert np.mean(ledger["loss"]) > 1.5 * np.mean(ledger["loss_proxy"]), "the learner's has the teacher's term too"


@pytest.mark.parametrize(
    ("batch", "method", "said"),
    [
        ("chosen", "uniform", "no selection, taught by the reference (weight 2); "),
        ("separate", "joint", "N = 2), taught by reference_large (weight 2, on as many others); "),
    ],
)
def test_the_line_before_a_run_says_who_teaches(make_distilled, caplog, batch, method, said):
    caplog.set_level("INFO")
    train(make_distilled(batch, method=method, steps=2, own="large" in said))
    assert said in caplog.text


def test_separate_samples_are_paid_for(make_distilled):
    one, two = (make_distilled(batch).task.forwards() for batch in ("chosen", "separate"))
    assert two.trained[LEARNER] == 2 * one.trained[LEARNER] and two.scored == one.scored
    assert two.at_full == one.at_full == one.trained[LEARNER], "a uniform step's is what it was"


def test_reweighting_replaces_the_softmax_loss(make_distilled):
    """Its value is the term's alone, its rows have its mean, and it runs."""
    job = make_distilled("chosen", weight=1.0, loss="softmax")
    job.task.distill = replace(job.task.distill, how="reweighting")
    job.task.place(torch.device("cpu"), job.training)
    read = job.source.read(job.task.reads.training, np.arange(8), 3)
    with torch.no_grad():
        outputs = job.task.outputs(LEARNER, read)
        found = job.task.loss(LEARNER, outputs, read, None)
        rows, _ = job.task.row_losses(LEARNER, read)
    taught = (*(read[name] for name in CACHED), 30.0)
    expected = teaching_term("reweighting", outputs["image"], outputs["text"], outputs["scale"], taught)
    assert float(found) == float(expected) and float(rows.mean()) == pytest.approx(float(expected), rel=1e-5)
    ledger = ledger_of(train(job))
    assert len(ledger["loss"]) == 12 and np.isfinite(ledger["loss"]).all()


def test_settings_that_make_no_sense_are_one_line():
    low = FlexiSettings(LowSettings(patch_size=16))
    with pytest.raises(
        UserError, match="distill: needs embeddings at full resolution, and flexi trains some at low; leave one"
    ):
        LearnerSettings(flexi=low, distill=DistillSettings())
    with pytest.raises(UserError, match="weight"):
        DistillSettings(weight=0)
    with pytest.raises(
        UserError, match="distill.weight: belongs to a term that is added, and reweighting replaces the loss"
    ):
        DistillSettings(weight=2.0, how="reweighting")
    with pytest.raises(
        UserError, match="distill.how: reweighting is a softmax loss, and training.loss is sigmoid; set"
    ):
        LearnerSettings(distill=DistillSettings(how="reweighting"))
    follows = SelectionSettings("joint", criterion="easy_reference", adapt=AdaptSettings())
    with pytest.raises(
        UserError, match="distill.batch: separate draws from all rows, and selection.adapt keeps some aside"
    ):
        LearnerSettings(selection=follows, distill=DistillSettings(batch="separate"))
    taught = LearnerSettings(distill=DistillSettings())
    assert taught.uses_reference and taught.uses_embeddings and taught.teacher is None
    with pytest.raises(
        UserError, match="distill.teacher: 'large' is not the name of a reference; use reference, reference_pp"
    ):
        LearnerSettings(distill=DistillSettings(teacher="large"))


def test_a_teacher_of_its_own_leaves_the_reference_to_choose():
    named = LearnerSettings(distill=DistillSettings(teacher="reference_large"))
    assert named.teacher == "reference_large" and not named.uses_reference and not named.uses_embeddings
    chooses = replace(named, selection=SelectionSettings("joint"))
    assert chooses.uses_reference and chooses.uses_embeddings and chooses.goes_by == "reference"
    assert replace(named, reference="reference_large").teacher is None, "it is the run's reference"


def test_at_the_default_the_teacher_is_no_part_of_a_run_s_hash():
    before = {"how": "distillation", "weight": 1.0, "scale": None, "batch": "chosen"}
    for settings in (DistillSettings(), DistillSettings(teacher="reference_large")):  # its weights are, not its name
        assert deciding(settings, DistillSettings()) == before


def test_embeddings_are_read_by_whoever_needs_them():
    assert not LearnerSettings().uses_embeddings and LearnerSettings(pool=PoolSettings(0.5)).uses_embeddings
