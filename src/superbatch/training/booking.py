"""Record a step: its row of the ledger, its picks, and the rows of a bad step.

Shapes: B super-batch, b sub-batch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from superbatch.errors import UserError
from superbatch.files import shown
from superbatch.selection import Selection
from superbatch.training.bad_rows import save_bad_rows
from superbatch.training.dealing import collect
from superbatch.training.flops import Samples
from superbatch.training.live import LiveRun
from superbatch.training.pending import Pick
from superbatch.training.records import ABSENT
from superbatch.training.step import Measured, trained_on
from superbatch.training.watch import MOST_SKIPPED, memory

log = logging.getLogger(__name__)
PASSED_OVER = 32  # how many of the samples that were not chosen are recorded at each step


def book(run: LiveRun, pick: Pick, learning_rate: float, found: Sequence[Measured]) -> dict[str, Any]:
    """Count and record a step, and handle a bad one; returns its row of the ledger.

    Args:
        run, pick: whose step, on what.
        learning_rate: of the step.
        found: what it showed of each trained model.

    Raises:
        UserError: a bad step, where settings say to stop, or one too many in a row.
    """
    _count(run)
    row = _ledger_row(run, pick, learning_rate, found)
    run.records.add("ledger", row)
    run.records.add_table("picks", picked(pick.step, pick.rows_B, pick.selection, run.job.training.seed))
    bad = [(one.name, measured.bad) for one, measured in zip(run.trained, found, strict=True) if measured.bad]
    for one, measured in zip(run.trained, found, strict=True):
        one.watch.note(measured.loss, bool(bad))
    if bad:
        _bad_step(run, pick, *bad[0])
    return row


def _count(run: LiveRun) -> None:
    """Add a step's samples and operations, with what was scored since the last one."""
    b, totals, scored, measured = run.job.training.batch_size, run.totals, run.scored, run.measured
    samples = Samples.of_step(b, scored, measured)
    totals.samples_scored += scored
    totals.samples_trained += b
    totals.samples_measured += measured
    totals.samples_chosen += b if scored else 0
    totals.flops_as_executed += run.account.total(samples)
    totals.flops_paper += run.account.total(samples, as_executed=False)
    run.scored = run.measured = 0


@torch.no_grad()
def _ledger_row(run: LiveRun, pick: Pick, learning_rate: float, found: Sequence[Measured]) -> dict[str, Any]:
    seconds, totals, selection = run.clock.row(), run.totals, pick.selection
    totals.seconds += sum(seconds.values())
    row: dict[str, Any] = {
        "step": pick.step,
        "learning_rate": learning_rate,
        "loss": found[0].loss,
        "gradient_norm": found[0].gradient_norm,
        "skipped": any(measured.bad is not None for measured in found),
        **ABSENT,
        **run.job.task.facts(),
        **seconds,
        **memory(run.device),
        "flops_scoring": run.account.scoring(totals.samples_scored),
    }
    for one, measured in zip(run.trained[1:], found[1:], strict=True):
        row |= {f"loss_{one.name}": measured.loss}
        row |= {f"flops_{one.name}": run.account.training_of(one.name, totals.samples)}
    row |= {name: value for name, value in vars(totals).items() if name in run.records.schemas["ledger"].names}
    row["score_super_batch"] = selection.mean_score_superbatch if selection else None
    row["score_pick"] = selection.mean_score_pick if selection else None
    return row


def picked(step: int, rows: np.ndarray, selection: Selection | None, seed: int) -> dict[str, np.ndarray]:
    """Return the rows chosen at a step with their scores, and a sample of those passed over, as columns."""
    if selection is None:
        return {
            "step": np.full(len(rows), step),
            "row": rows,
            "score": np.full(len(rows), np.nan),
            "chosen": np.ones(len(rows), bool),
        }
    indices = selection.indices.cpu().numpy()
    passed = np.setdiff1d(np.arange(len(rows)), indices)
    passed = np.random.default_rng((seed, step)).permutation(passed)[:PASSED_OVER]
    shown_rows = np.concatenate([indices, passed])
    scores = selection.scores.cpu().numpy().astype(np.float64)
    return {
        "step": np.full(len(shown_rows), step),
        "row": rows[shown_rows],
        "score": scores[shown_rows],
        "chosen": np.arange(len(shown_rows)) < len(indices),
    }


def _bad_step(run: LiveRun, pick: Pick, model: str, reason: str) -> None:
    """Record the rows of a step that was not taken, as seen by the model whose loss was bad; then continue or stop, by the settings."""
    job, settings = run.job, run.job.training
    seen = trained_on(job.task.models[model], pick.batch, settings.batch_size, pick.super_batch)
    samples, found = collect(run.ranks, *seen), ""
    with run.whole(model):
        if run.ranks.is_first:
            file, worst = save_bad_rows(job, model, samples, pick.step, reason, run.records.directory)
    if run.ranks.is_first:
        found = f"{reason} at step {pick.step:,}; worst: {worst}; all {len(samples)} rows are in {shown(file)}"
    found = run.ranks.tell(found)
    if settings.on_bad_step == "stop":
        raise UserError(
            job.name, found, "lower training.optimizer.learning_rate, or set training.on_bad_step to skip such steps"
        )
    if run.learner.watch.in_a_row >= MOST_SKIPPED:
        raise UserError(
            job.name, f"{MOST_SKIPPED} bad steps in a row; {found}", "lower training.optimizer.learning_rate"
        )
    log.warning("%s: skipped a step: %s", job.name, found)
