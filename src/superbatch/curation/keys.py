"""Whole numbers in the order of values, for selection by digits and for dealing out: equal values have equal ones.

Legend: n values.
"""

from __future__ import annotations

import numpy as np

_SIGN: dict[int, np.uint32 | np.uint64] = {4: np.uint32(1 << 31), 8: np.uint64(1 << 63)}


def ascending(values_n: np.ndarray) -> np.ndarray:
    """Return whole numbers that are ordered as the values are, uint64 (n,); NaN comes last.

    Args:
        values_n: of any type of numbers, or truth values.
    """
    if values_n.dtype.kind == "f":
        return _of_floats(values_n.astype(np.float64)).astype(np.uint64)
    if values_n.dtype.kind == "u" or values_n.dtype == bool:
        return values_n.astype(np.uint64)
    return values_n.astype(np.int64).view(np.uint64) ^ _SIGN[8]


def best_first(scores_n: np.ndarray) -> np.ndarray:
    """Return whole numbers that are the smaller the higher the score is, uint32 (n,) for float32, else uint64 (n,); NaN comes last.

    Scores of other types are taken as float64.
    """
    return _of_floats(-scores_n if scores_n.dtype == np.float32 else -scores_n.astype(np.float64))


def _of_floats(values_n: np.ndarray) -> np.ndarray:
    """Turn the bits of float32 or float64 so that they are ordered as whole numbers: 0.0 and -0.0 are equal, all NaN are one and last."""
    sign = _SIGN[values_n.dtype.itemsize]
    bits_n = (values_n + 0).view(sign.dtype)  # adding 0 makes 0.0 of -0.0
    found: np.ndarray = np.where(bits_n & sign, ~bits_n, bits_n | sign)
    found[np.isnan(values_n)] = np.iinfo(sign.dtype).max
    return found
