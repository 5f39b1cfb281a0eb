"""A made-up search page: pictures whose embeddings lie close together, as a model's do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from superbatch.reporting.search.answers import Answer, Hit
from superbatch.reporting.search.page import Searcher, SearchPage
from superbatch.reporting.search.sheets import Sheets, write_sheets
from superbatch.tasks.words import SEPARATORS, STOP_WORDS

EVIL = '</script><script>alert("1")</script><b>&amp; \u202e\x00'
WORDS = ["red", "red square", "café", "it's", EVIL, *(f"word{n}" for n in range(40))]
COUNT, TILE = 300, 8


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def searcher(run: str, width: int, seed: int) -> Searcher:
    """A common direction takes most of the length of each picture's embedding."""
    rng = np.random.default_rng(seed)
    images = 3 * unit(rng.standard_normal((1, width))) + unit(rng.standard_normal((COUNT, width)))
    return Searcher(run, unit(images), unit(rng.standard_normal((len(WORDS), width))))


def pixels(numbers: np.ndarray) -> np.ndarray:
    """Plain colours that say the number."""
    colours = np.stack([numbers % 16 * 16, numbers // 16 * 12, np.full_like(numbers, 128)], 1)
    return np.broadcast_to(colours[:, :, None, None], (len(numbers), 3, TILE, TILE)).astype(np.uint8)


def answer(query: str = "red square", caption: str = "a caption") -> Answer:
    hits = {
        run: [Hit(0.5 - n / 10, f"{caption} {n}", "pool", n, pixels(np.array([n]))[0]) for n in range(3)]
        for run in ("jest", "uniform")
    }
    return Answer(query, hits)


def search_page(folder: Path, answers: list[Answer] | None = None) -> SearchPage:
    numbers = np.random.default_rng(0).permutation(COUNT)
    folder.mkdir(exist_ok=True)
    write_sheets(pixels, numbers, TILE, folder)
    captions = [f"picture {n}" if n else EVIL for n in range(COUNT)]
    return SearchPage(
        "Superbatch",
        answers or [answer()],
        [searcher("jest", 16, 1), searcher("uniform", 24, 2)],
        WORDS,
        SEPARATORS,
        sorted(STOP_WORDS),
        Sheets.read(folder),
        captions,
        ["pool"] * COUNT,
        total=1234,
        top=10,
        where="Searched: pictures.",
        command="kedro run --pipelines=search",
    )
