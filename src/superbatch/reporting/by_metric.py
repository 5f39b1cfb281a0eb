"""The main method against uniform in every metric that was tested: classification, retrieval, few-shot, probe, k-NN."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from superbatch.reporting.cells import to_text
from superbatch.reporting.finals import runs_frame
from superbatch.reporting.findings import cells_at_equal_steps
from superbatch.reporting.intervals import Difference, difference
from superbatch.reporting.metrics import metric_title
from superbatch.reporting.names import label_of
from superbatch.reporting.numbers import bounds, percent, points

if TYPE_CHECKING:
    from superbatch.reporting.report import Report

SHOWN = re.compile(r"[^/]+/(top1|(image_to_text|text_to_image)_r\d+|few_shot_\d+|linear_probe|knn|fine_tune)")


@dataclass(frozen=True)
class Rivalry:
    """One method against another in one metric, as shares of the test split.

    Attributes:
        metric: `<set>/<metric>`. own, other: means over the runs. label, rival: how the two are called.
    """

    metric: str
    label: str
    rival: str
    own: float
    other: float
    difference: Difference

    def sentence(self) -> str:
        """`jest (f = 0.8) ahead of uniform by 3.1 [2.0, 4.2]`; without a verdict where the interval has none."""
        found = self.difference
        if found.below:
            return f"{self.label} behind {self.rival} by {percent(-found.value)} {bounds(-found.high, -found.low)}"
        if found.above:
            return f"{self.label} ahead of {self.rival} by {percent(found.value)} {bounds(found.low, found.high)}"
        interval = bounds(found.low, found.high, "points")
        how = "not clearly different from" if interval else "against"
        return " ".join(filter(None, [f"{self.label} {how} {self.rival}: {points(found.value)}", interval]))


def by_metric(report: Report, role: str = "uniform") -> list[Rivalry]:
    """Compare the main method with uniform (or the best simple alternative) after as many steps, metric by metric.

    The runs are those of `findings.at_equal_steps`, chosen by the report's metric on validation. Empty where there is no
    rival, no test results, or where all runs are near chance.
    """
    cells = None if report.at_chance else cells_at_equal_steps(report, role)
    if cells is None:
        return []
    runs = {run.name: run for run in report.sources.runs}
    own, other = ([runs[name] for name in cell["run"]] for cell in cells)
    label, rival = (label_of(cell["method"].iloc[0], cell["f"].iloc[0]) for cell in cells)
    rivalries = []
    for metric in (name for name in own[0].test if SHOWN.fullmatch(name)):
        if all(metric in run.test for run in [*own, *other]):
            frames = runs_frame(own, metric), runs_frame(other, metric)
            mean, beside = (float(frame["value"].mean()) for frame in frames)
            rivalries.append(Rivalry(metric, label, rival, mean, beside, difference(*frames)))
    return rivalries


def metric_cells(rivalries: list[Rivalry]) -> pd.DataFrame:
    """Text cells, one row a metric; empty without any."""
    if not rivalries:
        return pd.DataFrame()
    first = rivalries[0]
    rows = [
        {
            "on the test split": metric_title(one.metric),
            f"{first.label} %": percent(one.own),
            f"{first.rival} %": percent(one.other),
            "difference in points": one.sentence(),
        }
        for one in rivalries
    ]
    return pd.DataFrame(rows)


def metric_note(rivalries: list[Rivalry]) -> str:
    """What the intervals are."""
    found = [one.difference for one in rivalries]
    if found[0].over == "seeds":
        return (
            f"95 % intervals: Student's t over seeds (n = {found[0].n}), in pairs of equal seeds where there are two."
        )
    if all(one.paired for one in found):
        return "95 % intervals: paired bootstrap over the test images; one seed."
    return "95 % intervals: over the test images; one seed; not paired if a result does not record which images were right."


def metric_text(report: Report) -> list[str]:
    """The table and its note for the console; nothing without a rival."""
    rivalries = by_metric(report)
    return ["", to_text(metric_cells(rivalries)), metric_note(rivalries)] if rivalries else []
