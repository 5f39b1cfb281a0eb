from __future__ import annotations

import numpy as np
import pytest
import torch

from superbatch.evaluation.pairs import batches
from superbatch.evaluation.pairs.auc import auc_estimate
from superbatch.evaluation.pairs.batches import Pairs, conditional_trials, easy_reference_purity
from tests.selection.oracle import make_pairs, model_loss


def pairs(count: int, noise: float, loss: str = "sigmoid") -> Pairs:
    made = make_pairs(count, 16, 0, noise=noise)
    captions = [f"caption {number}" for number in range(count)]
    return Pairs(made.image_ND, made.text_ND, captions, made.scale, made.bias, loss)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_conditional_scores_are_the_losses_beside_the_chosen(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, asked = pairs(30, 0.5, loss), []
    scores_given = batches.scores_given
    monkeypatch.setattr(
        batches, "scores_given", lambda chosen, *args, **kwargs: (asked.append((chosen, args[1])), scores_given(chosen, *args, **kwargs))[1]
    )  # fmt: skip
    trials = conditional_trials(given, 0.4, 8, 0)
    assert len(trials) == batches.TRIALS
    for trial, (chosen, reference) in zip(trials, asked, strict=True):
        assert len(chosen) == 8 and sorted([*chosen.tolist(), *trial.pair]) == list(range(30))
        expected = -model_loss(reference, loss, chosen)[torch.from_numpy(trial.pair)]
        assert trial.score == pytest.approx(expected.numpy())
        assert np.array_equal(trial.true, (reference.text_ND == given.text_nD).all(1).numpy()[trial.pair])


def test_a_strong_reference_tells_them_apart_and_a_blind_one_does_not() -> None:
    strong, blind = (auc_estimate(conditional_trials(pairs(100, noise), 0.5, 32, 0), 100, 0) for noise in (0.3, 100))
    assert strong.low > 0.95
    assert blind.low < 0.5 < blind.high


def test_easy_reference_picks_true_pairs_by_a_strong_reference_and_at_chance_by_a_blind_one() -> None:
    strong, blind = (easy_reference_purity(pairs(200, noise), 0.6, 0) for noise in (0.3, 100))
    assert strong is not None and blind is not None
    assert strong.value > 0.95
    assert blind.value == pytest.approx(0.4, abs=0.15)
    assert easy_reference_purity(pairs(40, 0.3), 0.6, 0) is None, "it would pick two of forty"
