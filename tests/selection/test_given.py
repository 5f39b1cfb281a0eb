from __future__ import annotations

import pytest
import torch

from superbatch.errors import UserError
from superbatch.selection import scores_given
from tests.selection.oracle import make_pairs, score


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
@pytest.mark.parametrize("criterion", ["learnability", "easy_reference", "hard_learner", "easy_learner"])
@pytest.mark.parametrize("tile", [None, 7])
def test_conditional_scores_are_those_of_the_matrices(loss: str, criterion: str, tile: int | None) -> None:
    learner, reference = make_pairs(40, 8, 0), make_pairs(40, 8, 1, noise=0.3)
    chosen = torch.tensor([39, 3, 17, 0, 8])
    found = scores_given(chosen, learner, reference, criterion=criterion, loss=loss, tile=tile)
    left = torch.ones(40, dtype=torch.bool).index_fill(0, chosen, False)
    expected = score(learner, reference, criterion, loss, chosen)
    assert found[~left].isnan().all()
    torch.testing.assert_close(found[left], expected[left], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chosen", [[], [3, 3], [40], [-1]])
def test_what_is_chosen_are_samples_of_the_batch(chosen: list[int]) -> None:
    with pytest.raises(
        UserError, match="chosen: does not name distinct samples of 40; give numbers from 0 to 39, each once"
    ):
        scores_given(torch.tensor(chosen), None, make_pairs(40, 8, 0), criterion="easy_reference")
