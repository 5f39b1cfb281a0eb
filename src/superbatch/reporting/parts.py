"""What templates show besides text: tables and pictures (`templates/parts.html.j2` has a macro for each)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Table:
    """Text cells by row; the first of a row names it. `strong` holds the numbers of rows that stand out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()

    @classmethod
    def of(cls, cells: pd.DataFrame, strong: Iterable[int] = ()) -> Table:
        """Take a data frame's cells as text, without its index."""
        rows = tuple(tuple(map(str, row)) for row in cells.itertuples(index=False, name=None))
        return cls(tuple(map(str, cells.columns)), rows, frozenset(strong))


@dataclass(frozen=True)
class Picture:
    """A figure twice, as SVG: for a window with room, and drawn anew for a phone."""

    wide: str
    narrow: str
