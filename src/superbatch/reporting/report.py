"""A report as a value: gathers from run directories what tables, figures and the page show."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from superbatch.errors import UserError
from superbatch.reporting.baseline import alike, uniform_of
from superbatch.reporting.cells import readable
from superbatch.reporting.chance import near_chance
from superbatch.reporting.comparison import Comparison, compare
from superbatch.reporting.curves import curves, mean_curves
from superbatch.reporting.finals import Final, check_metric, final_of, runs_frame
from superbatch.reporting.gallery import Shelf, first_captions, gallery
from superbatch.reporting.metrics import MEAN, headline_title, metric_title
from superbatch.reporting.names import label_of
from superbatch.reporting.purity import UNKNOWN, kinds_of_rows, purity, totals
from superbatch.reporting.reference_check import check_of, reference_of
from superbatch.reporting.rounds import rounds_of
from superbatch.reporting.runs import Run
from superbatch.reporting.same_data import of_one_pool, of_one_test, on_another_pool, without_pool
from superbatch.reporting.sources import Sources, main_run, metric_for, of_one_kind
from superbatch.reporting.standing import Standing, cache_of, standing
from superbatch.reporting.tables import RETRIEVAL, final_table
from superbatch.reporting.targets import ToTarget
from superbatch.reporting.tuning import tuned

if TYPE_CHECKING:
    from superbatch.reporting.understanding import Choices

PICKS_A_SPAN = 400  # with fewer, the share of a rare kind is too noisy


class Report:
    """Everything a report shows, computed once and when asked for.

    Attributes:
        sources: with the runs that are compared. found: all runs.
        on_another_pool: whether the main run drew from another pool than the ingested one: then nothing is shown by its rows.
    """

    def __init__(self, sources: Sources) -> None:
        if not sources.runs:
            raise UserError("report", "no run was found", "train one first: kedro run --pipeline=jest")
        metric = metric_for(sources.runs, sources.main, sources.metric)
        check_metric(sources.runs, metric)
        main, runs = main_run(sources.runs, sources.main), of_one_kind(sources.runs, sources.main, metric)
        runs = of_one_test(of_one_pool(runs, main, sources), main, metric, sources.command)
        self.found, self.on_another_pool = list(sources.runs), on_another_pool(main, sources)
        known = without_pool(sources, main) if self.on_another_pool else sources
        self.sources = replace(known, metric=metric, runs=runs)

    @cached_property
    def main(self) -> Run:
        """The run that the report is about."""
        return main_run(self.sources.runs, self.sources.main)

    @property
    def label(self) -> str:
        """The main run's method as legends call it."""
        return label_of(self.method, self.main.filter_ratio)

    @cached_property
    def method(self) -> str:
        """The main run's method, as its family is called."""
        return str(self.finals.loc[self.finals["run"] == self.main.name, "method"].iloc[0])

    @property
    def of_images(self) -> bool:
        """Whether the main run was trained on images alone: reference, captions and kinds of pairs had no part in it."""
        return self.main.kind == "images"

    @property
    def stands_alone(self) -> bool:
        """Whether it is such a run, and no uniform run of pairs was asked for beside it: nothing is missing then."""
        return self.of_images and not any(run.role == "uniform" for run in self.sources.runs)

    @property
    def metric(self) -> str:
        """The metric that is shown."""
        return self.sources.metric

    @property
    def title(self) -> str:
        """The metric's name on axes and in tables; of a headline over one set, that set's main metric."""
        sets = {name: result for run in self.sources.runs for name, result in run.results.items()}
        return headline_title(sets) if self.metric == MEAN else metric_title(self.metric)

    @cached_property
    def finals(self) -> pd.DataFrame:
        """One row a run (`runs_frame`), `alike` where it is of the main run's batch size, model and loss."""
        runs = self.sources.runs
        return runs_frame(runs, self.metric).assign(alike=[alike(run, self.main) for run in runs])

    @cached_property
    def tuned(self) -> pd.DataFrame:
        """The runs of the configuration that validation prefers, for each method and length."""
        return tuned(self.finals)

    @cached_property
    def uniform(self) -> list[Run]:
        """The runs of the uniform method that others are measured against, all of its candidates; any uniform ones where none was evaluated."""
        known = set(uniform_of(self.tuned)["method"])
        methods = dict(zip(self.finals["run"], self.finals["method"], strict=True))
        return [run for run in self.sources.runs if run.role == "uniform" and (not known or methods[run.name] in known)]

    @cached_property
    def final(self) -> Final:
        """Where the main run's method ended after as many steps: the mean over seeds; the run's own value where it is not complete."""
        frame = self.tuned
        own = frame[(frame["method"] == self.method) & (frame["f"] == self.main.filter_ratio)]
        own = own[own["steps"] == self.main.steps]
        return final_of(self.finals[self.finals["run"] == self.main.name] if own.empty else own)

    @cached_property
    def at_chance(self) -> bool:
        """Whether all runs but the reference are near chance: then nothing is compared."""
        return near_chance(self.tuned[self.tuned["role"] != "reference"])

    @cached_property
    def comparison(self) -> Comparison:
        """Steps to target against uniform and the best simple alternative; empty where all runs are near chance."""
        return Comparison() if self.at_chance else compare(self.finals, steps=self.sources.target_steps)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The table of results, in numbers."""
        table = final_table(self.finals, self.comparison)
        return table.drop(columns=[*RETRIEVAL], errors="ignore") if self.of_images else table

    @property
    def cells(self) -> pd.DataFrame:
        """The table of results, as text."""
        return readable(self.table, self.title)

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
    def reference_check(self) -> dict[str, Any] | None:
        """What the check found of the main run's reference; None where that is not known."""
        return check_of(self.found, self.main)

    @cached_property
    def reference(self) -> Run | None:
        """The reference that the main run was trained with, or else the first one there is."""
        return reference_of(self.found, self.main)

    @cached_property
    def rounds(self) -> dict[str, Any] | None:
        """The rounds of bootstrapping that led to that reference; None where there were none."""
        return rounds_of(self.reference)

    def with_own_reference(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Leave other references than the main run's out of a frame of runs."""
        own = None if self.reference is None else self.reference.name
        return frame[(frame["role"] != "reference") | (frame["run"] == own)]

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
        return purity(self.main.picks, self.kinds, looked_at=self.main.looked_at, bins=self._spans())

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
    def picked(self) -> list[Choices]:
        """What the runs on the pool picked, the main one first; empty without picks or without the embeddings of the pool."""
        from superbatch.reporting.picked import (
            picked,
        )  # imported here because it loads torch, which most users of this module don't need

        files, cache = self.sources, cache_of(self.sources.features, self.main.settings.get("reference"))
        if cache is None or files.manifest is None:
            return []
        return picked(files.runs, self.main, cache, files.manifest, files.truth, files.fingerprints.get("pool"))

    @cached_property
    def kind_totals(self) -> pd.DataFrame | None:
        """Kinds in the pool and among all of the main run's picks."""
        return None if self.kinds is None or self.main.picks is None else totals(self.main.picks, self.kinds)

    @cached_property
    def shelves(self) -> list[Shelf]:
        """The gallery of the main run; empty where nothing was selected, and where its pool is not there."""
        if self.main.picks is None or self.main.role != "selecting" or self.on_another_pool:
            return []
        captions = self.sources.captions or (first_captions(self.sources.manifest) if self.sources.manifest else None)
        return gallery(self.main.picks, self.sources.pixels, captions, kinds=self.kinds, limit=self.sources.examples)

    def outcome(self, outcomes: list[ToTarget]) -> ToTarget | None:
        """The main method's entry among outcomes to target."""
        return next((o for o in outcomes if (o.method, o.f) == (self.method, self.main.filter_ratio)), None)

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
