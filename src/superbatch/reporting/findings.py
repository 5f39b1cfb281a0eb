"""What a report says in words: what was gained, and what a reader must bear in mind with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from superbatch.reporting.curves import first_crossing
from superbatch.reporting.weak_reference import reference_is_weaker, reference_sentence

if TYPE_CHECKING:
    from superbatch.reporting.report import Report


@dataclass(frozen=True)
class EqualSteps:
    """Two mean final values after as many steps, as shares in [0, 1]; `split` says of which split they are."""

    own: float
    other: float
    rival: str
    split: str

    @property
    def gain(self) -> float:
        """The difference, as a share."""
        return self.own - self.other


def at_equal_steps(report: Report, role: str) -> EqualSteps | None:
    """Hold the main method against uniform (role `uniform`) or the best simple alternative (role `simple`).

    Both after as many steps as the main run; among several simple alternatives validation decides. None without any.
    """
    frame = report.tuned[report.tuned["steps"] == report.main.steps]
    own = frame[(frame["method"] == report.main.method) & (frame["f"] == report.main.filter_ratio)]
    others = frame[(frame["role"] == role) & (frame["method"] != report.main.method)]
    if own.empty or others.empty or report.main.role == "uniform":
        return None
    judged = others.assign(judge=others["validation"].fillna(others["value"]))
    rival = str(judged.groupby("method")["judge"].mean().idxmax())
    other = others.loc[others["method"] == rival, "value"].mean()
    return EqualSteps(float(own["value"].mean()), float(other), rival, str(own["split"].iloc[0]))


def sentences(report: Report) -> list[str]:
    """What was gained, in words, then what must be borne in mind with it."""
    return [*gains(report), *cautions(report)]


def gains(report: Report) -> list[str]:
    """Sentences on what was gained: at equal steps, along the run, to the targets, and the notes that are good news."""
    outcomes = [report.outcome(report.comparison.uniform), report.outcome(report.comparison.simple)]
    lines = [_against_uniform(report), _against_simple(report), _along_the_run(report)]
    lines += [outcome.sentence() for outcome in outcomes if outcome is not None]
    weaker = reference_is_weaker(report.finals)
    lines += [reference_sentence(report.finals)] if weaker else []
    return [line for line in [*lines, *_notes(report, good=True)] if line]


def cautions(report: Report) -> list[str]:
    """Sentences on what the gains rest on: a strong reference, one seed, a target that had not settled, no rival."""
    weaker = reference_is_weaker(report.finals)
    lines = [] if weaker else [reference_sentence(report.finals)]
    lines += [_other_reference(report), _seeds(report), *_notes(report, good=False)]
    if report.metric != report.sources.metric:
        lines.append(f"No run has {report.sources.metric}: shown is the mean of the evaluation sets' main metrics.")
    return [line for line in lines if line]


def _against_uniform(report: Report) -> str:
    found = at_equal_steps(report, "uniform")
    if found is None:
        missing = f"No uniform run of {report.main.steps:,} steps was found: the gain at equal steps is not known."
        return "" if report.main.role == "uniform" else missing
    values = (
        f"{report.label} stands at {100 * found.own:.1f} % on {found.split} and uniform at {100 * found.other:.1f} %"
    )
    return f"After {report.main.steps:,} steps {values}: {100 * found.gain:+.1f} points."


def _against_simple(report: Report) -> str:
    found = at_equal_steps(report, "simple")
    if found is None:
        return ""
    where = f"{found.rival}, the best simple alternative of as many steps, stands at {100 * found.other:.1f} %"
    return f"{where}: {100 * found.gain:+.1f} points."


def _along_the_run(report: Report) -> str:
    points = report.long_curves
    uniform = points[(points["role"] == "uniform") & (points["steps"] == report.main.steps)]
    own = points[(points["label"] == report.label) & (points["steps"] == report.main.steps)]
    if uniform.empty or own.empty or report.main.role == "uniform":
        return ""
    end = uniform.sort_values("step")["value"].iloc[-1]
    step = first_crossing(own, float(end))
    if not step:
        return f"Along the run {report.label} does not reach uniform's final validation value."
    return (
        f"Along the run {report.label} first stands at uniform's final validation value at about step {step:,.0f} of "
        f"{report.main.steps:,} (read in the middle of a schedule, so a hint; complete schedules decide)."
    )


def _other_reference(report: Report) -> str:
    used = report.main.settings.get("reference")
    shown = next((run for run in report.sources.runs if run.role == "reference"), None)
    weights = shown and (shown.record.get("digests") or {}).get("weights")
    if not used or not weights or used == weights:
        return ""
    return f"{report.main.name} was trained with another reference than the one shown here: run it again, or its reference."


def _seeds(report: Report) -> str:
    frame = report.tuned[report.tuned["steps"] == report.main.steps]
    shown = frame[frame["role"].isin(["uniform", report.main.role])]
    seeds = shown.groupby(["method", "f"])["seed"].nunique()
    if seeds.empty or seeds.min() > 1:
        return ""
    return "One seed: there is no interval over seeds, and another seed may shift these values by some points."


def _notes(report: Report, *, good: bool) -> list[str]:
    """Notes of the comparison; those on a target that had settled are good news."""
    outcomes = [*report.comparison.uniform, *report.comparison.simple]
    settled = tuple(outcome.horizon.note for outcome in outcomes if outcome.horizon.settled)
    return [note for note in report.comparison.notes if note.endswith(settled or ("\0",)) is good]
