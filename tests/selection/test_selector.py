"""The selector for training loops, and the diagnostics of what it hands back."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from superbatch.errors import UserError
from superbatch.selection import JointSelector, PairEmbeddings, Selection, select_independently, select_jointly
from tests.selection.oracle import make_pairs

PAIR = make_pairs(61, 8, 1), make_pairs(61, 8, 2, scale=30.0)


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_a_selector_is_the_function_with_its_settings(loss: str) -> None:
    settings: dict[str, Any] = {"num_chunks": 5, "gain": 7.0, "criterion": "hard_learner", "loss": loss, "seed": 3}
    rows = torch.randperm(900, generator=torch.Generator().manual_seed(0))[:61]
    ours = JointSelector(num_select=20, tile=16, **settings)(*PAIR, step=9, rows=rows)
    theirs = select_jointly(*PAIR, 20, tile=16, step=9, rows=rows, **settings)
    assert torch.equal(ours.indices, theirs.indices) and torch.equal(ours.conditional, theirs.conditional)
    assert ours.gain == 7.0 and ours.independent is None


def test_every_setting_of_the_function_is_the_selector_s() -> None:
    """A setting that only one of the two knew would be lost on the way."""
    plain = JointSelector(num_select=20, gain=1.0)(*PAIR, step=0)
    others = {"num_chunks": 3, "gain": 0.0, "criterion": "easy_reference", "loss": "softmax", "seed": 8}
    for name, value in others.items():
        changed = JointSelector(**({"num_select": 20, "gain": 1.0} | {name: value}))(*PAIR, step=0)
        assert changed.indices.tolist() == select_jointly(*PAIR, 20, **({"gain": 1.0} | {name: value})).indices.tolist()
        assert changed.indices.tolist() != plain.indices.tolist(), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_select": 0}, "num_select: is 0"),
        ({"num_select": 2.5}, "num_select: is 2.5; give a whole number"),
        ({"num_chunks": 0}, "num_chunks: is 0"),
        ({"gain": float("nan")}, "gain: is nan"),
        ({"criterion": "best"}, "criterion: 'best' is not known"),
        ({"loss": "hinge"}, "loss: 'hinge' is not known"),
        ({"seed": "one"}, "seed: is 'one'; give a whole number"),
        ({"tile": 0}, "tile: is 0"),
        (
            {"communication": torch.bfloat16},
            "communication: is torch.bfloat16, but there are no other ranks to send to",
        ),
    ],
)
def test_wrong_settings_are_told_before_the_first_step(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        JointSelector(**({"num_select": 20} | settings))


def test_too_many_of_one_super_batch() -> None:
    with pytest.raises(UserError, match="num_select: is 62 of a super-batch of 61"):
        JointSelector(num_select=62)(*PAIR, step=0)


@pytest.mark.parametrize("gain", [0.0, 2.0, 100.0])
def test_overlap_is_with_the_independent_pick_of_the_same_step(gain: float) -> None:
    rows = torch.randperm(900, generator=torch.Generator().manual_seed(0))[:61]
    how: dict[str, Any] = {"gain": gain, "seed": 4, "step": 5, "rows": rows}
    picked = select_jointly(*PAIR, 20, compare_independent=True, **how)
    alone = select_independently(*PAIR, 20, **how).indices.tolist()
    assert picked.independent is not None and picked.independent.tolist() == alone
    assert picked.overlap_independent == pytest.approx(len(set(alone) & set(picked.indices.tolist())) / 20)
    assert picked.overlap_independent < 1


def test_one_chunk_overlaps_wholly_and_asking_too_late_is_an_error() -> None:
    assert select_jointly(*PAIR, 20, num_chunks=1, compare_independent=True).overlap_independent == 1
    with pytest.raises(UserError, match="overlap_independent: was not asked for; select with compare_independent"):
        _ = select_jointly(*PAIR, 20).overlap_independent


def test_effective_temperature_is_that_of_the_standardised_scores() -> None:
    picked = select_jointly(*PAIR, 20, num_chunks=1, gain=3.0)
    z = (picked.scores - picked.scores.mean()) / picked.scores.std(correction=0)
    torch.testing.assert_close(
        torch.softmax(z / picked.effective_temperature, 0), torch.softmax(3.0 * picked.scores, 0), rtol=1e-9, atol=0
    )
    assert select_jointly(*PAIR, 20, gain=0.0).effective_temperature == math.inf
    same = PairEmbeddings(torch.ones(9, 2), torch.ones(9, 2), 3.0, 0.0)
    assert select_jointly(same, None, 2, criterion="hard_learner").effective_temperature == math.inf


def test_means() -> None:
    picked = select_jointly(*PAIR, 20)
    assert picked.mean_conditional_pick == pytest.approx(float(picked.conditional.mean()))
    first = dataclasses.replace(picked, indices=picked.indices[:3])
    assert isinstance(first, Selection) and first.mean_score_pick == pytest.approx(
        float(picked.scores[picked.indices[:3]].mean())
    )
