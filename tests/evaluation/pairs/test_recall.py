from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from superbatch.evaluation.pairs.recall import recall_in


def oracle(image: torch.Tensor, text: torch.Tensor, captions: list[str], of: int) -> list[float]:
    """All batches that hold the image's own caption, one after the other."""
    cosine = (image @ text.T).numpy()
    found = []
    for own in range(len(captions)):
        others = [other for other in range(len(captions)) if captions[other] != captions[own]]
        batches = list(combinations(others, min(of - 1, len(others))))
        hits = [all(cosine[own, own] > cosine[own, other] for other in batch) for batch in batches]
        found.append(np.mean(hits) if others else np.nan)
    return found


@pytest.mark.parametrize("of", [2, 4, 9, 64])
def test_the_chance_is_the_mean_over_all_batches(of: int) -> None:
    generator = torch.Generator().manual_seed(of)
    image = torch.nn.functional.normalize(torch.randn(9, 4, generator=generator, dtype=torch.float64), dim=1)
    text = torch.nn.functional.normalize(image + torch.randn(9, 4, generator=generator, dtype=torch.float64), dim=1)
    captions = [*"abcdefg", "a", "b"]
    assert recall_in(image, text, captions, of) == pytest.approx(oracle(image, text, captions, of), abs=1e-12)


def test_a_tie_is_a_miss_and_equal_captions_are_no_others() -> None:
    same = torch.ones(5, 3)
    assert list(recall_in(same, same, [*"abcde"], 3)) == [0] * 5
    assert np.isnan(recall_in(same, same, ["a"] * 5, 3)).all()
