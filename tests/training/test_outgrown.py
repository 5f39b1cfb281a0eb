"""A run in which the learner outgrows its reference: from then on it chooses for itself, and a kill anywhere changes nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.artifacts.fingerprints import canonical
from superbatch.data.fields import Source
from superbatch.data.order import Order
from superbatch.data.sampling import rows_aside
from superbatch.data.windows import Looks, is_last, measured_order, outgrown, stretches_of, takes_all, windows_of
from superbatch.errors import UserError
from superbatch.options import (
    AdaptSettings,
    LearnerSettings,
    SelectionSettings,
    ThenSettings,
    TrainingSettings,
)
from superbatch.reporting.runs import Run
from superbatch.selection import lead, p_values
from superbatch.selection.right_pairs import NEAR, SURE, WIDE
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS
from superbatch.training import adapt, train
from superbatch.training.task import Task
from tests.in_ranks import in_ranks
from tests.training.test_ranks import assert_close, ledger_of, picks_of, trained
from tests.training.test_scoring import noting_weights
from tests.training.test_then import chosen_by_the_learner, chosen_rows, expected_rows
from tests.training.training_helpers import Killed, kill_after, outcome

ADAPT = AdaptSettings(every=2, sample=6, power=1.0)
THEN = ThenSettings(None, "easy_learner", 0.5)
HOW = {"criterion": "easy_reference", "adapt": ADAPT, "then": THEN}
LEADS = [
    1.0,
    -0.1,
    -0.1,
    -0.1,
    -0.1,
    0.1,
    -1.0,
]  # what is measured before the fifth time does not count: so from step 10 on
SWITCH = 10


@dataclass
class Rows:
    """The rows of the manifest that each step looked at, by an order of those that are not held out."""

    order: Order
    source: Source

    def rows(self, step: int) -> np.ndarray:
        """Return them, int64."""
        return self.source.manifest_rows(self.order.rows(step))


@pytest.fixture
def measured(monkeypatch):
    """Let leads come to `LEADS`, one after the other, and let a fifth of the pairs look right each time."""
    values = iter(LEADS)
    monkeypatch.setattr(adapt, "share_of_right", lambda p: 0.2)
    monkeypatch.setattr(adapt, "lead", lambda p, other: next(values))


def leads_of(result) -> list[tuple[int, float]]:
    rows = pq.read_table(result.training_dir / "evaluations.parquet").to_pylist()
    return [(row["step"], row["value"]) for row in rows if row["name"] == "pool/lead_over_reference"]


def test_the_reference_chooses_until_it_is_outgrown_and_the_learner_then(make_job, measured, caplog):
    caplog.set_level(logging.INFO)
    job = make_job(**HOW, steps=14)
    with noting_weights([job.task.clip.model]) as seen:
        result = train(job)
    assert leads_of(result) == list(zip(range(0, 14, 2), LEADS, strict=True))
    run, sizes = Run(result.training_dir.parent), [16] * SWITCH + [8] * 4  # by the share 20, at most 16 and 8
    order = Rows(run.order(job.source.num_rows), job.source)
    turned_out = SimpleNamespace(**vars(job) | {"order": order, "source": Source(job.source.fields)})
    assert run.looked_at(np.arange(14)).tolist() == sizes and run.new_kind == SWITCH
    for step, rows in enumerate(chosen_rows(result)):
        job.task.clip.model.load_state_dict(seen[step][0])
        assert rows == (expected_rows if step < SWITCH else chosen_by_the_learner)(turned_out, step), f"step {step}"
    ledger, forward = ledger_of(result), result.summary["flops"]["forward_per_sample"]
    assert ledger["samples_scored"] == [0] * SWITCH + [8 * n for n in range(1, 5)]
    assert result.summary["flops"]["as_executed_total"] == pytest.approx((14 * 12 + 4 * 8 + 7 * 6) * forward)
    assert "job: the learner has outgrown the reference: it chooses for itself from step 10 on" in caplog.text
    said = "; once the learner has outgrown the reference, of at most B = 8, fewer as the learner learns (joint, easy_learner"
    assert said in caplog.text


@pytest.mark.parametrize("few", [False, True])
def test_on_labels_all_pairs_are_taken_from_then_on(make_job, monkeypatch, caplog, few):
    """Once the reference is not ahead for certain; killed on either side of the switch, it is the same run."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(adapt, "few_texts", lambda texts: few)
    monkeypatch.setattr(adapt, "say_few_things", lambda p: True)
    monkeypatch.setattr(adapt, "share_of_right", lambda p: 0.5)
    monkeypatch.setattr(
        adapt, "lead", lambda p, *more: -0.1 if len(p) == 2 - few else 0.1
    )  # of the reference over the learner
    result = train(make_job(**HOW, steps=18, state="never"))
    run = Run(result.training_dir.parent)
    assert run.takes_all and run.fell == range(8, 16), "from the first measurement that can be, over four windows"
    assert run.new_kind is None, "the reference chooses until nothing is left out"
    assert run.looked_at(np.arange(18)).tolist() == [8] * 8 + [8, 7, 7, 6, 5, 5, 4, 4] + [4] * 2
    assert set(ledger_of(result)["samples_scored"]) == {0}
    assert [step for step, _ in leads_of(result)] == [0, 2, 4, 6, 8], "from then on nothing is measured"
    forward = result.summary["flops"]["forward_per_sample"]
    assert result.summary["flops"]["as_executed_total"] == pytest.approx((18 * 12 + 5 * 6) * forward)
    said = "job: the learner has outgrown the reference: captions are labels, so f falls from step 8 on, and all pairs are taken from step 16 on"
    assert said in caplog.text
    again = partial(make_job, **HOW, steps=18, state="killed", checkpoint_every=2)
    for steps in (5, 6, 5, 3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(again())
    assert outcome(train(again())) == outcome(result)


def labelled(monkeypatch) -> None:
    """Let captions look like labels and learner and reference be level, so that f falls from step 8 on, and all pairs are taken from step 16 on."""
    monkeypatch.setattr(adapt, "few_texts", lambda texts: True)
    monkeypatch.setattr(adapt, "share_of_right", lambda p: 0.5)
    monkeypatch.setattr(adapt, "lead", lambda p, *more: -0.1)


def test_rows_that_were_measured_by_are_trained_on_once_all_pairs_are_taken(make_job, monkeypatch):
    labelled(monkeypatch)
    job = make_job(**HOW, steps=46)
    result = train(job)
    aside, picked = set(rows_aside(job.selection, 60, job.training.seed).tolist()), chosen_rows(result)
    assert not aside & {row for step in range(16) for row in picked[step]}
    for first in (16, 31):  # 15 steps of b = 4 go through all 60 rows
        assert sorted(row for step in range(first, first + 15) for row in picked[step]) == list(range(60))
    run = Run(result.training_dir.parent)
    order = run.order(job.source.num_rows, len(aside))
    drawn = [set(job.source.manifest_rows(order.rows(step)).tolist()) for step in range(46)]
    assert all(set(rows) <= drawn[step] for step, rows in enumerate(picked))
    assert all(set(rows) == drawn[step] for step, rows in enumerate(picked) if step >= 16)


def test_a_run_that_measured_on_takes_all_at_once(make_job, monkeypatch):
    """As all did before f fell: its rows stay aside, in its records and where it goes on."""
    labelled(monkeypatch)
    settings = SelectionSettings("joint", 0.75, criterion="easy_reference", adapt=ADAPT, then=THEN)
    now, later = (Looks([0.5] * n, [0.1] * n, [1.0] * n) for n in (5, 6))
    assert is_last(settings, now) and takes_all(settings, later) and not is_last(settings, later)
    order = Order(0, 54, 16)
    for before in (now, later):
        found = measured_order(order, settings, 4, before, 6)
        assert found == replace(order, candidates=windows_of(settings, 4, before)) and found.size(8) == 4
    killed = partial(make_job, **HOW, steps=14, state="killed", checkpoint_every=1)
    with monkeypatch.context() as patch:
        patch.setattr(adapt, "is_last", lambda *given: False)
        old = train(make_job(**HOW, steps=14, state="old"))
        with pytest.raises(Killed):
            kill_after(patch, 9)  # before it measures again
            train(killed())
    run = Run(old.training_dir.parent)
    assert len(leads_of(old)) == 7 and run.fell is None and run.new_kind == 8
    assert outcome(train(killed())) == outcome(old)


def trained_on_labels(make_job, settings):
    """Train in this process; for `in_ranks`, whose processes know nothing of a fixture's patches."""
    with pytest.MonkeyPatch.context() as patch:
        labelled(patch)
        return trained(make_job, settings)


def test_rows_come_back_in_two_ranks_as_in_one(make_job, tmp_path):
    alone, weights = trained_on_labels(make_job, HOW | {"steps": 24, "state": "one"})
    result, moved = in_ranks(2, trained_on_labels, tmp_path / "2", make_job, HOW | {"steps": 24, "state": "two"})[0]
    assert picks_of(result) == picks_of(alone) and Run(alone.training_dir.parent).fell
    assert_close(moved, weights)


@pytest.mark.parametrize(("few", "spread"), [(False, False), (False, True), (True, False)])
def test_a_learner_level_with_its_reference_is_ahead_on_labels_alone(monkeypatch, few, spread):
    """Recorded is the least that it may be ahead in free text, and on labels the most; of equal captions by images."""
    p = torch.rand(2, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    known = {"learner": p, "reference": p.roll(1, 1)}
    monkeypatch.setattr(adapt, "few_texts", lambda texts: few and texts == "reference")
    monkeypatch.setattr(adapt, "say_few_things", lambda p: spread)
    monkeypatch.setattr(adapt, "_embedded", lambda run, sides: (sides, sides))
    monkeypatch.setattr(adapt, "p_values", lambda images, texts: known[images])
    task = SimpleNamespace(sides="learner", reference_sides="reference")
    job = SimpleNamespace(task=task, selection=SimpleNamespace(outgrows=True))
    _, ahead, labels = adapt._look(SimpleNamespace(job=job, sample=(), by_reference=None, few=False))
    assert labels == (few or spread) and (ahead > 0) == (few or spread)
    near, sides = WIDE if spread else NEAR, slice(1 if few else 2)
    difference = ((known["learner"] <= near).double() - (known["reference"] <= near).double())[sides].mean(0)
    error = SURE * float(difference.std(correction=0)) / 20
    assert ahead == pytest.approx(float(difference.mean()) + (error if few or spread else -error))


def test_nothing_is_scored_where_too_little_is_left_out(make_job, monkeypatch):
    """Half of the pairs look right at first, all of them at last: B = 8 of b = 4 while the share is 0.5, then 6 and 5."""
    shares, leads = iter([0.5] * 6 + [1.0] * 2), iter([-1.0] * 4 + [1.0] * 4)
    monkeypatch.setattr(adapt, "share_of_right", lambda p: next(shares))
    monkeypatch.setattr(adapt, "lead", lambda p, other: next(leads))
    job = make_job(**HOW, steps=16)
    result = train(job)
    run = Run(result.training_dir.parent)
    assert run.new_kind == 8 and run.looked_at(np.arange(0, 16, 2)).tolist() == [8] * 6 + [6, 4]
    assert ledger_of(result)["samples_scored"][1::2] == [0] * 4 + [16, 32, 44, 44]
    assert run.picks is not None and run.picks[run.picks["step"] >= 14]["chosen"].all()
    order = run.order(job.source.num_rows)
    assert sorted(chosen_rows(result)[14]) == sorted(job.source.manifest_rows(order.rows(14)).tolist())


def test_the_plan_counts_on_a_learner_that_outgrows_as_soon_as_can_be(make_job):
    job = make_job(**HOW, steps=14)
    plan = train(job).summary["plan"]
    forward = train(job).summary["flops"]["forward_per_sample"]
    assert plan["flops_as_executed"] == pytest.approx((14 * 12 + 6 * 8 + 7 * 6) * forward)
    assert (plan["super_batch_size"], plan["last_super_batch_size"]) == (16, 8)


def test_a_learner_that_never_does_is_one_that_follows_the_reference(make_job, monkeypatch):
    monkeypatch.setattr(adapt, "lead", lambda p, other: -1.0)
    never = train(make_job(**HOW, state="never"))
    plain = train(make_job(criterion="easy_reference", adapt=ADAPT, state="plain"))
    assert picks_of(never) == picks_of(plain)
    assert Run(never.training_dir.parent).new_kind is None


def test_killed_before_at_and_after_the_switch_is_never_killed(make_job, monkeypatch):
    """The lead follows from the weights; killed in steps 3, 8, 9 and 13, from states of 2, 6, 8 and 12 steps."""
    monkeypatch.setattr(adapt, "lead", lambda p, other: float((p - other).mean() * 1e3) % 1 - 0.4)
    usual = {**HOW, "steps": 16, "adapt": AdaptSettings(every=2, sample=6)}
    never = train(make_job(**usual, state="never"))
    assert 0 < (Run(never.training_dir.parent).new_kind or 0) < 16
    again = partial(make_job, **usual, state="killed", checkpoint_every=2)
    for steps, workers in ((3, 1), (6, 0), (3, 1), (5, 0)):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(again(workers=workers))
    assert outcome(train(again(workers=1))) == outcome(never)


def test_one_and_two_ranks_make_the_same_run(make_job, tmp_path):
    how = HOW | {"adapt": AdaptSettings(every=2, sample=6)}
    alone, weights = trained(make_job, how | {"state": "one"})
    result, moved = in_ranks(2, trained, tmp_path / "2", make_job, how | {"state": "two"})[0]
    assert picks_of(result) == picks_of(alone) and leads_of(result) == leads_of(alone)
    assert_close(moved, weights)


def test_it_is_measured_by_the_cached_embeddings_of_the_same_pairs(make_job, monkeypatch):
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(adapt, "lead", lambda p, other: (seen.append(other), -1.0)[1])
    job = make_job(**HOW)
    batch = job.source.left_out.read((IMAGE, TOKENS, *CACHED), np.arange(6), 0)
    train(job)
    expected = p_values(*(batch[name].float() for name in CACHED))
    assert all(torch.equal(other, expected) for other in seen) and len(seen) == 6


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=2, max_size=30))
@settings(max_examples=50)
def test_a_lead_is_the_lower_end_of_a_paired_difference(pairs):
    p = torch.tensor(pairs, dtype=torch.float64).T
    own, other = p[:2], p[2:]
    n, differences = len(pairs), []
    for i in range(n):
        differences.append(sum((own[side, i] <= NEAR).item() - (other[side, i] <= NEAR).item() for side in (0, 1)) / 2)
    mean = sum(differences) / n
    error = (sum((value - mean) ** 2 for value in differences) / n / n) ** 0.5
    assert lead(own, other) == pytest.approx(mean - SURE * error, abs=1e-9)
    assert lead(own, own) == 0.0


def test_models_that_know_the_same_have_no_lead_and_a_better_one_has():
    torch.manual_seed(0)
    wrong = torch.rand(2, 600, dtype=torch.float64)
    good, better = wrong.clone(), wrong.clone()
    good[:, :60], better[:, :200] = 0.0, 0.0
    assert lead(better, good) > 0 > lead(good, better)
    assert lead(torch.rand(2, 600), torch.rand(2, 600)) < 0


def outgrows(adapt: AdaptSettings = ADAPT, **then: float) -> SelectionSettings:
    return SelectionSettings("joint", 0.95, "easy_reference", adapt=adapt, then=ThenSettings(None, **then))


def test_a_reference_is_outgrown_once_the_learner_is_ahead_and_comes_on_no_longer():
    ahead, level = [0.1] * 8, [0.3] * 8

    def when(shares, leads):
        return outgrown(outgrows(), Looks(shares, leads))

    assert when(level, ahead) == 4, "before it cannot be seen how it comes on"
    assert when(level, [-0.1] * 6 + [0.1] * 2) == 6
    assert when([0.1 * n for n in range(8)], ahead) is None, "it comes on by the reference's choice"
    assert when([0.1 * n for n in range(8)] + [0.7] * 12, [0.1] * 20) == 15, "shares are smoothed"
    assert when([0.3] * 3, [0.1] * 3) is None and when([0.3] * 8, []) is None


def test_where_captions_are_labels_all_pairs_are_taken_once_the_learner_is_ahead():
    """Whether it still comes on does not count there, nor how much it would leave out."""
    comes_on, leads = [0.1 * n for n in range(8)], [-0.1] * 5 + [0.1] * 3
    selection, looks = outgrows(min_filter_ratio=0.8), Looks(comes_on, leads, [1.0] * 8)
    assert outgrown(selection, looks._replace(labels=[0.0] * 8)) is None and outgrown(selection, looks) == 5
    assert takes_all(selection, looks) and not takes_all(selection, looks._replace(leads=[-0.1] * 8))
    sizes = [part.first for part in windows_of(selection, 64, looks)]
    assert sizes[5:] == [64] * 3 and min(sizes[:5]) > 64
    every = selection.adapt.every
    assert [part.steps.start for part in stretches_of(selection, 10 * every, looks)] == [0, 5 * every]


@pytest.mark.parametrize(
    ("labels", "window", "all_pairs"),
    [
        ([0.0] + [1.0] * 8, 4, True),
        ([0.0] * 4 + [1.0] * 5, 7, True),
        ([1.0, 0.0] * 4 + [1.0], 5, False),
        ([1.0] * 3 + [0.0, 1.0, 1.0, 1.0, 1.0, 0.0], 7, True),
        ([1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0], 5, True),
        ([0.0] * 9, 4, False),
        ([], 4, False),
    ],
)
def test_captions_are_labels_if_they_were_for_as_long_as_is_looked_back(labels, window, all_pairs):
    """Level is enough on labels alone, so a lead is no lead before a window at which captions look so; of runs before there is no such row."""
    looks, selection = Looks([0.3] * 9, [0.1] * 9, labels), outgrows()
    assert outgrown(selection, looks) == window and takes_all(selection, looks) == all_pairs


def test_no_lead_at_all_is_enough_on_labels_and_not_in_free_text():
    level = Looks([0.3] * 9, [-0.0] * 9, [1.0] * 9)
    assert outgrown(outgrows(), level) == 4 and outgrown(outgrows(), level._replace(labels=[0.0] * 9)) is None


def test_a_run_begun_before_labels_were_looked_for_goes_on_as_it_was():
    """Its first windows have no such value; later ones must not be taken for theirs."""
    looks = Looks.recorded([0.3] * 15, [-0.1] * 5 + [0.1] * 10, [1.0] * 4)
    assert looks.labels == [0.0] * 11 + [1.0] * 4 and looks.of_labels(14)
    assert outgrown(outgrows(), looks) == 5 and not takes_all(outgrows(), looks)
    assert Looks.recorded([0.3] * 3, [], []) == Looks([0.3] * 3, [], [])


def test_where_most_pairs_look_right_the_reference_goes_on():
    """With power 2 f is 1 - g^2: 0.36 at g = 0.8, 0.28 at 0.85."""
    squared, ahead = AdaptSettings(power=2.0), [0.1] * 30
    assert outgrown(outgrows(squared, min_filter_ratio=0.35), Looks([0.8] * 30, ahead)) == 4
    assert outgrown(outgrows(squared, min_filter_ratio=0.35), Looks([0.85] * 30, ahead)) is None
    assert outgrown(outgrows(squared), Looks([0.85] * 30, ahead)) == 4, "by default the learner takes over anywhere"
    later = outgrown(outgrows(squared, min_filter_ratio=0.35), Looks([0.85] * 10 + [0.75] * 20, ahead))
    assert later == 11, "from 0.85 the smoothed share falls to 0.82, which is too much, and 0.799"
    assert outgrown(outgrows(squared, filter_ratio=0.3, min_filter_ratio=0.3), Looks([0.1] * 30, ahead)) == 4, (
        "f is at most 0.3"
    )


def test_a_run_of_mostly_right_pairs_is_that_of_its_reference(make_job, monkeypatch):
    monkeypatch.setattr(adapt, "share_of_right", lambda p: 0.7)  # f = 0.3
    monkeypatch.setattr(adapt, "lead", lambda p, other: 1.0)
    how = {"criterion": "easy_reference", "adapt": ADAPT}
    kept = train(
        make_job(**how, then=ThenSettings(None, "easy_learner", 0.5, min_filter_ratio=0.4), steps=14, state="kept")
    )
    plain = train(make_job(**how, steps=14, state="plain"))
    assert picks_of(kept) == picks_of(plain)
    assert Run(kept.training_dir.parent).new_kind is None
    assert set(ledger_of(kept)["samples_scored"]) == {0}


def test_a_least_f_of_nothing_leaves_hashes_as_they_were():
    assert "min_filter_ratio" not in canonical(ThenSettings(None))
    assert canonical(ThenSettings(None, min_filter_ratio=0.35))["min_filter_ratio"] == 0.35
    assert canonical(outgrows())["then"] == {
        "after": None,
        "criterion": "easy_learner",
        "filter_ratio": 0.8,
        "final_filter_ratio": None,
    }


def test_what_was_measured_becomes_stretches_and_sizes():
    how = {"adapt": AdaptSettings(power=1.0), "then": ThenSettings(None)}
    selection = SelectionSettings("joint", 0.95, "easy_reference", **how)
    shares, sets = [0.04] * 6 + [1.0], ([], [0.1] * 7, [-1.0] * 7)
    spans = [
        [tuple(part.steps)[:: len(part.steps) - 1] for part in stretches_of(selection, 460, Looks(shares, leads))]
        for leads in sets
    ]
    assert spans == [[(0, 459)], [(0, 199), (200, 459)], [(0, 459)]]
    sizes = [[part.first for part in windows_of(selection, 64, Looks(shares, leads))] for leads in sets[1:]]
    assert sizes == [[1_280] * 4 + [320, 320, 195], [1_280] * 6 + [195]]  # the share is smoothed: 0.328 at last


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: SelectionSettings("joint", criterion="easy_reference", then=THEN), "selection.then.after: null (once the reference is outgrown) is measured by selection.adapt, which is not set"),
        (lambda: SelectionSettings("joint", criterion="hard_learner", then=THEN, adapt=ADAPT), "selection.criterion: hard_learner asks no reference"),
        (lambda: SelectionSettings("joint", then=ThenSettings(None, "learnability"), adapt=ADAPT), "selection.then.criterion: learnability asks the reference"),
        (lambda: SelectionSettings("joint", then=ThenSettings(None, final_filter_ratio=0.0), adapt=ADAPT), "selection.then.final_filter_ratio: sets how f changes"),
        (lambda: ThenSettings(1.5), "then.after: 1.5 is too large"),
        (lambda: SelectionSettings("joint", then=ThenSettings(0.5, min_filter_ratio=0.3)), "selection.then.min_filter_ratio: 0.3 is asked of what the learner leaves out"),
        (lambda: outgrows(filter_ratio=0.2, min_filter_ratio=0.3), "selection.then.min_filter_ratio: 0.3 is more than then.filter_ratio, 0.2"),
        (lambda: Task.reference_sides(None, None), "selection.then.after: is decided by a reference's embeddings, and this task has none"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(make, line):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_a_schedule_shorter_than_a_window_has_no_switch():
    selection = SelectionSettings(
        "joint", criterion="easy_reference", adapt=AdaptSettings(every=50), then=ThenSettings(None)
    )
    settings_ = LearnerSettings(selection=selection, training=TrainingSettings(steps=6))
    assert [part.steps for part in settings_.selection.stretches(6)] == [range(6)]
