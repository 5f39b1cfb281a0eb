"""Super-batches that follow the learner: from the shares of right pairs that were measured along a run to how many rows its steps look at.

A run's steps are cut into windows. Before each the share is measured (`selection.right_pairs`), and B stays for the window.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from superbatch.data.order import Candidates
from superbatch.options import SelectionSettings

MEASURED = ("pool/right_pairs", "pool")  # name and split of a measurement in a run's table of evaluations
# What stays of the value before at each measurement. A sample of 1,000 pairs measures to 2 points or so, and B goes by a power of it, so that
# small shares would make it jump. With 0.7 the scatter is 0.42 of that, and the value is two measurements late.
KEPT = 0.7


def smoothed(shares: Iterable[float]) -> list[float]:
    """Return the share that counts after each of some measurements; the first of them counts as it is."""
    return list(accumulate(shares, lambda before, share: KEPT * before + (1 - KEPT) * share))


def windows_of(selection: SelectionSettings, b: int, shares: Iterable[float]) -> tuple[Candidates, ...]:
    """Return how many rows the steps of the windows so far look at; steps behind them as many as the last.

    Args:
        selection: with `adapt`. b: the batch size. shares: as measured before each window.
    """
    adapt, largest = selection.adapt, selection.largest(b)
    assert adapt is not None, "f is as set"
    sizes = [adapt.size(share, b, largest) for share in smoothed(shares)]
    return tuple(Candidates(size, size, adapt.every) for size in sizes)
