"""Reasons to trust an advice less: an unusual reference or pool, a run unlike the recorded ones, inconclusive probes."""

from __future__ import annotations

from superbatch.reporting.advice.budget import UNIFORM, is_near
from superbatch.reporting.advice.choice import Doubt
from superbatch.reporting.advice.measured import Measured
from superbatch.reporting.advice.recorded import LONGEST
from superbatch.reporting.numbers import percent

FEW_BATCHES = 10  # super-batches of 20 b in a pass: in a smaller pool (emoji has 3) no method was told from another
LARGEST = 20  # b / (1 - 0.95)
# Shares of right pairs at which a learner's estimate stood still on no recorded pool: simweb's stays at 36 %, icons' grows to 97 %.
LEAST_RECORDED, BETWEEN = 0.25, (0.45, 0.85)


def doubts_about(measured: Measured, preset: str, steps: int) -> tuple[Doubt, ...]:
    """Return the reasons to trust an advice less."""
    return (*_about_data(measured), *_about_run(measured, preset, steps))


def _about_data(measured: Measured) -> list[Doubt]:
    """What is unusual about the reference or the pool."""
    reference, pool, right, found = measured.reference, measured.pool, measured.right, list[Doubt]()
    if reference.auc is None:
        found.append(Doubt("too few curated pairs were held out to judge the reference"))
    elif reference.verdict == "unsure":
        found.append(Doubt("the reference check is unsure"))
    if right is not None and measured.settled and (right < LEAST_RECORDED or BETWEEN[0] <= right <= BETWEEN[1]):
        found.append(Doubt(f"the share of right pairs is {percent(right)} %, unlike on any recorded pool"))
    if pool.rows < FEW_BATCHES * LARGEST * pool.batch:
        found.append(
            Doubt(f"a pool of {pool.rows:,} rows is too small: on emoji (4,471 rows) no method was clearly ahead", 2)
        )
    return found


def _about_run(measured: Measured, preset: str, steps: int) -> list[Doubt]:
    """What is unusual about the run, or was not covered by the probes."""
    found = list[Doubt]()
    passes = measured.pool.passes(steps)
    if preset != UNIFORM and round(passes, 1) > LONGEST:
        words = f"the run goes through the pool {passes:.1f} times; no recorded run with selection does so more than {LONGEST:g} times"
        found.append(Doubt(words))
    if preset != UNIFORM and measured.uniform and measured.selecting and not measured.ahead:
        found.append(Doubt("no probe that selects is clearly ahead of uniform's"))
    alone = measured.reference.validation
    if alone is not None and is_near(measured) and all(alone > probe.interval[1] for probe in measured.probes):
        words = f"the reference alone is ahead of every probe ({percent(alone)} %): start from its weights (warm_start), or use it as it is"
        found.append(Doubt(words))
    return found
