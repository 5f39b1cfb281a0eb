"""The noise is Gumbel, a pure function of its key, and unrelated between any two keys."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from superbatch.selection.noise import gumbel

ROWS = torch.arange(50_000)
KNOWN = [-1.4448032416828864, -0.40594623423170684]


def test_is_gumbel() -> None:
    noise = gumbel(3, 4, range(2), ROWS)
    assert noise.dtype == torch.float64 and noise.shape == (2, len(ROWS))
    for chunk in noise:
        assert stats.kstest(chunk.numpy(), "gumbel_r").pvalue > 1e-3


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0), (2**63, 0, 0)])
def test_seed_step_and_chunk_each_give_other_noise(other: tuple[int, int, int]) -> None:
    seed, step, chunk = other
    pair = torch.stack([gumbel(0, 0, range(1), ROWS)[0], gumbel(seed, step, range(chunk, chunk + 1), ROWS)[0]])
    assert (pair[0] == pair[1]).sum() == 0
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 4 / len(ROWS) ** 0.5


def test_keys_do_not_swap() -> None:
    assert not torch.equal(gumbel(1, 2, range(1), ROWS), gumbel(2, 1, range(1), ROWS))
    assert not torch.equal(gumbel(0, 1, range(1), ROWS)[0], gumbel(0, 0, range(1, 2), ROWS)[0])


def test_depends_on_the_row_alone_not_on_its_place() -> None:
    order = torch.randperm(len(ROWS), generator=torch.Generator().manual_seed(0))
    assert torch.equal(gumbel(5, 6, range(3), ROWS[order]), gumbel(5, 6, range(3), ROWS)[:, order])
    assert torch.equal(gumbel(5, 6, range(3), ROWS)[1:], gumbel(5, 6, range(1, 3), ROWS))


def test_huge_and_negative_rows_are_finite_and_distinct() -> None:
    rows = torch.tensor([0, 1, 2**40, 2**62, 2**63 - 1, -1, -(2**63)])
    noise = gumbel(0, 0, range(1), rows)[0]
    assert noise.isfinite().all() and len(noise.unique()) == len(rows)


def test_known_values_stay() -> None:
    """Picks of old runs can be made again only while these hold."""
    assert gumbel(1, 2, range(3, 4), torch.tensor([0, 7]))[0].tolist() == pytest.approx(KNOWN, rel=1e-14)
