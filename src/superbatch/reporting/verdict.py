"""The verdict of a report in one sentence, and how reliable it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from superbatch.reporting.chance import chance_sentence
from superbatch.reporting.findings import at_equal_steps
from superbatch.reporting.numbers import percent, points
from superbatch.reporting.trust import cautions, unfair

if TYPE_CHECKING:
    from superbatch.reporting.report import Report
    from superbatch.reporting.runs import Run
    from superbatch.reporting.targets import ToTarget

CHIPS = {
    "solid": "Nothing is open on the checklist.",
    "provisional": "Something on the checklist is open.",
    "unfair reference": "The reference alone is above uniform.",
    "no comparison": "There is no uniform run of as many steps to compare with.",
    "near chance": "Nothing can be compared yet.",
}

ALONE = (
    "There is no other run of as many steps to compare with."  # of images alone: uniform is not what it is held against
)


@dataclass(frozen=True)
class Verdict:
    """The head of the page.

    Attributes:
        sentence: the answer. chip: how far it holds, a key of `CHIPS`, and why.
        subject: what is compared with what. facts: pool, model, run, date.
    """

    sentence: str
    chip: str
    why: str
    subject: str
    facts: list[str]


def verdict(report: Report) -> Verdict:
    """Return the verdict: what was found, and how reliable it is."""
    chip = _chip(report)
    count = len(cautions(report))
    why = f"{count} open on the checklist" if chip == "provisional" else CHIPS[chip]
    why = ALONE if chip == "no comparison" and report.stands_alone else why
    where = f" on {report.sources.pool}" if report.sources.pool else ""
    against = "" if report.main.role == "uniform" or report.stands_alone else " against uniform"
    return Verdict(_sentence(report), chip, why, f"{report.label}{against}{where}", _facts(report))


def speed_up(report: Report) -> ToTarget | None:
    """The main method's outcome to uniform's target, where fewer steps than uniform's surely reach it; else None."""
    found = report.outcome(report.comparison.uniform)
    return found if found is not None and found.low > 0 and found.ratio > 1 else None


def _chip(report: Report) -> str:
    if report.at_chance:
        return "near chance"
    if at_equal_steps(report, "simple" if report.stands_alone else "uniform") is None:
        return "no comparison"
    if unfair(report):
        return "unfair reference"
    return "provisional" if cautions(report) else "solid"


def _sentence(report: Report) -> str:
    if report.at_chance:
        return chance_sentence(report.tuned[report.tuned["role"] != "reference"], report.title)
    found, steps = at_equal_steps(report, "uniform"), f"{report.main.steps:,} steps"
    if found is None:
        return _alone(report, steps)
    gap = f"{points(abs(found.gain)).lstrip('+')} points"
    if found.difference.above:
        said = f"{report.label}: +{gap} over uniform at {steps}"
    elif found.difference.below:
        said = f"{report.label}: {gap} below uniform at {steps}"
    elif found.difference.over:
        said = f"{report.label}: no clear difference from uniform at {steps}"
    else:
        said = f"{report.label}: {points(found.gain)} points against uniform at {steps}, without an interval"
    return said + _saved(speed_up(report))


def _alone(report: Report, steps: str) -> str:
    """The value by itself, and uniform's of another length where there is one."""
    value, target = report.final.mean, report.outcome(report.comparison.uniform)
    if value != value:
        return f"{report.label}: not evaluated"
    end = None if target is None else target.horizon
    beside = "" if end is None else f"; uniform {percent(end.target)} % after {end.steps:,}"
    return f"{report.label}: {percent(value)} % {report.title} after {steps}{beside}"


def _saved(found: ToTarget | None) -> str:
    """What the target took, of uniform's steps and operations; empty where no shorter schedule surely reaches it."""
    if found is None:
        return ""
    charged, least = found.ratios["flops_charged"], "at least " if found.at_least else ""
    flops = f"{charged:.2g}× fewer FLOPs" if charged >= 1 else f"{1 / charged:.2g}× as many FLOPs"
    return f"; {least}{found.ratio:.3g}× fewer steps to the same accuracy, with {flops}"


def _facts(report: Report) -> list[str]:
    run = report.main
    pool = f"pool {report.sources.pool}" if report.sources.pool else "pool"
    rows = f"{pool} of {run.plan['rows']:,} rows" if run.plan.get("rows") else ""
    return [fact for fact in (rows, model_words(run), f"run {run.name}", _day(run)) if fact]


def model_words(run: Run) -> str:
    """The learner in a few words: `ViT of 0.51 M parameters, 32 px`; empty where it was not recorded."""
    config, parameters = run.setting("model", "config", {}), run.plan.get("parameters")
    size = f" of {parameters / 1e6:.2g} M parameters" if parameters else ""
    if isinstance(config, str):
        return config + size
    vision = (config.get("model_cfg") or {}).get("vision_cfg") or {}
    if not vision:
        return f"model{size}" if size else ""
    name = "ViT" if isinstance(vision.get("layers", 12), int) else "ResNet"
    return f"{name}{size}, {vision.get('image_size', 224)} px"


def _day(run: Run) -> str:
    """When the run's record was last written."""
    file = run.path / "training" / "run.json"
    return f"{datetime.fromtimestamp(file.stat().st_mtime, UTC):%Y-%m-%d}" if file.is_file() else ""
