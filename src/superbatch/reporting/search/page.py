"""The page that searches offline: the nearest pictures to words, by one run beside another.

A browser has no text tower, so the page brings the embeddings of words and phrases that are frequent in the captions. A query of
several of them is their mean, and the page says so.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superbatch.reporting.gallery import Item, Shelf, data_uri
from superbatch.reporting.search.answers import Answer
from superbatch.reporting.search.quantised import Quantised, fine, packed
from superbatch.reporting.search.sheets import Sheets
from superbatch.reporting.templating import cleaned, render

CAPTION = 80  # characters that the page keeps of a caption
BYTES = 8_000_000  # of the pictures' embeddings on the page: of wide ones there is room for fewer


@dataclass(frozen=True)
class Searcher:
    """A run as the page has it: pictures and words embedded by its model, float (n, D) and (W, D)."""

    run: str
    images: np.ndarray
    words: np.ndarray


@dataclass(frozen=True)
class SearchPage:
    """The content of the page.

    Attributes:
        title: of the project.
        answers: what was asked for, found among all pictures.
        searchers: the runs, each with the pictures of the sheets in their order, and with the words.
        words, separators, stop_words: what the page knows, where it cuts a query, and which words it passes over.
        sheets: the pictures on the page. captions, sets: of each of them.
        total: how many pictures there are in all. top: how many are shown.
        where: a sentence on what is searched. command: what asks for other words.
    """

    title: str
    answers: list[Answer]
    searchers: list[Searcher]
    words: Sequence[str]
    separators: str
    stop_words: Sequence[str]
    sheets: Sheets
    captions: Sequence[str]
    sets: Sequence[str]
    total: int
    top: int
    where: str
    command: str

    @property
    def count(self) -> int:
        """How many pictures are on the page."""
        return len(self.sheets.numbers)

    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {
            "words": [cleaned(word) for word in self.words],
            "separators": self.separators,
            "stop": sorted(self.stop_words),
            "top": self.top,
            "captions": [cleaned(_short(caption)) for caption in self.captions],
            "sets": [cleaned(name) for name in self.sets],
            "rows": self.sheets.rows,
            "sheets": [_webp(file.read_bytes()) for file in self.sheets.files],
            "runs": [_run_data(searcher) for searcher in self.searchers],
        }


def render_page(page: SearchPage) -> str:
    """Render the page: one file that asks for no other."""
    answers = [(answer, [_shelf(answer, run) for run in answer.hits]) for answer in page.answers]
    return render("search.html.j2", page=page, answers=answers, data=page.data())


def room_on_page(widths: Sequence[int]) -> int:
    """Return for how many pictures the page has room, given the embedding widths of its runs."""
    return max(1, BYTES // sum(widths))


def _run_data(searcher: Searcher) -> dict[str, Any]:
    images = Quantised.of(searcher.images)
    return {
        "name": searcher.run,
        "width": searcher.images.shape[1],
        "mean": packed(images.mean),
        "scale": packed(images.scale),
        "images": packed(images.steps),
        "words": packed(fine(searcher.words)),
    }


def _shelf(answer: Answer, run: str) -> Shelf:
    items = [
        Item(hit.row, 0, hit.cosine, hit.caption, data_uri(hit.image, 96), note=f"{hit.cosine:.3f} · {hit.set}")
        for hit in answer.hits[run]
    ]
    return Shelf(run, "", items)


def _short(caption: str) -> str:
    caption = " ".join(caption.split())
    return caption if len(caption) <= CAPTION else f"{caption[: CAPTION - 1]}…"


def _webp(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode()
