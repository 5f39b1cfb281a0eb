"""The rules of the advice: from what was measured to a preset, with the recorded rows behind it, and how sure it is.

Asked in this order, the first that holds decides. There are few of them, and each names its evidence. Both recorded pools were known when they were written.
"""

from __future__ import annotations

from collections.abc import Callable

from superbatch.reporting.advice.budget import COMMON, EASY, NEAR, UNIFORM, affordable, is_near
from superbatch.reporting.advice.choice import Advice, Choice, Confidence, Doubt
from superbatch.reporting.advice.doubts import doubts_about
from superbatch.reporting.advice.measured import NOTHING, Measured, Probe
from superbatch.reporting.advice.recorded import SHORTEST, TIGHT, rows
from superbatch.reporting.numbers import percent

SAFE, SAFE_COMMON = "safe", "safe_common"
ADAPTIVE, SELF_PACED, FLEXI = "adaptive_common", "adaptive_self_paced", "flexi_self_paced"
# How many times the steps of uniform a selected step is worth at least, by the pool. simweb: 13 and more, sure to 8. icons: 4,000 steps end
# above uniform's 8,000, 2,000 below them, so 3 is between; but there `_needs_none` decides.
WORTH = {"noisy": 8, "unsettled": 3, "unknown": 3}
# How many times the steps of common_first a step of safe_common is worth, at most.
OVER_COMMON = 1.3
ON_ICONS = Doubt("common captions first is recorded on icons alone, of the pools whose pairs are right")
# What would change an advice against paying for a reference.
MORE = ("a budget in steps (advise.budget.steps): the reference is already paid for", "a larger budget")
FIRST = "rows whose captions have few and common words come first, and no reference is asked"
FIRST_ROWS = rows(
    ("icons", "uniform", 8_000), ("icons", COMMON, 8_000), ("icons", "uniform", 16_000), ("icons", COMMON, 16_000)
)


def advise(measured: Measured) -> Advice:
    """Say which preset to run.

    Args:
        measured: with one known preset at least.
    """
    choice = next(filter(None, (rule(measured) for rule in RULES)))
    there = [name for name in (*choice.presets, UNIFORM, *measured.known) if name in measured.known]
    preset, *others = dict.fromkeys(there)
    steps = affordable(measured, preset)
    doubts = (*choice.doubts, *doubts_about(measured, preset, steps))
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


def _tells_nothing(measured: Measured) -> Choice | None:
    if not measured.reference.tells_nothing:
        return None
    why = "the reference does not tell true pairs from exchanged ones better than chance, so there is nothing to choose by"
    change = ("a better reference: more curated pairs, or reference.import_from",)
    if measured.kind != "mostly_right":
        return Choice("no_reference", (UNIFORM, ADAPTIVE), why, change=change)
    return Choice("no_reference", (COMMON, UNIFORM), f"{why}; {FIRST}", FIRST_ROWS, change, (ON_ICONS,))


def _uniform_is_ahead(measured: Measured) -> Choice | None:
    uniform = measured.uniform
    if uniform is None or not measured.selecting or not all(uniform.above(probe) for probe in measured.selecting):
        return None
    why = f"after {uniform.steps:,} steps uniform is ahead of every candidate that selects ({_values(measured)})"
    change = ("a better reference", "longer probes (advise.probe) in which a candidate is ahead")
    best = max(measured.selecting, key=lambda probe: probe.value)
    return Choice("uniform_is_ahead", (UNIFORM, best.name), why, change=change)


def _labels(measured: Measured) -> Choice | None:
    """Plain training averages wrong labels out, and the more of them there are, the less; `adaptive_common` stops choosing in time."""
    if not measured.of_labels or (measured.ahead and is_near(measured)):
        return None
    why = f"the pool's captions are labels, and a choice to the end passes on the reference's mistakes: {ADAPTIVE} stops choosing in time"
    change = ("a candidate that is ahead of uniform after probes of about the budget's length (advise.probe)",)
    doubts = (Doubt("of ten labels it is only level with uniform, which needs no reference; of 20 and 50 it is ahead"),)
    order = (ADAPTIVE, UNIFORM) if measured.tflop is None else (UNIFORM, ADAPTIVE)  # the reference has to be paid for
    return Choice("labels", order, why, change=change, doubts=doubts)


def _needs_none(measured: Measured) -> Choice | None:
    """On a pool of right pairs common captions first does for nothing most of what a reference is paid for."""
    if measured.kind != "mostly_right" or measured.tflop is None:
        return None
    own, plain, before = affordable(measured, SAFE_COMMON), affordable(measured, COMMON), measured.costs.before
    if own * OVER_COMMON >= plain and measured.tflop > before:
        return None
    rest = f"the rest pays for {own:,} steps with selection" if measured.tflop > before else "nothing is left"
    why = f"{_spent(measured)}, and {rest}, instead of {plain:,} without; {FIRST}"
    return Choice("needs_none", (COMMON, SAFE_COMMON, UNIFORM), why, FIRST_ROWS, MORE, (ON_ICONS,))


def _too_dear(measured: Measured) -> Choice | None:
    if measured.tflop is None or measured.kind not in WORTH:
        return None
    own, plain = affordable(measured, EASY), affordable(measured, UNIFORM)
    worth = WORTH[measured.kind]
    if own * worth >= plain and measured.tflop > measured.costs.before:
        return None
    spent = _spent(measured)
    paid = f"{spent}; the rest pays for {own:,} steps with selection, instead of {plain:,} uniform ones"
    enough = measured.tflop > measured.costs.before
    why = (
        f"{paid}, and a step with selection is only known to be worth {worth} uniform ones"
        if enough
        else f"{spent}: nothing is left"
    )
    noisy = rows(("simweb", "easy_reference", 400), ("simweb", "uniform", 4_000))
    other = rows(("icons", "easy_reference", 2_000), ("icons", "safe_slow", 4_000), ("icons", "uniform", 8_000))
    evidence = noisy if measured.kind == "noisy" else other
    near = 2 * own * worth >= plain
    doubts = (
        (
            Doubt(
                "the budget is near the limit: with twice as many steps with selection, a preset that selects would be advised"
            ),
        )
        if near
        else ()
    )
    return Choice("too_dear", (UNIFORM, EASY), why, evidence, MORE, doubts)


def _spent(measured: Measured) -> str:
    return f"the reference's training and the pool's embedding take {measured.costs.before:.2f} of {measured.tflop:g} TFLOP"


def _near_the_probes(measured: Measured) -> Choice | None:
    ahead = measured.ahead if measured.uniform else measured.selecting
    longest = max((probe.steps for probe in measured.probes), default=0)
    if not ahead or not is_near(measured):
        return None
    first, lead = _leader(measured, ahead)
    why = f"the budget is close to the probes' length, and after {longest:,} steps {lead} ({_values(measured)})"
    change = (f"more than {NEAR * longest:,} steps: an early lead may not last",)
    evidence = rows(
        ("simweb", "easy_reference", 400), ("simweb", "adaptive_common", 400),
        ("simweb", "easy_reference", 1_230), ("simweb", "adaptive_common", 1_230),
    )  # fmt: skip
    others = sorted((p for p in ahead if p is not first), key=lambda probe: -probe.value)
    further = affordable(measured, EASY) > longest
    doubts = [Doubt(f"the budget is longer than the probes of {longest:,} steps")] if further else []
    doubts += [] if measured.uniform else [Doubt("there is no probe of uniform to compare with")]
    return Choice("probes", (first.name, *(p.name for p in others), ADAPTIVE), why, evidence, change, tuple(doubts))


def _leader(measured: Measured, ahead: tuple[Probe, ...]) -> tuple[Probe, str]:
    """Return the probe to go by, and words on it: the best; of those that can't be told from it the cheapest, where operations are counted."""
    best = max(ahead, key=lambda probe: probe.value)
    level = [probe for probe in ahead if not best.above(probe)]
    if len(level) == 1:
        return best, f"{best.name} leads"
    cheapest = min(level, key=lambda probe: (probe.tflop, -probe.value))
    first, which = (best, "scores highest") if measured.tflop is None else (cheapest, "costs least")
    names = [first.name, *(probe.name for probe in level if probe is not first)]
    return first, f"{' and '.join(names)} lead, too close to call, and the first {which}"


def _weak_reference(measured: Measured) -> Choice | None:
    if measured.reference.verdict != "would_harm":
        return None
    why = "the reference is weak, and this preset depends on it least: only at the start"
    evidence = rows(
        ("simweb", "uniform", 1_230), ("simweb", "easy_reference", 1_230), ("simweb", "self_paced", 1_230),
        ("simweb", "adaptive_self_paced", 1_230), reference="100 pairs, 200 steps",
    ) + rows(("icons", "uniform", 8_000), ("icons", "adaptive_self_paced", 8_000), reference="100 pairs, 375 steps")  # fmt: skip
    change = ("a better reference: more curated pairs, or reference.import_from",)
    doubts = (Doubt("weak references were tried on simweb and icons, with one seed each"),)
    return Choice("weak_reference", (SELF_PACED, "self_paced", SAFE), why, evidence, change, doubts)


def _short(measured: Measured) -> Choice | None:
    """On a pool of right pairs there is no time to go on from the easy ones to all."""
    passes = measured.pool.passes(affordable(measured, SAFE))
    if measured.kind != "mostly_right" or passes >= SHORTEST:
        return None
    why = (
        f"most of the pool's pairs are right, but the run goes through {percent(passes)} % of the pool: "
        "too short to go on from easy pairs to all of them"
    )
    evidence = rows(
        ("icons", "uniform", 2_000), ("icons", EASY, 2_000), ("icons", SAFE, 2_000), ("icons", "safe_slow", 4_000)
    )
    change = (f"a budget of {SHORTEST:g} passes over the pool or more: then safe_common",)
    doubts = (Doubt("for so short a run safe has one seed on record"),)
    return Choice("short", (EASY, ADAPTIVE), why, evidence, change, doubts)


def _mostly_right(measured: Measured) -> Choice | None:
    if measured.kind != "mostly_right":
        return None
    assert measured.right is not None, "measured"
    why = f"most of the pool's pairs are right: at least {percent(measured.right)} %, as a learner sees them; common captions and easy pairs first, then everything"
    evidence = rows(
        ("icons", "uniform", 8_000),
        ("icons", "common_first", 8_000),
        ("icons", "safe", 8_000),
        ("icons", "safe_common", 8_000),
        ("icons", "uniform", 16_000),
    )
    change = (
        "a longer probe that finds fewer than half of the pairs right: on a noisy pool safe is bad (22.3 % on simweb)",
    )
    return Choice("mostly_right", (SAFE_COMMON, ADAPTIVE, SAFE), why, evidence, change, (ON_ICONS,))


def _noisy(measured: Measured) -> Choice | None:
    if measured.kind != "noisy":
        return None
    assert measured.right is not None, "measured"
    share = f"the pool is noisy: only about {percent(measured.right)} % of its pairs look right to a learner, and this share has stopped growing"
    evidence = rows(
        ("simweb", "filtered", 3_000), ("simweb", "easy_reference", 1_230), ("simweb", "flexi_self_paced", 1_230),
        ("simweb", "adaptive_self_paced", 1_230), ("simweb", "adaptive_common", 1_230), ("simweb", "uniform", 16_000),
    )  # fmt: skip
    longer = "a longer probe (advise.probe) in which that share grows above a half: then safe"
    scarce = measured.tflop is not None and measured.pool.passes(affordable(measured, ADAPTIVE)) <= TIGHT
    if not scarce:
        return Choice("noisy", (*_adaptive(measured), FLEXI), share, evidence, (longer,))
    steps = f"a budget in steps instead of operations: then {_adaptive(measured)[0]}"
    why = f"{share}, and the budget in operations is tight"
    return Choice("noisy", (FLEXI, *_adaptive(measured)), why, evidence, (longer, steps))


def _adaptive(measured: Measured) -> tuple[str, str]:
    """Return the presets that adapt to the pool, the better first: by a weak reference that with all captions from the start."""
    return (ADAPTIVE, SELF_PACED) if measured.reference.verdict == "helps" else (SELF_PACED, ADAPTIVE)


def _not_known(measured: Measured) -> Choice:
    presets = (*_adaptive(measured), SAFE)
    evidence = rows(("simweb", "adaptive_common", 1_230), ("icons", "adaptive_common", 8_000), ("icons", "safe", 8_000))
    last = "this preset adapts to what it measures during the run"
    if measured.right is None:
        why = f"no candidate measured how many of the pool's pairs are right; {last}"
        change = ("a candidate that measures it, such as adaptive_common (advise.candidates)",)
        return Choice("not_known", presets, why, evidence, change, (Doubt("the share of right pairs is not known", 2),))
    still = (
        "it is still improving, so there may be more"
        if measured.right >= NOTHING
        else "it knows too little yet to tell"
    )
    why = f"{percent(measured.right)} % of the pool's pairs look right to a learner, and {still}; {last}"
    change = ("a longer probe (advise.probe): safe, if the share grows above a half",)
    return Choice("not_known", presets, why, evidence, change, (Doubt("the share of right pairs is not settled"),))


RULES: tuple[Callable[[Measured], Choice | None], ...] = (
    _tells_nothing,
    _uniform_is_ahead,
    _labels,
    _needs_none,
    _too_dear,
    _near_the_probes,
    _weak_reference,
    _short,
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
