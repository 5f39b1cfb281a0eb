"""Scores of images by their pixels: how flat they are, and a perceptual hash.

Legend: n images, S image side.
"""

from __future__ import annotations

import numpy as np
import torch

LEVELS = 16  # of grey, in which flatness is counted
CELLS = (8, 9)  # rows and columns that a hash compares


def grey(pixels_n3SS: np.ndarray) -> np.ndarray:
    """Return the brightness of uint8 images (n, 3, S, S), uint8 (n, S, S): whole numbers, so that equal areas stay equal."""
    red, green, blue = (pixels_n3SS[:, channel].astype(np.uint32) for channel in range(3))
    found: np.ndarray = ((299 * red + 587 * green + 114 * blue) // 1_000).astype(np.uint8)
    return found


def flatness(grey_nSS: np.ndarray) -> np.ndarray:
    """Return the largest share of an image's pixels that is in one of sixteen levels of grey, float32 (n,): 1 for a plain area."""
    level_nP = grey_nSS.reshape(len(grey_nSS), -1).astype(np.int64) * LEVELS // 256
    numbered = level_nP + LEVELS * np.arange(len(grey_nSS))[:, None]
    counts = np.bincount(numbered.ravel(), minlength=LEVELS * len(grey_nSS)).reshape(-1, LEVELS)
    found: np.ndarray = (counts.max(1) / max(1, level_nP.shape[1])).astype(np.float32)
    return found


def difference_hash(grey_nSS: np.ndarray) -> np.ndarray:
    """Return a hash of 64 bits an image, uint64 (n,), that images have in common which look alike (dHash).

    The image is averaged over 8 x 9 cells; each bit says whether a cell is brighter than its neighbour on the left. So light, contrast and
    size hardly count, and an image without structure has no bit set, whatever it is.
    """
    cells_n89 = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(grey_nSS.astype(np.float32)), CELLS).numpy()
    bits = (cells_n89[:, :, 1:] > cells_n89[:, :, :-1]).reshape(len(grey_nSS), 64)
    found: np.ndarray = np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)
    return found
