"""The gallery: rows chosen early, late, passed over and never chosen, with image, caption, score."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from PIL import Image

PixelReader = Callable[[np.ndarray], np.ndarray]
CaptionReader = Callable[[np.ndarray], Sequence[str]]


@dataclass(frozen=True)
class Item:
    """One pair of the gallery; `picture` is a data URI, or None where the image could not be read; `note` replaces score and step."""

    row: int
    step: int
    score: float
    caption: str
    picture: str | None
    kind: str | None = None
    note: str | None = None

    @property
    def numbers(self) -> str:
        """What stands below the caption."""
        return self.note or f"score {_score(self.score)} · step {self.step:,}"


@dataclass(frozen=True)
class Shelf:
    """One part of the gallery: a title, a sentence on how its rows were found, the rows."""

    title: str
    what: str
    items: list[Item]


def gallery(
    picks: pd.DataFrame,
    pixels: PixelReader | None,
    captions: CaptionReader | None,
    *,
    kinds: np.ndarray | None = None,
    limit: int = 12,
    thumbnail: int = 160,
) -> list[Shelf]:
    """Build the gallery of a run; shelves without rows are left out.

    Args:
        picks: step, row, score, chosen.
        pixels: int64 rows [n] -> uint8 [n, 3, S, S] (as `PackedPixels.read`); None leaves pictures out.
        captions: int64 rows [n] -> n captions; None leaves them empty.
        kinds: kind by row, for simulated pools.
        limit: rows a shelf. thumbnail: longest side in pixels.
    """
    shelves = [(title, what, frame.head(limit)) for title, what, frame in _shelves(picks, limit) if len(frame)]
    if not shelves:
        return []
    rows = np.unique(np.concatenate([frame["row"].to_numpy(np.int64) for _, _, frame in shelves]))
    pictures = _pictures(rows, pixels, thumbnail)
    texts = dict(zip(rows.tolist(), captions(rows) if captions else [""] * len(rows), strict=True))

    def item(entry: tuple[int, int, float]) -> Item:
        step, row, score = entry
        kind = None if kinds is None else str(kinds[row])
        return Item(row, step, score, str(texts[row]), pictures.get(row), kind)

    columns = ["step", "row", "score"]
    return [
        Shelf(title, what, [item(e) for e in frame[columns].itertuples(index=False, name=None)])
        for title, what, frame in shelves
    ]


def _shelves(picks: pd.DataFrame, limit: int) -> list[tuple[str, str, pd.DataFrame]]:
    """Find the rows: the best scores in the first and the last tenth of the steps, the worst of those not taken."""
    chosen = picks[picks["chosen"].astype(bool)]
    passed = picks[~picks["chosen"].astype(bool)]
    first, last = picks["step"].min(), picks["step"].max()
    early, late = first + 0.1 * (last - first), last - 0.1 * (last - first)
    never = passed[~passed["row"].isin(chosen["row"])]
    seen = never.groupby("row").agg(step=("step", "max"), score=("score", "mean"), seen=("step", "size")).reset_index()
    often = seen.sort_values(["seen", "score", "row"], ascending=[False, True, True])
    return [
        (
            "Chosen early",
            "The highest scores among the picks of the first tenth of the steps.",
            _extremes(chosen[chosen["step"] <= early], limit, best=True),
        ),
        (
            "Chosen late",
            "The highest scores among the picks of the last tenth of the steps.",
            _extremes(chosen[chosen["step"] >= late], limit, best=True),
        ),
        (
            "Passed over",
            "The lowest scores in the recorded sample of those not taken, in the last tenth of the steps.",
            _extremes(passed[passed["step"] >= late], limit, best=False),
        ),
        (
            "Never chosen",
            "Never picked in the whole run, and most often seen in the sample of those not taken; mean score, last step seen.",
            often,
        ),
    ]


def _extremes(frame: pd.DataFrame, limit: int, *, best: bool) -> pd.DataFrame:
    ordered = frame.dropna(subset="score").sort_values(["score", "step", "row"], ascending=[not best, True, True])
    return ordered.drop_duplicates("row").head(limit)


def _pictures(rows: np.ndarray, pixels: PixelReader | None, side: int) -> dict[int, str]:
    if pixels is None:
        return {}
    return {int(row): data_uri(image, side) for row, image in zip(rows, pixels(rows), strict=True)}


def data_uri(image: np.ndarray, side: int = 160) -> str:
    """Turn uint8 [3, S, S] into a data URI of at most `side` pixels: PNG where it grows by a whole factor, else WebP."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, -1)))
    factor = side // max(picture.size)
    if factor > 1:  # few pixels: each of them stays as it is
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        return _encoded(picture, "png", optimize=True)
    picture.thumbnail((side, side))
    return _encoded(picture, "webp", quality=85)


def _encoded(picture: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def first_captions(manifest: Path) -> CaptionReader:
    """Read the first caption of rows from a manifest's directory (or its manifest.parquet)."""
    path = manifest / "manifest.parquet" if manifest.is_dir() else manifest
    column = pd.read_parquet(path, columns=["captions"])["captions"]

    def read(rows: np.ndarray) -> list[str]:
        return [str(texts[0]) if len(texts) else "" for texts in column.iloc[rows]]

    return read


def _score(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if np.isfinite(value) else "–"
