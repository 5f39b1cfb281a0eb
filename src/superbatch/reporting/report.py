"""A report as a value: gathers from run directories what tables, figures and the page show."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.errors import UserError
from superbatch.reporting import figures, tables
from superbatch.reporting.curves import curves, mean_curves
from superbatch.reporting.finals import choose_metric, runs_frame
from superbatch.reporting.gallery import CaptionReader, PixelReader, Shelf, first_captions, gallery
from superbatch.reporting.metrics import HEADLINE, metric_title
from superbatch.reporting.names import label_of
from superbatch.reporting.purity import UNKNOWN, kinds_of_rows, purity, repeats, totals
from superbatch.reporting.runs import Run
from superbatch.reporting.standing import Standing, cache_of, standing
from superbatch.reporting.targets import Comparison, ToTarget, compare, tuned
from superbatch.reporting.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = tuple(f"accuracy_by_{axis}" for axis in ("steps", "samples", "flops", "seconds"))
PICKS_A_SPAN = 400  # fewer, and the share of a rare kind jumps about


@dataclass(frozen=True)
class Sources:
    """Where a report takes its parts from. All but `runs` may be missing: the report then says so.

    Attributes:
        runs: every run to show (`find_runs`).
        main: name of the run whose picks and health are shown; by default the longest run that selects.
        manifest: the ingested pool (directory); truth: Parquet of key and kind (simulated pools).
        features: the pool's embeddings (directory), which say how the picks stand to the reference.
        pixels: rows -> uint8 [n, 3, S, S], for the gallery.
        captions: rows -> captions; by default the manifest's first ones.
        command: what makes this report again. fingerprints: of the data, by name.
        metric: the headline; where no run has it, the mean of the sets' main metrics. target_steps: an imposed T.
        title: of the page. examples: rows on each shelf of the gallery.
    """

    runs: list[Run]
    main: str | None = None
    manifest: Path | None = None
    truth: Path | None = None
    features: Path | None = None
    pixels: PixelReader | None = None
    captions: CaptionReader | None = None
    command: str | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)
    metric: str = HEADLINE
    title: str = "Superbatch"
    examples: int = 12
    target_steps: int | None = None


class Report:
    """Everything a report shows, computed once and when asked for."""

    def __init__(self, sources: Sources) -> None:
        if not sources.runs:
            raise UserError("report", "no run was found", "train one first: kedro run --pipeline=jest")
        self.sources = sources

    @cached_property
    def main(self) -> Run:
        """The run that the report is about."""
        runs, name = self.sources.runs, self.sources.main
        if name is not None:
            found = [run for run in runs if run.name == name]
            if not found:
                raise UserError(
                    "report.main", f"no run is called {name!r}", f"there are {', '.join(run.name for run in runs)}"
                )
            return found[0]
        return min(runs, key=_preference)

    @property
    def label(self) -> str:
        """The main run's method as legends call it."""
        return label_of(self.main.method, self.main.filter_ratio)

    @cached_property
    def metric(self) -> str:
        """The metric that is shown: the wanted one, or the headline over whatever evaluation sets there are."""
        return choose_metric(self.sources.runs, self.sources.metric)

    @property
    def title(self) -> str:
        """The metric's name on axes and in tables."""
        return metric_title(self.metric)

    @cached_property
    def finals(self) -> pd.DataFrame:
        """One row a run (`runs_frame`)."""
        return runs_frame(self.sources.runs, self.metric)

    @cached_property
    def tuned(self) -> pd.DataFrame:
        """The runs of the configuration that validation prefers, for each method and length."""
        return tuned(self.finals)

    @cached_property
    def comparison(self) -> Comparison:
        """Steps to target against uniform and the best simple alternative."""
        return compare(self.finals, steps=self.sources.target_steps)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The table of results, in numbers."""
        return tables.final_table(self.finals, self.comparison)

    @property
    def cells(self) -> pd.DataFrame:
        """The table of results, as text."""
        return tables.readable(self.table, self.title)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Accuracy along all runs, tidy."""
        return curves(self.sources.runs, self.metric)

    @cached_property
    def long_curves(self) -> pd.DataFrame:
        """Mean curves of one schedule a method: the main run's length where there is one, else the longest."""
        frame = self.curves[self.curves["run"].isin(self.tuned["run"]) | (self.curves["run"] == self.main.name)]
        if frame.empty:
            return mean_curves(frame)
        length = frame.groupby("label")["steps"].transform(
            lambda s: self.main.steps if (s == self.main.steps).any() else s.max()
        )
        return mean_curves(frame[frame["steps"] == length])

    @cached_property
    def kinds(self) -> np.ndarray | None:
        """Kind of each row, where the truth is known; rows beyond the manifest are `unknown`."""
        if self.sources.truth is None or self.sources.manifest is None:
            return None
        kinds = kinds_of_rows(self.sources.truth, self.sources.manifest)
        highest = 0 if self.main.picks is None else int(self.main.picks["row"].max()) + 1
        return np.concatenate([kinds, np.full(max(0, highest - len(kinds)), UNKNOWN, dtype=object)])

    @cached_property
    def purity(self) -> pd.DataFrame | None:
        """Kinds among the main run's picks over time; None without picks or truth."""
        if self.kinds is None or self.main.picks is None:
            return None
        return purity(self.main.picks, self.kinds, super_batch_size=self.main.super_batch_size, bins=self._spans())

    def _spans(self) -> int:
        assert self.main.picks is not None
        return int(np.clip(self.main.picks["chosen"].sum() // PICKS_A_SPAN, 5, 40))

    @cached_property
    def standing(self) -> Standing | None:
        """How the main run's picks stand to its reference; None without picks, or without that reference's embeddings."""
        run = self.main
        cache = cache_of(self.sources.features, run.settings.get("reference"))
        if cache is None or run.picks is None or run.role != "selecting":
            return None
        return standing(run.picks, cache, 1 - run.filter_ratio, self._spans())

    @cached_property
    def kind_totals(self) -> pd.DataFrame | None:
        """Kinds in the pool and among all of the main run's picks."""
        return None if self.kinds is None or self.main.picks is None else totals(self.main.picks, self.kinds)

    @cached_property
    def shelves(self) -> list[Shelf]:
        """The gallery of the main run; empty where nothing was selected."""
        if self.main.picks is None or self.main.role != "selecting":
            return []
        captions = self.sources.captions or (first_captions(self.sources.manifest) if self.sources.manifest else None)
        return gallery(self.main.picks, self.sources.pixels, captions, kinds=self.kinds, limit=self.sources.examples)

    def outcome(self, outcomes: list[ToTarget]) -> ToTarget | None:
        """The main method's entry among outcomes to target."""
        return next((o for o in outcomes if (o.method, o.f) == (self.main.method, self.main.filter_ratio)), None)

    def figures(self, theme: Theme = LIGHT) -> dict[str, Figure]:
        """All figures that the runs allow, by name: accuracy, cost, schedules, purity, scores, standing, health, time."""
        found: dict[str, Figure] = {}
        if len(self.long_curves):
            found["accuracy"] = figures.accuracy_figure(self.long_curves, theme=theme, title=self.title)
            found["cost"] = figures.cost_figure(self.long_curves, theme, self.title)
        compared = self.tuned[self.tuned["role"] != "reference"]
        if len(compared) and compared.groupby(["method", "f"])["steps"].nunique().max() > 1:
            found["schedules"] = figures.schedule_figure(self.tuned, self.comparison, theme, self.title)
        if self.purity is not None and self.main.role != "uniform":
            found["purity"] = figures.purity_figure(self.purity, theme)
        if self.main.ledger is not None:
            if self.main.picks is not None and self.main.role == "selecting":
                found["scores"] = figures.scores_figure(self.main, repeats(self.main.picks), theme)
            if self.standing is not None:
                found["standing"] = figures.standing_figure(self.standing, theme)
            found["health"] = figures.health_figure(self.main, theme)
            found["time"] = figures.time_figure(self.beside(), theme)
        return found

    def plots(self, theme: Theme = LIGHT) -> dict[str, Figure]:
        """The figures that every report has: accuracy by steps, samples, FLOPs, seconds, and purity of the picks.

        One that can't be drawn holds a sentence instead, so that a catalog always gets all of them.
        """
        points = self.long_curves
        if points.empty:
            missing = figures.sentence_figure("No run was evaluated while it trained.", theme)
            found = dict.fromkeys(PLOTS, missing)
        else:
            axes = {"steps": "step", "samples": "samples", "seconds": "seconds"}
            drawn = {k: figures.accuracy_figure(points, axis, theme, self.title) for k, axis in axes.items()}
            drawn["flops"] = figures.flops_figure(points, theme, self.title)
            found = {f"accuracy_by_{name}": drawn[name] for name in ("steps", "samples", "flops", "seconds")}
        found["purity"] = self._purity_plot(theme)
        return found

    def _purity_plot(self, theme: Theme) -> Figure:
        if self.purity is None:
            why = "no picks" if self.main.picks is None else "no truth about the pool"
            return figures.sentence_figure(f"{self.main.name}: {why}, so no purity of picks.", theme)
        return figures.purity_figure(self.purity, theme)

    def beside(self) -> list[Run]:
        """The main run and one run of each other method (the longest, first seed), for bars side by side."""
        best: dict[tuple[str, float], Run] = {}
        for run in sorted(self.sources.runs, key=lambda run: (-run.steps, run.seed)):
            if run.ledger is not None and run.role != "reference":
                best.setdefault((run.method, run.filter_ratio), run)
        best[(self.main.method, self.main.filter_ratio)] = self.main
        return sorted(best.values(), key=lambda run: (run is not self.main, run.name))

    def telling_rows(self) -> pd.Series:
        """Which rows of the table matter most: the main run's length, T, what reaches the target, the reference."""
        table = self.table
        kept = (table["steps"] == self.main.steps) | (table["role"] == "reference")
        for outcome in self.comparison.uniform:
            own = (
                (table["method"] == outcome.method)
                & (table["f"] == outcome.f)
                & (table["steps"] == (outcome.steps or outcome.best_steps))
            )
            kept |= own | ((table["role"] == "uniform") & (table["steps"] == outcome.horizon.steps))
        return kept


def _preference(run: Run) -> tuple[object, ...]:
    """Order in which runs are taken for the main one: jest before other methods that select, long before short."""
    return (
        run.role != "selecting",
        run.method != "jest",
        run.role == "reference",
        not run.complete,
        -run.steps,
        run.seed,
        run.name,
    )
