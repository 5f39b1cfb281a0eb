"""Super-batch sizes that follow the learner: from measured shares of right pairs to the number of rows a step looks at.

A run's steps are cut into windows. Before each the share is measured (`selection.right_pairs`), and B stays for the window. With
`selection.then.after: null` the learner's lead over the reference is measured too, and may make it choose for itself. Or f falls to 0, and nothing
is measured any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from superbatch.data.order import Candidates, Order
from superbatch.options import LOOK_BACK, SelectionSettings, Stretch

# Name and split of each measurement in a run's table of evaluations.
MEASURED = ("pool/right_pairs", "pool")
LEAD = ("pool/lead_over_reference", "pool")
LABELS = ("pool/captions_are_labels", "pool")  # 1 where they are, 0 where not
LAST = ("pool/last_measurement", "pool")  # once, 1: from there f falls to 0
MEASUREMENTS = (MEASURED, LEAD, LABELS, LAST)  # as `Looks` has them
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


class Looks(NamedTuple):
    """What was measured before each window so far.

    Attributes:
        shares: of pairs that look right to the learner.
        leads: the learner's over the reference, at least; where captions look like labels, at most. Empty where they were not measured.
        labels: whether captions look like labels, 1 or 0, beside each lead.
        last: 1 where nothing was measured after them, since all pairs are taken soon; empty before.
    """

    shares: Sequence[float] = ()
    leads: Sequence[float] = ()
    labels: Sequence[float] = ()
    last: Sequence[float] = ()

    @classmethod
    def recorded(
        cls,
        shares: Sequence[float],
        leads: Sequence[float],
        labels: Sequence[float],
        last: Sequence[float] = (),
    ) -> Looks:
        """Return what was recorded; runs before labels were looked for have no such value, or only their later part does: they count as none."""
        return cls(shares, leads, [*[0.0] * (len(leads) - len(labels)), *labels], last)

    def like_labels(self, number: int) -> bool:
        """Whether captions looked like labels before a window."""
        return number < len(self.labels) and self.labels[number] > 0

    def of_labels(self, number: int) -> bool:
        """Whether captions are labels, as far as is known before a window: they looked so as often as `LOOK_BACK` reaches back to.

        Once is not enough: a learner that has only begun to tell kinds of things apart finds the captions of a kind alike, whatever they say.
        """
        return all(self.like_labels(one) for one in range(number - LOOK_BACK + 1, number + 1))


def outgrown(selection: SelectionSettings, looks: Looks) -> int | None:
    """Return the window from which on the reference chooses no more; None for none so far.

    It is the first by whose start the learner was ahead of the reference for certain, no longer came on much by its choice, and would leave out
    enough itself (`selection.then.min_filter_ratio`). Where captions are labels it is the first by whose start it was not behind for certain:
    training on all pairs averages wrong labels out.
    """
    known = smoothed(looks.shares)
    for number in range(LOOK_BACK, len(looks.leads)):
        lead = looks.leads[number]
        if looks.like_labels(number):
            if looks.of_labels(number) and lead >= 0:
                return number
        elif lead > 0 and known[number] - known[number - LOOK_BACK] < GROWING and _enough(selection, known[number]):
            return number
    return None


def takes_all(selection: SelectionSettings, looks: Looks) -> bool:
    """Whether the reference is outgrown and followed by all pairs, since captions are labels."""
    number = outgrown(selection, looks)
    return number is not None and looks.of_labels(number)


def is_last(selection: SelectionSettings, looks: Looks) -> bool:
    """Whether the last look is the one by which all pairs are taken in the end: nothing needs to be measured any more.

    An earlier one is that of a run from before f fell. It measures on, and takes all pairs at once.
    """
    return takes_all(selection, looks) and outgrown(selection, looks) == len(looks.leads) - 1


def falling(selection: SelectionSettings, looks: Looks) -> range | None:
    """Return the steps over which f falls to 0, as many as `LOOK_BACK` windows have; None where it does not, as far as is known."""
    if not looks.last:
        return None
    assert selection.adapt is not None, "else nothing is measured"
    first = (len(looks.leads) - 1) * selection.adapt.every
    return range(first, first + LOOK_BACK * selection.adapt.every)


def follows(selection: SelectionSettings, looks: Looks, step: int) -> str:
    """What follows a reference that is found outgrown before a step, in words."""
    steps = falling(selection, looks)
    if steps is None:
        return f"it chooses for itself from step {step:,} on"
    return f"captions are labels, so f falls from step {step:,} on, and all pairs are taken from step {steps.stop:,} on"


def _enough(selection: SelectionSettings, share: float) -> bool:
    adapt, then = selection.adapt, selection.then
    assert adapt is not None and then is not None, "leads are measured where both are set"
    return adapt.left_out(share, then.filter_ratio) >= then.min_filter_ratio


def stretches_of(selection: SelectionSettings, steps: int, looks: Looks) -> tuple[Stretch, ...]:
    """Return which steps choose by which rule, as far as is known; those to come by the rule of the last."""
    if not selection.outgrows:
        return selection.stretches(steps)
    assert selection.adapt is not None, "refused without"
    number = None if looks.last else outgrown(selection, looks)  # where f falls, the reference goes on choosing
    return selection.stretches(steps, steps if number is None else min(steps, number * selection.adapt.every))


def windows_of(selection: SelectionSettings, b: int, looks: Looks) -> tuple[Candidates, ...]:
    """Return how many rows the steps of the windows so far look at; steps behind them as many as the last.

    Once all are taken, that is b. Where captions are labels the last of them is not a window: B falls to b.

    Args:
        selection: with `adapt`. b: the batch size. looks: as measured.
    """
    adapt, first = selection.adapt, outgrown(selection, looks)
    assert adapt is not None, "f is as set"
    own, last = selection.rules[0], selection.rules[-1]
    most = {rule: max(rule.sizes(b)) for rule in (own, last)}
    of_labels = first is not None and looks.of_labels(first)
    found: list[Candidates] = []
    for number, share in enumerate(smoothed(looks.shares)):
        if looks.last and number == first:
            return *found, Candidates(adapt.size(share, b, most[own]), b, LOOK_BACK * adapt.every)
        rule = own if first is None or number < first else last
        size = adapt.size(share, b, most[rule])
        if (rule is not own and of_labels) or (rule.scores and WORTH_SCORING * (size - b) < size):
            size = b
        found.append(Candidates(size, size, adapt.every))
    return tuple(found)


def measured_order(order: Order, selection: SelectionSettings, b: int, looks: Looks, aside: int) -> Order:
    """Return the order of a run as far as it is known by what was measured.

    Args:
        order: by its settings alone. selection, b, looks: as `windows_of` takes them. aside: rows that it measures by.
    """
    found = replace(order, candidates=windows_of(selection, b, looks))
    steps = falling(selection, looks)
    return found if steps is None else found.with_more(steps.stop, aside)
