"""The batches of a run in order of steps: read, scored and chosen in one of three ways.

Uniform reads what it trains on. Where a model scores, the super-batch is read ahead, scored by the present weights, and what training
needs besides is read of the chosen alone. Where scores need no weights, batches are chosen ahead, and nothing but the chosen is read
for training. Where `selection.then` takes over, one way ends and another begins, with readers of its own; which step that is may turn out on
the way. With `selection.adapt` steps are read and chosen window by window, by the same workers: nothing is read ahead over a measurement.

Shapes: B super-batch, b sub-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from itertools import chain

import numpy as np
import torch

from superbatch.data.fields import Batch
from superbatch.options import Rule, Stretch
from superbatch.selection import Selection
from superbatch.training.adapt import windows
from superbatch.training.ahead import reading_ahead
from superbatch.training.choosing import agree, choose, score, score_slice
from superbatch.training.dealing import deal, own_places
from superbatch.training.distributed import Ranks
from superbatch.training.job import Job
from superbatch.training.live import LiveRun
from superbatch.training.pending import Pick
from superbatch.training.random_state import seed_step
from superbatch.training.reading import SCORING, TRAINING, Phase, Reader, read_ahead


def picks(run: LiveRun, first: int) -> Generator[Pick, None, None]:
    """Yield the picks of the steps from `first`, each k = `stale_steps` steps after it was chosen.

    Whoever asks for the next one has trained on the last: so the weights that choose for a step are those of k steps before it, or the
    starting ones. The last k steps read and score nothing.
    """
    with reading_ahead(run, first) as ahead:
        while first < run.job.training.steps:
            part = next(part for part in run.stretches if first in part.steps)
            for pick in _picks(run, part, first):
                ahead(pick.step)
                yield pick
                first = pick.step + 1


def _picks(run: LiveRun, part: Stretch, first: int) -> Iterator[Pick]:
    """Yield the picks of the steps from `first` that choose by one rule; none waits when they end."""
    phases, draw = reading_phases(run.job, run.ranks, part), _how(run, part.rule)
    left = Stretch(range(first + len(run.pending), part.steps.stop), part.rule)
    with Reader(run.job.source, phases, run.job.training.workers, run.device) as reader:
        for pick in chain.from_iterable(draw(run, reader, window) for window in windows(run, left)):
            run.pending.append(pick)
            if len(run.pending) > run.job.selection.stale_steps:
                yield _complete(run, reader, run.pending.popleft())
        while run.pending:
            yield _complete(run, reader, run.pending.popleft())


def _how(run: LiveRun, rule: Rule) -> Callable[[LiveRun, Reader, Stretch], Iterator[Pick]]:
    """How a rule chooses batches."""
    if rule.method == "uniform":
        return _all
    return _chosen_ahead if run.job.task.reads_by(rule).ahead else _chosen_by_weights


def reading_phases(job: Job, ranks: Ranks, part: Stretch) -> dict[str, Phase]:
    """Return what a rank reads of each of some steps, and how many samples at most."""
    reads, big_b = job.task.reads_by(part.rule), job.order.largest(part.steps)
    share, slice_n = (max(ranks.counts(total)) for total in (job.training.batch_size, big_b))
    if part.rule.method == "uniform":
        return {TRAINING: Phase(reads.training, share)}
    if reads.ahead:
        return {SCORING: Phase(reads.scoring, big_b), TRAINING: Phase(reads.training, share)}
    phases = {SCORING: Phase(reads.scoring, slice_n)}
    if reads.later:
        phases[TRAINING] = Phase(reads.later, share, kept=job.selection.stale_steps)
    return phases


def _all(run: LiveRun, reader: Reader, part: Stretch) -> Iterator[Pick]:
    for step, batch in zip(part.steps, read_ahead(reader, TRAINING, _own(run, part.steps)), strict=True):
        run.clock.lap("data")
        yield Pick(step, batch, _whole_rows(run, step, batch), None)


def _own(run: LiveRun, steps: range) -> Iterator[tuple[int, np.ndarray]]:
    """Steps, and this rank's slice of the super-batch of each."""
    return ((step, run.own_positions(step)) for step in steps)


def _whole_rows(run: LiveRun, step: int, slice_n: Batch) -> np.ndarray:
    """Row numbers of a step's whole super-batch, of which this is the rank's slice."""
    return slice_n.rows if run.ranks.world == 1 else run.rows(run.order.rows(step))


def _chosen_by_weights(run: LiveRun, reader: Reader, part: Stretch) -> Iterator[Pick]:
    super_batches = read_ahead(reader, SCORING, _own(run, part.steps))
    for step in part.steps:
        yield _choose(run, reader, step, part.rule, super_batches)


def _choose(run: LiveRun, reader: Reader, step: int, rule: Rule, super_batches: Iterator[Batch]) -> Pick:
    """Score the next super-batch with the present weights, choose the batch of its step, and have the rest of it read.

    The super-batch is let go here: while a step trains, only what was chosen of it stays on the device, unless a model trains on all of it.
    """
    batch = next(super_batches)
    run.clock.lap("data")
    reads, rows = run.job.task.reads_by(rule), _whole_rows(run, step, batch)
    selection = None if _takes_all(run, rows) else _scored(run, step, rule, batch)
    indices = torch.arange(len(rows)) if selection is None else selection.indices
    re_used = batch.only(name for name in reads.training if name in reads.scoring)
    share = deal(run.ranks, re_used, rows, indices)
    whole = re_used if any(one.model.on_all for one in run.trained) else None
    if reads.later:
        reader.ask(TRAINING, step, run.order.rows(step)[own_places(run.ranks, indices)])
    run.scored += 0 if selection is None else len(rows)
    run.clock.lap("select")
    return Pick(step, share, rows, selection, whole)


def _takes_all(run: LiveRun, rows: np.ndarray) -> bool:
    """Whether an f that follows the learner has come to 0: with nothing to leave out, nothing is scored."""
    return run.job.selection.adapt is not None and len(rows) == run.job.training.batch_size


def _scored(run: LiveRun, step: int, rule: Rule, batch: Batch) -> Selection:
    """Score a super-batch, of which this is the rank's slice, and choose."""
    job, settings = run.job, run.job.training
    seed_step(settings.seed, step, run.ranks.rank, run.device, "scoring")
    most = None if run.shards is None else max(run.ranks.counts(run.order.size(step)))
    scores = score(job.task, batch, rule, score_slice(settings, run.device, batch), most)
    run.clock.lap("score")
    return choose(scores, batch.rows, settings.batch_size, job.selection, settings.seed, step, run.ranks)


def _complete(run: LiveRun, reader: Reader, pick: Pick) -> Pick:
    """Add what is read of the chosen alone, where it is not there yet."""
    if set(run.job.task.reads.training) <= set(pick.batch.fields):
        return pick
    run.clock.skip()
    batch = pick.batch.beside(reader.take(TRAINING, pick.step))
    run.clock.lap("data")
    return replace(pick, batch=batch)


def _chosen_ahead(run: LiveRun, reader: Reader, part: Stretch) -> Iterator[Pick]:
    """Every rank chooses for itself from the whole super-batch: scores come from cached embeddings, and only a digest is sent."""
    drawn: dict[int, np.ndarray] = {}
    chosen: dict[int, Pick] = {}

    def whole() -> Iterator[tuple[int, np.ndarray]]:
        for step in part.steps:
            drawn[step] = run.order.rows(step)
            yield step, drawn[step]

    def wanted() -> Iterator[tuple[int, np.ndarray]]:
        for step, batch in zip(part.steps, read_ahead(reader, SCORING, whole()), strict=True):
            selection = _choose_ahead(run, step, part.rule, batch)
            chosen[step] = Pick(step, batch.only(()), batch.rows, selection)
            yield step, drawn.pop(step)[own_places(run.ranks, selection.indices)]

    for step, batch in zip(part.steps, read_ahead(reader, TRAINING, wanted()), strict=True):
        run.clock.lap("data")
        yield replace(chosen.pop(step), batch=batch)


def _choose_ahead(run: LiveRun, step: int, rule: Rule, batch: Batch) -> Selection:
    job, settings = run.job, run.job.training
    run.clock.lap("data")
    scores = score(job.task, batch, rule, len(batch))
    how = (settings.batch_size, job.selection, settings.seed, step)
    selection = agree(run.ranks, choose(scores, batch.rows, *how), step)
    run.clock.lap("select")
    return selection
