"""Selection by a number a sample: the draw that independent selection makes of its own scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superbatch.errors import UserError
from superbatch.selection import PairEmbeddings, select_by_scores, select_independently


def pairs(count: int, name: str, scale: float) -> PairEmbeddings:
    generator = torch.Generator().manual_seed(len(name))
    sides = (torch.nn.functional.normalize(torch.randn(count, 8, generator=generator), dim=1) for _ in range(2))
    return PairEmbeddings(*sides, scale, -1.0, name)


@pytest.mark.parametrize("gain", [0.0, 1.0, 100.0])
def test_on_the_same_scores_it_picks_as_independent_selection(gain: float) -> None:
    rows = torch.from_numpy(np.random.default_rng(3).permutation(500)[:64])
    models = pairs(64, "learner", 12.0), pairs(64, "reference", 9.0)
    key = {"gain": gain, "seed": 5, "step": 7, "rows": rows}
    theirs = select_independently(*models, 16, **key)
    ours = select_by_scores(theirs.scores, 16, **key)
    assert torch.equal(ours.indices, theirs.indices) and torch.equal(ours.conditional, theirs.scores[ours.indices])
    assert ours.chunk_sizes == (16,) and ours.gain == gain


def test_chances_go_by_the_exponentials() -> None:
    """One of three: over many steps, as often as exp(gain * score) says."""
    scores, counts = torch.tensor([0.0, 1.0, 2.0]), torch.zeros(3)
    for step in range(4_000):
        counts[select_by_scores(scores, 1, gain=0.7, step=step).indices] += 1
    expected = torch.softmax(0.7 * scores, 0) * 4_000
    assert float(((counts - expected) ** 2 / expected).sum()) < 13.8  # chi-square, 2 degrees of freedom, 0.1 %


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        (torch.zeros(4, 2), r"scores: are torch.float32 \[4, 2\]; give one number for each sample"),
        (torch.arange(4), r"scores: are torch.int64 \[4\]"),
        (torch.tensor([0.0, float("nan"), 1.0, 2.0]), "scores: sample 1 has nan"),
    ],
)
def test_what_is_no_score_is_one_line(scores: torch.Tensor, line: str) -> None:
    with pytest.raises(UserError, match=line):
        select_by_scores(scores, 2)
