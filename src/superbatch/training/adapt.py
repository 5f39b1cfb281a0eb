"""A filter ratio that follows the learner (`selection.adapt`): window by window the share of right pairs is measured, and B follows.

With `selection.then.after: null` the learner is compared with the reference on the same pairs, and chooses for itself once it is ahead.

As long as pairs are measured by they are not trained on: learned by heart they would all look right. What was measured is recorded with the
evaluations and so with each state; a run that goes on knows the sizes of all windows that it has begun, and measures for those to come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from superbatch.data.fields import Batch
from superbatch.data.windows import LAST, MEASUREMENTS, Looks, follows, is_last, measured_order, outgrown, smoothed
from superbatch.models import evaluating
from superbatch.options import Stretch
from superbatch.selection import WIDE, few_texts, lead, p_values, say_few_things, share_of_right
from superbatch.training.choosing import score_slice
from superbatch.training.live import LiveRun
from superbatch.training.random_state import keeping_random_state
from superbatch.training.task import LEARNER

log = logging.getLogger(__name__)


def windows(run: LiveRun, part: Stretch) -> Iterator[Stretch]:
    """Cut steps where B may change; whoever asks for a window has trained on all steps before it, and `run.order` knows its B from then on.

    Steps of a run whose f is as set are one window, and so are those in which f falls to 0 for good. Where it is found that the learner
    has outgrown the reference, those left choose by another rule, and the windows end.
    """
    adapt, (steps, rule) = run.job.selection.adapt, part
    if adapt is None or run.looks.last:
        yield part
        return
    first = steps.start
    while first < steps.stop:
        number = first // adapt.every
        if number == len(run.looks.shares):
            _measure(run, first)
            if number == outgrown(run.job.selection, run.looks):
                return
        end = min((number + 1) * adapt.every, steps.stop)
        yield Stretch(range(first, end), rule)
        first = end


def restore(run: LiveRun) -> None:
    """Take over what was measured before a run was stopped; collective."""
    if run.job.selection.adapt is None:
        return
    found: list[list[float]] = []
    if run.ranks.is_first:
        table = run.records.read("evaluations")
        found = [_recorded(table, which) for which in MEASUREMENTS]
    _follow(run, Looks.recorded(*run.ranks.tell(found)))


def _recorded(table: pa.Table, which: tuple[str, str]) -> list[float]:
    """Return what was measured of a kind, in order of steps."""
    name, split = (pc.equal(table[column], value) for column, value in zip(("name", "split"), which, strict=True))
    values: list[float] = table.filter(pc.and_(name, split))["value"].to_pylist()
    return values


def samples_measured(run: LiveRun, steps: range) -> int:
    """Return how many samples are run forward to measure in some steps, by the plan."""
    adapt, aside = run.job.selection.adapt, run.job.source.aside
    if adapt is None or aside is None:
        return 0
    return len(aside) * (-(-steps.stop // adapt.every) - -(-steps.start // adapt.every))


def _measure(run: LiveRun, step: int) -> None:
    """Measure before a step by the present weights, record it, and let B follow; rank 0's value counts."""
    with run.whole():
        found = run.ranks.tell(_look(run) if run.ranks.is_first else None)
    assert found is not None and run.job.source.aside is not None, "rank 0 tells"
    run.measured += len(run.job.source.aside)
    looks = [list(known) for known in run.looks]
    for (name, split), value, known in zip(MEASUREMENTS, found, looks, strict=False):
        run.records.add("evaluations", {"step": step, "name": name, "value": value, "split": split})
        known.append(value)
    if is_last(run.job.selection, Looks(*looks)):
        name, split = LAST
        run.records.add("evaluations", {"step": step, "name": name, "value": 1.0, "split": split})
        looks[-1].append(1.0)
        run.sample = run.by_reference = None
    _follow(run, Looks(*looks))
    run.clock.lap("score")
    _say(run, step)


def _follow(run: LiveRun, looks: Looks) -> None:
    job = run.job
    assert job.source.aside is not None, "what is measured by"
    run.looks = looks
    run.order = measured_order(job.order, job.selection, job.training.batch_size, looks, len(job.source.aside))


def _look(run: LiveRun) -> list[float]:
    """Return the share of pairs that look right and, where the learner may outgrow the reference, its lead and whether one side is labels."""
    task, outgrows = run.job.task, run.job.selection.outgrows
    if run.sample is None:  # read once: the same pairs are used for every measurement
        left_out, reads = run.job.source.left_out, task.reads_by(run.job.selection.rules[0])
        names = dict.fromkeys((*reads.training, *(reads.scoring if outgrows else ())))
        run.sample = left_out.read(names, np.arange(left_out.num_rows), 0)
        run.clock.lap("data")
    p = p_values(*_embedded(run, task.sides))
    if not outgrows:
        return [share_of_right(p)]
    if run.by_reference is None:
        images, texts = _embedded(run, task.reference_sides)
        run.by_reference, run.few = p_values(images, texts), few_texts(texts)
    # A learner that follows a reference on labels comes level with it and no further: it is enough not to be behind for certain.
    if run.few:  # An image's label stands out or not; of a label's many images none does.
        return [share_of_right(p), -lead(run.by_reference[:1], p[:1]), 1.0]
    if say_few_things(p):
        return [share_of_right(p), -lead(run.by_reference, p, WIDE), 1.0]
    return [share_of_right(p), lead(p, run.by_reference), 0.0]


@torch.no_grad()
def _embedded(run: LiveRun, sides: Callable[[Batch], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Embed both sides of the held-out pairs, a slice at a time."""
    assert run.sample is not None, "read before"
    at_once = score_slice(run.job.training, run.device, run.sample)
    cuts = [run.sample.cut(start, start + at_once) for start in range(0, len(run.sample), at_once)]
    with keeping_random_state(run.device), evaluating(run.job.task.models[LEARNER].module):
        images, texts = zip(*(sides(cut.to(run.device)) for cut in cuts), strict=True)
    return torch.cat(images), torch.cat(texts)


def _say(run: LiveRun, step: int) -> None:
    """Say what was measured at the start, at the first measurement after each evaluation, and where the learner begins to choose for itself."""
    adapt, evaluated = run.job.selection.adapt, run.job.training.evaluate_every
    assert adapt is not None, "else nothing is measured"
    if step // adapt.every == outgrown(run.job.selection, run.looks):
        log.info(
            "%s: the learner has outgrown the reference: %s", run.job.name, follows(run.job.selection, run.looks, step)
        )
    elif step and step // evaluated == (step - adapt.every) // evaluated:
        return
    share, size = smoothed(run.looks.shares)[-1], run.order.size(step)
    log.info(
        "%s: %.0f %% of the pool's pairs look right to the learner: B = %s, f = %.2f",
        *(run.job.name, 100 * share, f"{size:,}", 1 - run.job.training.batch_size / size),
    )
