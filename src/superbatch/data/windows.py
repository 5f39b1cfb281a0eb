"""Super-batch sizes that follow the learner: from measured shares of right pairs to the number of rows a step looks at.

A run's steps are cut into windows. Before each the share is measured (`selection.right_pairs`), and B stays for the window. With
`selection.then.after: null` the learner's lead over the reference is measured too, and may make it choose for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from superbatch.data.order import Candidates
from superbatch.options import LOOK_BACK, SelectionSettings, Stretch

# Name and split of a measurement in a run's table of evaluations.
MEASURED = ("pool/right_pairs", "pool")
LEAD = ("pool/lead_over_reference", "pool")
# Share of the previous value kept at each measurement. A sample of 1,000 pairs is accurate to about 2 points, and B is a power of it, so
# it would jump at small shares. With 0.7 the scatter is 0.42 of that, and the value lags by two measurements.
KEPT = 0.7
# Where a model scores, leaving out fewer than one row in so many is not worth a scoring pass over all, half a step or more: then all are taken.
WORTH_SCORING = 3
# As long as the share of right pairs grows by as much over `LOOK_BACK` measurements, the learner comes on well by the reference's choice.
GROWING = 0.05


def smoothed(shares: Iterable[float]) -> list[float]:
    """Return the share that counts after each of some measurements; the first of them counts as it is."""
    return list(accumulate(shares, lambda before, share: KEPT * before + (1 - KEPT) * share))


def outgrown(selection: SelectionSettings, shares: Sequence[float], leads: Sequence[float]) -> int | None:
    """Return the window from which on the learner chooses for itself; None for none so far.

    It is the first by whose start the learner was ahead of the reference, no longer came on much by its choice, and would leave out enough itself
    (`selection.then.min_filter_ratio`).

    Args:
        selection: the run's. shares, leads: as measured before each window; leads are empty where they were not.
    """
    known = smoothed(shares)
    for number in range(LOOK_BACK, len(leads)):
        if (
            leads[number] > 0
            and known[number] - known[number - LOOK_BACK] < GROWING
            and _enough(selection, known[number])
        ):
            return number
    return None


def _enough(selection: SelectionSettings, share: float) -> bool:
    adapt, then = selection.adapt, selection.then
    assert adapt is not None and then is not None, "leads are measured where both are set"
    return adapt.left_out(share, then.filter_ratio) >= then.min_filter_ratio


def stretches_of(
    selection: SelectionSettings, steps: int, shares: Sequence[float], leads: Sequence[float]
) -> tuple[Stretch, ...]:
    """Return which steps choose by which rule, as far as is known; those to come by the rule of the last.

    Args:
        selection: the run's. steps: of the run. shares, leads: as for `outgrown`.
    """
    if not selection.outgrows:
        return selection.stretches(steps)
    assert selection.adapt is not None, "refused without"
    number = outgrown(selection, shares, leads)
    return selection.stretches(steps, steps if number is None else min(steps, number * selection.adapt.every))


def windows_of(
    selection: SelectionSettings, b: int, shares: Sequence[float], leads: Sequence[float] = ()
) -> tuple[Candidates, ...]:
    """Return how many rows the steps of the windows so far look at; steps behind them as many as the last.

    Args:
        selection: with `adapt`. b: the batch size. shares, leads: as for `outgrown`.
    """
    adapt, first = selection.adapt, outgrown(selection, shares, leads)
    assert adapt is not None, "f is as set"
    own, last = selection.rules[0], selection.rules[-1]
    most = {rule: max(rule.sizes(b)) for rule in (own, last)}
    found = []
    for number, share in enumerate(smoothed(shares)):
        rule = own if first is None or number < first else last
        size = adapt.size(share, b, most[rule])
        if rule.scores and WORTH_SCORING * (size - b) < size:
            size = b
        found.append(Candidates(size, size, adapt.every))
    return tuple(found)
