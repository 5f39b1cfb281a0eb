"""What it finds: the test images nearest to some classes, by the main run beside a uniform one."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from superbatch.errors import UserError
from superbatch.reporting.gallery import Item, Shelf, data_uri
from superbatch.reporting.metrics import MEAN
from superbatch.reporting.report import Report
from superbatch.reporting.runs import Run
from superbatch.reporting.sources import SetImages

ASKED = 4  # texts that are shown where none are named
SEED = 0  # of the draw
THUMBNAIL = 96  # pixels a side


@dataclass(frozen=True)
class Found:
    """What the section shows: for each text a shelf of images a run; empty where there are no two runs to compare.

    Attributes:
        texts: each with its shelves. classes: whether the texts are classes, whose names stand below the images.
        drawn: whether the texts were drawn at random. search: address of the search page, if it was written.
    """

    texts: list[tuple[str, list[Shelf]]]
    classes: bool
    drawn: bool
    search: str | None


def found(report: Report) -> Found:
    """The nearest images of the metric's evaluation set, where the main run and a uniform one have kept theirs.

    Raises:
        UserError: a text that was asked for and that the set does not have.
    """
    sources = report.sources
    name, runs = _set(report), []
    images = sources.images.get(name) if name else None
    if name and images and _of_these(images, report.main.tested[name]):
        runs = _beside(report, name)
    if not runs or images is None:
        return Found([], False, False, sources.search)
    asked = _asked(sources.queries, [entry["text"] for entry in runs[0].results[name]["nearest"]], name)
    texts = [(text, [_shelf(run, name, text, images) for run in runs]) for text in asked]
    return Found(texts, images.classes, not sources.queries, sources.search)


def _of_these(images: SetImages, result: dict[str, Any]) -> bool:
    """Whether a result is of these images, as far as that is known: its rows count in the set as it was then."""
    return None in (images.data, result.get("data")) or images.data == result["data"]


def _set(report: Report) -> str:
    """The set of the report's metric; of a headline the first one whose nearest images are known; empty without any."""
    known = [name for name, result in report.main.tested.items() if result.get("nearest")]
    wanted = report.metric.partition("/")[0]
    return next((name for name in known if report.metric == MEAN or name == wanted), "")


def _beside(report: Report, name: str) -> list[Run]:
    """The main run and the uniform one to compare it with: of as many steps and the same seed, else the longest."""
    main = report.main
    own = main.tested[name]
    others = [run for run in report.uniform if run is not main and _comparable(run.tested.get(name), own)]
    if main.role in ("uniform", "reference") or not others:
        return []
    return [main, min(others, key=lambda run: (run.steps != main.steps, -run.steps, run.seed != main.seed, run.name))]


def _comparable(result: dict[str, Any] | None, own: dict[str, Any]) -> bool:
    """Whether another run's result is there, has the nearest images, and is of the same images."""
    return result is not None and bool(result.get("nearest")) and result.get("data") == own.get("data")


def _asked(queries: tuple[str, ...], texts: list[str], name: str) -> list[str]:
    for query in queries:
        if query not in texts:
            close = get_close_matches(query, texts, 1, 0.5)
            remedy = f"did you mean {close[0]!r}?" if close else f"such as {', '.join(map(repr, texts[:3]))}"
            raise UserError("report.queries", f"{query!r} is not among the classes or captions of {name!r}", remedy)
    order = np.sort(np.random.default_rng(SEED).permutation(len(texts))[:ASKED])
    return list(queries) or [texts[number] for number in order]


def _shelf(run: Run, name: str, text: str, images: SetImages) -> Shelf:
    entry = next(entry for entry in run.tested[name]["nearest"] if entry["text"] == text)
    rows = np.array(entry["rows"], np.int64)
    captions = [images.captions[row] for row in rows]
    pictures = [data_uri(image, THUMBNAIL) for image in images.pixels(rows)]
    items = [
        Item(row, 0, cosine, caption, picture, note=_number(cosine))
        for row, cosine, caption, picture in zip(rows.tolist(), entry["cosines"], captions, pictures, strict=True)
    ]
    hits, there = captions.count(text), list(images.captions).count(text)
    told = f"{hits} of these {len(items)} are of this class; the set has {there}"
    return Shelf(run.name, told if images.classes else "", items)


def _number(cosine: float) -> str:
    return f"{round(cosine, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")  # no minus before zero
