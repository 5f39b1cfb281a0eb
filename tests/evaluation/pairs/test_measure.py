"""What the check finds of the pool, by the reference's embeddings of a sample."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from superbatch.evaluation.pairs.batches import Pairs
from superbatch.evaluation.pairs.measure import Seen, measure
from superbatch.selection.right_pairs import GATHERED


def pool(names: int, n: int = 1_000) -> Pairs:
    """Pairs of so many classes, each said in its own way, half of them wrong."""
    draw = torch.Generator().manual_seed(0)
    shown = torch.randint(names, (n,), generator=draw)
    named = torch.where(torch.rand(n, generator=draw) < 0.5, shown, torch.randint(names, (n,), generator=draw))
    centre = torch.randn(names, 32, generator=draw)
    image, text = (normalize(centre[of] + 0.3 * torch.randn(n, 32, generator=draw), dim=-1) for of in (shown, named))
    return Pairs(
        image, text, [f"caption {i} of {name}" for i, name in enumerate(named.tolist())], 10.0, -10.0, "sigmoid"
    )


@pytest.mark.parametrize(("names", "of_labels"), [(10, True), (300, False)])
def test_labels_are_told_though_no_two_captions_are_the_same(names: int, of_labels: bool) -> None:
    found = measure(Seen(None, None, pool(names), None, 0))
    assert found["of_labels"] is of_labels and (found["gathered"] < GATHERED) is of_labels


def test_equal_captions_are_labels_however_few_there_are() -> None:
    names = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))[torch.arange(600) % 3]
    names = normalize(names, dim=-1)
    found = measure(Seen(None, None, Pairs(names, names, ["one of three"] * 600, 10.0, -10.0, "sigmoid"), None, 0))
    assert found["of_labels"] is True and found["gathered"] is None


def test_a_handful_of_pairs_tells_nothing() -> None:
    found = measure(Seen(None, None, pool(10, 3), None, 0))
    assert found["of_labels"] is False and found["gathered"] is None
