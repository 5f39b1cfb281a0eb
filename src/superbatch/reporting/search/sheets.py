"""Small pictures on large sheets: how a page carries thousands of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from superbatch.artifacts.atomic import write_json
from superbatch.files import read_json

SIDE = 64  # tiles along a side of a sheet
QUALITY = 60  # of WebP
ABOUT = "sheets.json"


@dataclass(frozen=True)
class Sheets:
    """What `write_sheets` wrote.

    Attributes:
        numbers: of the pictures, int64 (n,), in the order of their tiles: row by row, sheet by sheet.
        tile: side of a tile, pixels.
        files: the sheets, WebP.
        rows: of tiles, on each sheet.
    """

    numbers: np.ndarray
    tile: int
    files: list[Path]
    rows: list[int]

    @classmethod
    def read(cls, directory: Path) -> Sheets:
        """Read them from their directory."""
        about = read_json(directory / ABOUT)
        numbers, files = np.asarray(about["numbers"], np.int64), [directory / name for name in about["files"]]
        rows = [-(-min(SIDE**2, len(numbers) - start) // SIDE) for start in range(0, len(numbers), SIDE**2)]
        return cls(numbers, int(about["tile"]), files, rows)

    def first(self, count: int) -> Sheets:
        """Return the first pictures alone, on as few sheets as have them."""
        numbers = self.numbers[:count]
        sheets = -(-len(numbers) // SIDE**2)
        return Sheets(numbers, self.tile, self.files[:sheets], self.rows[:sheets])


def write_sheets(read: Callable[[np.ndarray], np.ndarray], numbers: np.ndarray, tile: int, out: Path) -> None:
    """Write pictures as sheets of `SIDE` x `SIDE` tiles; the last one is as high as it has to be.

    Args:
        read: numbers (n,) -> uint8 (n, 3, tile, tile).
        numbers: of the pictures, in the order of the tiles.
        tile: side of a tile, pixels.
        out: the directory.
    """
    files: list[str] = []
    for start in range(0, len(numbers), SIDE**2):
        name = f"sheet-{len(files):03d}.webp"
        images = read(numbers[start : start + SIDE**2])
        Image.fromarray(montage(images, SIDE)).save(out / name, "webp", quality=QUALITY, method=2)
        files.append(name)
    write_json(out / ABOUT, {"tile": tile, "files": files, "numbers": numbers.tolist()})


def montage(images_n3SS: np.ndarray, columns: int) -> np.ndarray:
    """Lay images (n, 3, S, S) out row by row on white, uint8 (rows * S, columns * S, 3)."""
    count, _, side, _ = images_n3SS.shape
    rows = -(-count // columns)
    tiles = np.full((rows * columns, 3, side, side), 255, np.uint8)
    tiles[:count] = images_n3SS
    grid = tiles.reshape(rows, columns, 3, side, side).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(grid.reshape(rows * side, columns * side, 3))
