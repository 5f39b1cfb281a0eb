"""Images that are read repeatedly: decoded once, and kept in memory if they fit."""

from __future__ import annotations

from math import prod

import numpy as np

from superbatch.data.reader import Pixels


class KeptPixels:
    """The images of some rows, each decoded when it is first asked for and kept, if all of them fit; else decoded each time.

    Args:
        pixels: what decodes them.
        rows: n of a set's rows. most_bytes: that n images may take, uint8 (n, 3, S, S).
    """

    def __init__(self, pixels: Pixels, rows: np.ndarray, most_bytes: int) -> None:
        shape = len(rows), 3, pixels.image_size, pixels.image_size
        self._pixels, self._rows = pixels, rows
        self._kept = np.empty(shape, np.uint8) if prod(shape) <= most_bytes else None
        self._known = np.zeros(len(rows), bool)

    @property
    def num_bytes(self) -> int:
        """What is, or will be, kept; 0 where nothing is."""
        return 0 if self._kept is None else self._kept.nbytes

    def read(self, places: np.ndarray) -> np.ndarray:
        """Return images by their places among the rows, uint8 (m, 3, S, S).

        Raises:
            UserError: as `pixels` does.
        """
        if self._kept is None:
            return self._pixels.read(self._rows[places])
        new = places[~self._known[places]]
        if len(new):
            self._kept[new] = self._pixels.read(self._rows[new])
            self._known[new] = True
        found: np.ndarray = self._kept[places]
        return found
