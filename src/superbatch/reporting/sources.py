"""Where a report takes its parts from, and which run it is about."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from superbatch.errors import UserError
from superbatch.reporting.gallery import CaptionReader, PixelReader
from superbatch.reporting.metrics import HEADLINE
from superbatch.reporting.runs import Run

log = logging.getLogger(__name__)
TAUGHT = re.compile(r"/(few_shot_\d+|linear_probe|knn|fine_tune)$")
KINDS = {"pairs": "image-text pairs", "classes": "classes", "images": "images alone"}


@dataclass(frozen=True)
class SetImages:
    """The images of an evaluation set's test split.

    Attributes:
        pixels: rows -> uint8 [n, 3, S, S].
        captions: what stands below each: its class, or its first caption.
        classes: whether these are classes.
        data: the set's fingerprint, as results have it; None if not known.
    """

    pixels: PixelReader
    captions: Sequence[str]
    classes: bool
    data: str | None = None


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
        judged: what ingestion's expectations made of the pool (`expectations.json`). data_docs: address of the pages on them, from
            where the report lies.
        command: what makes this report again. fingerprints: of the data, by name.
        metric: what is shown, one that a run has. target_steps: an imposed T.
        pool: what the pool is called. title: of the page. examples: rows on each shelf of the gallery.
        images: of the evaluation sets, by name. queries: classes whose nearest images are shown; some at random where none are named.
        search: address of the page that searches, from where the report lies.
        advice: what the stage `advise` said about this pool, in one sentence; empty where it was not asked.
    """

    runs: list[Run]
    main: str | None = None
    manifest: Path | None = None
    truth: Path | None = None
    features: Path | None = None
    pixels: PixelReader | None = None
    captions: CaptionReader | None = None
    judged: dict[str, Any] | None = None
    data_docs: str | None = None
    command: str | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)
    metric: str = HEADLINE
    title: str = "Superbatch"
    pool: str = ""
    examples: int = 12
    images: Mapping[str, SetImages] = field(default_factory=dict)
    queries: tuple[str, ...] = ()
    search: str | None = None
    advice: str = ""
    target_steps: int | None = None


def main_run(runs: list[Run], name: str | None = None) -> Run:
    """Return the run that a report is about: the one called `name`, or else the longest that selects, jest before others; of several
    configurations the one that validation prefers.

    Raises:
        UserError: no run of that name.
    """
    if name is None:
        return min(runs, key=_preference)
    found = [run for run in runs if run.name == name]
    if not found:
        raise UserError("report.main", f"no run is called {name!r}", f"there are {', '.join(run.name for run in runs)}")
    return found[0]


def of_one_kind(runs: list[Run], name: str | None = None, metric: str = HEADLINE) -> list[Run]:
    """Return the runs that can be compared with the main one: those that train on classes as it does, or as it does on image-text pairs, and that
    start from given weights (`model.pretrained`) or from random ones as it does.

    Runs on images alone have no zero-shot metrics. By a metric of frozen features (linear probe, k-NN, few-shot) they stand beside runs on pairs,
    or on classes, whatever they start from. A line says which are left out; references stay.

    Args:
        name: of the main run, as of `main_run`. metric: that is shown.
    """
    main = main_run(runs, name)
    kind = main.kind
    fits = {kind} | ({"images", "pairs" if kind == "images" else kind} if is_taught(metric) else set())
    others = [run for run in runs if run.kind not in fits and run.role != "reference"]
    if others:
        theirs = " and ".join(sorted({KINDS[run.kind] for run in others}))
        log.info(
            "report: shows runs that train on %s; leaves out %d that train on %s", KINDS[kind], len(others), theirs
        )
    kept = [run for run in runs if run not in others]
    return kept if is_taught(metric) else _of_one_start(kept, main)


def _of_one_start(runs: list[Run], main: Run) -> list[Run]:
    """Leave out runs that start from given weights where the main one starts from random ones, and the other way round; a line says so."""
    others = [run for run in runs if run.given_start != main.given_start and run.role != "reference"]
    if others:
        log.info(
            "report: shows runs that start from %s weights; leaves out %d that start from %s ones (`model.pretrained`)",
            *(("given", len(others), "random") if main.given_start else ("random", len(others), "given")),
        )
    return [run for run in runs if run not in others]


def is_taught(metric: str) -> bool:
    """Whether a metric is of what labelled images teach: on frozen features, or a tower that is fine-tuned."""
    return TAUGHT.search(metric) is not None


def metric_for(runs: list[Run], name: str | None, wanted: str) -> str:
    """Return the metric that a report shows: where its main run is of images alone and has it not, the linear probe of the same set, or k-NN.

    Args:
        name: of the main run, as of `main_run`. wanted: `report.metric`.
    """
    main = main_run(runs, name)
    known, place = {*main.test, *main.validation}, wanted.rpartition("/")[0]
    found = [metric for word in ("linear_probe", "knn") if (metric := f"{place}/{word}") in known]
    if main.kind != "images" or wanted in known or not found:
        return wanted
    log.info(
        "report: compares by %s, because %s was trained on images alone and has no %s", found[0], main.name, wanted
    )
    return found[0]


def _preference(run: Run) -> tuple[object, ...]:
    """Order in which runs are taken for the main one: jest before other methods that select, long before short, and of one seed's runs, such as
    those of a grid of f, the one that is best on validation.
    """
    return (
        run.role != "selecting",
        run.method != "jest",
        run.role == "reference",
        not run.complete,
        -run.steps,
        run.seed,
        -run.validation.get(HEADLINE, -inf),
        run.name,
    )
