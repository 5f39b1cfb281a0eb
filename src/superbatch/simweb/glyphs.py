"""Handwritten digits: scikit-learn's 8 x 8 images, smoothed into height fields and split by image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from superbatch.simweb.draws import Floats, Ints, permutation

GLYPH_SPLITS: dict[str, float] = {"training": 0.6, "validation": 0.15, "test": 0.25}
_FIELD = 40  # side of the smoothed images; one source pixel is _FIELD / 10 of them, with a border of one source pixel
_SOURCE = 10


@dataclass(frozen=True)
class Glyphs:
    """The digit images and who may use which.

    Attributes:
        fields: float32[images, 40, 40], ink from 0 to 1; the stroke's edge is at 0.5.
        members: split -> for each digit 0..9, the numbers of its images in that split.
    """

    fields: NDArray[np.float32]
    members: dict[str, tuple[Ints, ...]]

    def choose(self, split: str, digit: Ints, unit: Floats) -> Ints:
        """Return int64[n]: an image of each digit, out of the split's own.

        Args:
            split: "training", "validation" or "test".
            digit: int64[n], 0 to 9.
            unit: float64[n] in [0, 1), which of the digit's images.
        """
        groups = self.members[split]
        counts = np.array([len(group) for group in groups])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        chosen: Ints = np.concatenate(groups)[starts[digit] + np.floor(unit * counts[digit]).astype(np.int64)]
        return chosen


@lru_cache(maxsize=2)
def load_glyphs(seed: int) -> Glyphs:
    """Load the 1,797 digit images that ship with scikit-learn and split them by image (no network)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = permutation(seed, "glyph split", len(digits.target))
    members: dict[str, list[Ints]] = {split: [] for split in GLYPH_SPLITS}
    for digit in range(10):
        own = order[digits.target[order] == digit]
        ends = np.round(np.cumsum(list(GLYPH_SPLITS.values())) * len(own)).astype(int)
        for split, start, end in zip(GLYPH_SPLITS, [0, *ends[:-1]], ends, strict=True):
            members[split].append(np.sort(own[start:end]))
    return Glyphs(_smooth(digits.images), {split: tuple(groups) for split, groups in members.items()})


def _smooth(images: NDArray[np.float64]) -> NDArray[np.float32]:
    """Upsample [n, 8, 8] with values 0..16 to [n, 40, 40] in 0..1 by Catmull-Rom splines, which keep loops open."""
    padded = np.pad(images / 16.0, ((0, 0), (1, 1), (1, 1)))
    positions = (np.arange(_FIELD) + 0.5) * _SOURCE / _FIELD - 0.5
    t = np.abs(positions[:, None] - np.arange(_SOURCE)[None, :])
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    kernel = np.where(t < 1, near, np.where(t < 2, far, 0.0))
    # plain einsum: unlike a BLAS, its sums never depend on the number of threads
    rows = np.einsum("yg,ngh->nyh", kernel, padded, optimize=False)
    fields = np.einsum("xh,nyh->nyx", kernel, rows, optimize=False)
    return np.ascontiguousarray(fields.clip(0, 1), dtype=np.float32)
