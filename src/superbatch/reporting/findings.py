"""The report's sentences on what was gained. What to bear in mind with them is in `trust`.

Every sentence on a difference has its interval. Where all runs are near chance there is one sentence, which says so, and one
on seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.best import best_of_all
from superbatch.reporting.chance import chance_sentence
from superbatch.reporting.curves import first_crossing
from superbatch.reporting.intervals import Difference, difference
from superbatch.reporting.numbers import percent
from superbatch.reporting.rounds import rounds_sentence
from superbatch.reporting.tuning import choices
from superbatch.reporting.weak_reference import reference_is_weaker, reference_sentence

if TYPE_CHECKING:
    import pandas as pd

    from superbatch.reporting.report import Report
    from superbatch.reporting.targets import ToTarget


@dataclass(frozen=True)
class EqualSteps:
    """Two mean final values after as many steps, as shares in [0, 1].

    Attributes:
        split, rival_split: of which split they are: test, validation, or mixed.
    """

    own: float
    other: float
    rival: str
    split: str
    rival_split: str
    difference: Difference

    @property
    def gain(self) -> float:
        """The difference, as a share."""
        return self.difference.value


def at_equal_steps(report: Report, role: str) -> EqualSteps | None:
    """Compare the main method with uniform (role `uniform`) or the best simple alternative (role `simple`).

    Both after as many steps as the main run; among several simple alternatives validation decides. None without any.
    """
    cells = cells_at_equal_steps(report, role)
    if cells is None:
        return None
    own, other = cells
    values = float(own["value"].mean()), float(other["value"].mean())
    return EqualSteps(*values, str(other["method"].iloc[0]), _split(own), _split(other), difference(own, other))


def _split(cell: pd.DataFrame) -> str:
    return str(cell["split"].iloc[0]) if cell["split"].nunique() == 1 else "mixed"


def cells_at_equal_steps(report: Report, role: str) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The runs that `at_equal_steps` compares, the main method's and the rival's; rows of `Report.tuned`."""
    frame, steps = report.tuned, report.main.steps
    own = frame[
        (frame["method"] == report.method) & (frame["f"] == report.main.filter_ratio) & (frame["steps"] == steps)
    ]
    rivals = uniform_of(frame) if role == "uniform" else frame[frame["role"] == role]
    others = rivals[(rivals["steps"] == steps) & (rivals["method"] != report.method)]
    if own.empty or others.empty or report.main.role == "uniform":
        return None
    judged = others.assign(judge=others["validation"].fillna(others["value"]))
    rival = str(judged.groupby("method")["judge"].mean().idxmax())
    return own, others[others["method"] == rival]


def gains(report: Report) -> list[str]:
    """Sentences on what was gained: at equal steps, of all runs, along the run, to the targets, what is good news; and what was advised."""
    return [*_gains(report), *filter(None, [report.sources.advice])]


def _gains(report: Report) -> list[str]:
    if report.at_chance:
        return [chance_sentence(report.tuned[report.tuned["role"] != "reference"], report.title)]
    lines = [_against_uniform(report), _against_simple(report), _of_all(report), _along_the_run(report)]
    lines += [outcome.sentence() for outcome in _telling(report)]
    alone = report.with_own_reference(report.finals)
    lines += [reference_sentence(alone)] if reference_is_weaker(alone) else []
    lines += [rounds_sentence(report.rounds)]
    lines += [remark.text for remark in report.comparison.remarks if remark.good]
    return [line for line in [*lines, choices(report.tuned)] if line]


def _against_uniform(report: Report) -> str:
    found = at_equal_steps(report, "uniform")
    if found is None:
        missing = f"No uniform run of {report.main.steps:,} steps was found: the gain at equal steps is not known."
        return "" if report.main.role == "uniform" or report.stands_alone else missing
    values = f"{report.label} reaches {percent(found.own)} % on {found.split}, uniform {percent(found.other)} %"
    return f"After {report.main.steps:,} steps {values}: {_verdict(found.difference)}."


def _against_simple(report: Report) -> str:
    found = at_equal_steps(report, "simple")
    if found is None:
        return ""
    where = f"Against {found.rival}, the best simple alternative of as many steps ({percent(found.other)} %)"
    return f"{where}: {_verdict(found.difference)}."


def _verdict(found: Difference) -> str:
    """A difference in words, with whether it is clear."""
    return found.text() if found.above or found.below or not found.over else f"no clear difference, {found.text()}"


def _of_all(report: Report) -> str:
    """Name the best of all runs, unless that repeats the comparison at equal steps."""
    found = best_of_all(report.tuned)
    if found is None:
        return ""
    methods = report.tuned.loc[report.tuned["role"] != "reference", ["method", "f", "steps"]].drop_duplicates()
    return found.sentence() if len(methods) > 2 else ""


def _telling(report: Report) -> list[ToTarget]:
    """Outcomes worth a sentence, to each target: the main method's, and that of the method with the highest ratio."""
    found: list[ToTarget] = []
    for outcomes in (report.comparison.uniform, report.comparison.simple):
        own = report.outcome(outcomes)
        best = max(outcomes, key=lambda outcome: (outcome.ratio, outcome.low), default=None)
        found += [best] if best is not None and best is not own and best.ratio > 0 else []
        found += [own] if own is not None else []
    return found


def _along_the_run(report: Report) -> str:
    """Where the run met uniform's final value; only if its final value is clearly above uniform's."""
    beside = at_equal_steps(report, "uniform")
    if beside is None or not beside.difference.above:
        return ""
    points = report.long_curves
    uniform = points[(points["method"] == beside.rival) & (points["steps"] == report.main.steps)]
    own = points[(points["label"] == report.label) & (points["steps"] == report.main.steps)]
    if uniform.empty or own.empty:
        return ""
    step = first_crossing(own, float(uniform.sort_values("step")["value"].iloc[-1]))
    if not step:
        return ""
    return (
        f"{report.label} first reached uniform's final validation value near step {step:,.0f} of {report.main.steps:,} "
        "(indicative only: read in the middle of a schedule; complete schedules decide)."
    )
