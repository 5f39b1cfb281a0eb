"""The rules of the advice: from what was measured to a preset, with the recorded rows behind it, and how sure it is.

Asked in this order, the first that holds decides. There are few of them, and each has its evidence; none was fitted to a single pool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from superbatch.reporting.advice.measured import NOTHING, Measured, Probe
from superbatch.reporting.advice.recorded import LONGEST, MOSTLY_RIGHT, NOISY, SHORTEST, Row, plain_steps, rows
from superbatch.reporting.numbers import percent

Confidence = Literal["high", "medium", "low"]
UNIFORM, EASY, SAFE = "uniform", "easy_reference", "safe"
SELF_PACED, FLEXI = "adaptive_self_paced", "flexi_self_paced"
# A budget of so many times the probes' steps is near to them: what is ahead there is ahead at its end, too.
NEAR = 2
# How many times the steps of uniform a selected step is worth at least, by the pool. simweb: 13 and more, sure to 8. icons: 4,000 steps end
# above uniform's 8,000, 2,000 below them, so 3 is between.
WORTH = {"noisy": 8, "mostly_right": 3, "unsettled": 3, "unknown": 3}
FEW_BATCHES = 10  # super-batches of 20 b in a pass: in a smaller pool (emoji has 3) no method was told from another
LARGEST = 20  # b / (1 - 0.95)
# Shares of right pairs at which a learner's estimate stood still on no recorded pool: simweb's stands at 36 %, icons' grows to 97 %.
LEAST_RECORDED, BETWEEN = 0.25, (0.45, 0.85)


class Doubt(NamedTuple):
    """Why an advice is less sure, and how much that counts: 1 takes a step of confidence, 2 takes both."""

    words: str
    weight: int = 1


@dataclass(frozen=True)
class Choice:
    """What a rule says.

    Attributes:
        rule: its name. presets: the one to run, then those to take in its place, in order.
        why: in words. evidence: recorded rows behind it. change: what would change it.
        doubts: of this rule's own.
    """

    rule: str
    presets: tuple[str, ...]
    why: str
    evidence: tuple[Row, ...] = ()
    change: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True)
class Advice:
    """Which preset to run, for how long, why, and how sure that is.

    Attributes:
        preset, steps: what to run.
        runner_up: what comes next; None where there is nothing else.
        confidence: high, medium or low, and `doubts`, why it is not higher.
        rule, why, evidence, change: as in `Choice`.
    """

    preset: str
    steps: int
    runner_up: str | None
    confidence: Confidence
    doubts: tuple[str, ...]
    rule: str
    why: str
    evidence: tuple[Row, ...]
    change: tuple[str, ...]


def advise(measured: Measured) -> Advice:
    """Say which preset to run.

    Args:
        measured: with one known preset at least.
    """
    choice = next(filter(None, (rule(measured) for rule in RULES)))
    there = [name for name in (*choice.presets, UNIFORM, *measured.known) if name in measured.known]
    preset, *others = dict.fromkeys(there)
    steps = affordable(measured, preset)
    doubts = (*choice.doubts, *_doubts(measured, preset, steps))
    weight = sum(doubt.weight for doubt in doubts)
    confidence: Confidence = "high" if not weight else "medium" if weight == 1 else "low"
    said = tuple(doubt.words for doubt in doubts)
    return Advice(
        preset,
        steps,
        others[0] if others else None,
        confidence,
        said,
        choice.rule,
        choice.why,
        choice.evidence,
        choice.change,
    )


def affordable(measured: Measured, preset: str) -> int:
    """Return how many steps of a preset the budget pays: 1 at least."""
    if measured.steps is not None:
        return measured.steps
    assert measured.tflop is not None, "one of the two is given"
    left = measured.tflop - (0.0 if preset == UNIFORM else measured.costs.before)
    return max(1, int(left / (measured.costs.plain * step_cost(measured, preset))))


def step_cost(measured: Measured, preset: str) -> float:
    """Return how many plain steps one of a preset costs, by the record of a pool of this kind."""
    return plain_steps(MOSTLY_RIGHT if measured.kind == "mostly_right" else NOISY, preset)


def _tells_nothing(measured: Measured) -> Choice | None:
    if not measured.reference.tells_nothing:
        return None
    why = "the reference does not tell true pairs from exchanged ones better than chance, so there is nothing to choose by"
    change = ("a curated set by which a reference is told from chance: more pairs, or reference.import_from",)
    return Choice("no_reference", (UNIFORM, SELF_PACED), why, change=change)


def _uniform_is_ahead(measured: Measured) -> Choice | None:
    uniform = measured.uniform
    if uniform is None or not measured.selecting or not all(uniform.above(probe) for probe in measured.selecting):
        return None
    why = f"after {uniform.steps:,} steps uniform is ahead of every candidate that selects ({_values(measured)})"
    change = ("a better reference", "longer probes (advise.probe) in which a candidate is ahead")
    best = max(measured.selecting, key=lambda probe: probe.value)
    return Choice("uniform_is_ahead", (UNIFORM, best.name), why, change=change)


def _too_dear(measured: Measured) -> Choice | None:
    if measured.tflop is None:
        return None
    own, plain = affordable(measured, EASY), affordable(measured, UNIFORM)
    worth = WORTH[measured.kind]
    if own * worth >= plain and measured.tflop > measured.costs.before:
        return None
    spent = f"the reference's training and the pool's embedding take {measured.costs.before:.2f} of {measured.tflop:g} TFLOP"
    paid = f"{spent}; what is left pays {own:,} steps that select, in the place of {plain:,} of uniform"
    enough = measured.tflop > measured.costs.before
    why = (
        f"{paid}, and by the record a step that selects counts for {worth} here"
        if enough
        else f"{spent}: nothing is left"
    )
    change = (
        "the reference is there already: what counts from here on is a budget in steps (advise.budget.steps)",
        "a larger budget",
    )
    evidence = rows(("icons", "easy_reference", 2_000), ("icons", "safe_slow", 4_000), ("icons", "uniform", 8_000))
    near = 2 * own * worth >= plain
    doubts = (
        (Doubt("with twice as many selected steps it would be the other way round, and that line is not sharp"),)
        if near
        else ()
    )
    return Choice("too_dear", (UNIFORM, EASY), why, evidence, change, doubts)


def _near_the_probes(measured: Measured) -> Choice | None:
    ahead = [p for p in measured.selecting if measured.uniform is None or p.above(measured.uniform)]
    longest = max((probe.steps for probe in measured.probes), default=0)
    if not ahead or not _is_near(measured):
        return None
    best = max(ahead, key=lambda probe: probe.value)
    level = sorted((p for p in ahead if not best.above(p)), key=lambda probe: (probe.tflop, -probe.value))
    lead = f"{level[0].name} leads"
    if len(level) > 1:
        lead = f"{' and '.join(p.name for p in level)} lead and are not told apart, and the first costs least"
    why = f"the budget is near to the probes, and after {longest:,} steps {lead} ({_values(measured)})"
    change = (f"more than {NEAR * longest:,} steps: what is ahead so early does not stay ahead by itself",)
    evidence = rows(
        ("simweb", "easy_reference", 400), ("simweb", "adaptive_self_paced", 400),
        ("simweb", "easy_reference", 1_230), ("simweb", "adaptive_self_paced", 1_230),
    )  # fmt: skip
    others = sorted((p for p in ahead if p is not level[0]), key=lambda probe: -probe.value)
    further = affordable(measured, EASY) > longest
    doubts = [Doubt(f"the budget is longer than the probes of {longest:,} steps")] if further else []
    doubts += [] if measured.uniform else [Doubt("uniform was not tried beside them")]
    return Choice(
        "probes", (level[0].name, *(p.name for p in others), SELF_PACED), why, evidence, change, tuple(doubts)
    )


def _weak_reference(measured: Measured) -> Choice | None:
    if measured.reference.verdict != "would_harm":
        return None
    why = "the reference is weak, and of all that was measured this preset needs least of it: a start"
    evidence = rows(
        ("simweb", "uniform", 1_230), ("simweb", "easy_reference", 1_230), ("simweb", "self_paced", 1_230),
        ("simweb", "adaptive_self_paced", 1_230), reference="100 pairs, 200 steps",
    )  # fmt: skip
    change = ("a better reference: more curated pairs, or reference.import_from",)
    doubts = (Doubt("weak references are recorded on simweb alone, one seed each"),)
    return Choice("weak_reference", (SELF_PACED, "self_paced", SAFE), why, evidence, change, doubts)


def _mostly_right(measured: Measured) -> Choice | None:
    if measured.kind != "mostly_right":
        return None
    assert measured.right is not None, "measured"
    why = f"most of the pool's pairs are right: {percent(measured.right)} % or more look so to a learner; easy pairs first, then everything"
    evidence = rows(
        ("icons", "uniform", 8_000),
        ("icons", "safe", 8_000),
        ("icons", "adaptive_self_paced", 8_000),
        ("icons", "uniform", 16_000),
    )
    change = ("a share of right pairs below a half, by a longer probe: safe is bad on a noisy pool (22.3 % on simweb)",)
    short = measured.pool.passes(affordable(measured, SAFE)) < SHORTEST
    doubts = (
        (Doubt(f"a falling f is not recorded for runs of less than {SHORTEST:g} passes over the pool"),)
        if short
        else ()
    )
    return Choice("mostly_right", (SAFE, SELF_PACED), why, evidence, change, doubts)


def _noisy(measured: Measured) -> Choice | None:
    if measured.kind != "noisy":
        return None
    assert measured.right is not None, "measured"
    share = f"about {percent(measured.right)} % of the pool's pairs look right to a learner, and the share no longer grows: the pool is noisy"
    evidence = rows(
        ("simweb", "filtered", 3_000), ("simweb", "easy_reference", 1_230), ("simweb", "flexi_self_paced", 1_230),
        ("simweb", "adaptive_self_paced", 1_230), ("simweb", "uniform", 16_000),
    )  # fmt: skip
    longer = "a share of right pairs that goes on growing in a longer probe (advise.probe): then safe"
    scarce = measured.tflop is not None and measured.pool.passes(affordable(measured, SELF_PACED)) <= LONGEST
    if not scarce:
        return Choice("noisy", (SELF_PACED, FLEXI, "self_paced"), share, evidence, (longer,))
    steps = "a budget in steps in the place of operations: then adaptive_self_paced"
    why = f"{share}, and operations count"
    return Choice("noisy", (FLEXI, SELF_PACED, "self_paced"), why, evidence, (longer, steps))


def _not_known(measured: Measured) -> Choice:
    presets = (SELF_PACED, SAFE, EASY)
    evidence = rows(
        ("simweb", "adaptive_self_paced", 1_230), ("icons", "adaptive_self_paced", 8_000), ("icons", "safe", 8_000)
    )
    last = "this preset follows what it measures along the run, so nothing need be known beforehand"
    if measured.right is None:
        why = f"no candidate measured how many of the pool's pairs are right; {last}"
        change = ("a candidate that measures it, such as adaptive_self_paced (advise.candidates)",)
        return Choice("not_known", presets, why, evidence, change, (Doubt("the share of right pairs is not known", 2),))
    still = "it still comes on, so more may be" if measured.right >= NOTHING else "it tells next to nothing yet"
    why = f"{percent(measured.right)} % of the pool's pairs look right to a learner, and {still}; {last}"
    change = ("a longer probe (advise.probe): above a half safe, below it and no longer growing noisy",)
    return Choice("not_known", presets, why, evidence, change, (Doubt("the share of right pairs is not settled"),))


RULES: tuple[Callable[[Measured], Choice | None], ...] = (
    _tells_nothing,
    _uniform_is_ahead,
    _too_dear,
    _near_the_probes,
    _weak_reference,
    _mostly_right,
    _noisy,
    _not_known,
)


def _values(measured: Measured) -> str:
    """The probes' values in words, the best first."""
    best = sorted(measured.probes, key=lambda probe: -probe.value)
    return ", ".join(f"{probe.name} {_with_interval(probe)}" for probe in best)


def _with_interval(probe: Probe) -> str:
    low, high = probe.interval
    return f"{percent(probe.value)} % [{percent(low)}, {percent(high)}]"


def _doubts(measured: Measured, preset: str, steps: int) -> tuple[Doubt, ...]:
    """What makes any advice less sure."""
    return (*_about_data(measured), *_about_run(measured, preset, steps))


def _about_data(measured: Measured) -> list[Doubt]:
    """What is unusual about the reference or the pool."""
    reference, pool, right, found = measured.reference, measured.pool, measured.right, list[Doubt]()
    if reference.auc is None:
        found.append(Doubt("too few curated pairs were held out to judge the reference"))
    elif reference.verdict == "unsure":
        found.append(Doubt("the reference check is unsure"))
    if right is not None and measured.settled and (right < LEAST_RECORDED or BETWEEN[0] <= right <= BETWEEN[1]):
        found.append(Doubt(f"the share of right pairs stands at {percent(right)} %, as on no recorded pool"))
    if pool.rows < FEW_BATCHES * LARGEST * pool.batch:
        found.append(
            Doubt(
                f"a pool of {pool.rows:,} rows is too small for the method: on emoji (4,471) nothing was told apart", 2
            )
        )
    return found


def _about_run(measured: Measured, preset: str, steps: int) -> list[Doubt]:
    """What is unusual about the run, or not seen in the probes."""
    found = list[Doubt]()
    passes = measured.pool.passes(steps)
    if preset != UNIFORM and round(passes, 1) > LONGEST:
        words = (
            f"the run passes over the pool {passes:.1f} times, and none on record that selects more than {LONGEST:g}"
        )
        found.append(Doubt(words))
    uniform, selecting = measured.uniform, measured.selecting
    if preset != UNIFORM and uniform is not None and selecting and not any(p.above(uniform) for p in selecting):
        found.append(Doubt("no candidate that selects is told from uniform after its probe"))
    alone = measured.reference.validation
    if alone is not None and _is_near(measured) and all(alone > probe.interval[1] for probe in measured.probes):
        words = f"the reference alone is ahead of every probe ({percent(alone)} %): start from its weights (warm_start), or take it as it is"
        found.append(Doubt(words))
    return found


def _is_near(measured: Measured) -> bool:
    """Whether the budget is near to the probes' steps, so that what was seen there is about it."""
    longest = max((probe.steps for probe in measured.probes), default=0)
    return affordable(measured, EASY) <= NEAR * longest
