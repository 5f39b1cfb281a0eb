"""Answers to queries: the pictures nearest to words by each of some runs, and how a console shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

WIDTH = 44  # characters of a caption in the console
COLUMNS = ("query", "run", "rank", "cosine", "caption", "set", "row")


@dataclass(frozen=True)
class Hit:
    """A picture that was found; `image` is uint8 (3, S, S)."""

    cosine: float
    caption: str
    set: str
    row: int
    image: np.ndarray


@dataclass(frozen=True)
class Answer:
    """What was found for a query.

    Attributes:
        query: the words.
        hits: the nearest pictures by each run, by its name, the nearest first.
        unknown: words of the query that no caption searched has.
    """

    query: str
    hits: dict[str, list[Hit]]
    unknown: tuple[str, ...] = ()

    @property
    def caution(self) -> str:
        """What weakens the answer; empty if nothing does."""
        if not self.unknown:
            return ""
        words = " or ".join(f"“{word}”" for word in self.unknown)
        return f"No caption searched has {words}: the runs may never have learned what that means."


def frame(answers: list[Answer]) -> pd.DataFrame:
    """Return all hits, one a row: `COLUMNS`."""
    rows = [
        (answer.query, run, rank, hit.cosine, hit.caption, hit.set, hit.row)
        for answer in answers
        for run, hits in answer.hits.items()
        for rank, hit in enumerate(hits, start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def console_text(answers: list[Answer], about: str) -> str:
    """Return the answers as a console shows them: for each query the runs side by side.

    Args:
        answers: what was found.
        about: a sentence on what was searched.
    """
    return "\n".join([about, *(_block(answer) for answer in answers)])


def _block(answer: Answer) -> str:
    columns = [[run, *map(_cell, hits)] for run, hits in answer.hits.items()]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for number in range(max(map(len, columns))):
        cells = [column[number] if number < len(column) else "" for column in columns]
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append(f"{number or 'rank':>4}  {'  '.join(padded)}".rstrip())
    caution = [answer.caution] if answer.caution else []
    return "\n".join([f"\n{answer.query}", *lines, *caution])


def _cell(hit: Hit) -> str:
    caption = " ".join(hit.caption.split())
    short = caption if len(caption) <= WIDTH else f"{caption[: WIDTH - 1]}…"
    return f"{hit.cosine:+.3f}  {short} ({hit.set})"
