"""Scores of unit vectors that do not depend on block size, threads or device, so that ties stay ties.

Float32 products of two equal rows may differ in the last bit from one matrix block to the next; then a tie is decided
by the block size. Here every component is rounded to a multiple of 2^-26 and kept as a whole number in float64.
Products and partial sums of two such vectors stay below 2^53 (Cauchy-Schwarz), so every sum is exact in any order. The
rounding moves a cosine by some 1e-8, less than float32 does.

Letters in names: N images, M texts, C classes, D embedding width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from superbatch.errors import UserError

GRID = 2.0**26


def exact_unit(rows_ND: Tensor) -> Tensor:
    """Normalise rows and put them on the grid.

    Args:
        rows_ND: embeddings, any float type, normalised or not. Rows of zeros stay zeros.

    Returns:
        float64 of the same shape, whole numbers of at most 2^26; products divided by `GRID ** 2` are cosines.

    Raises:
        UserError: a value that is not finite, which counting of ranks would mistake for a perfect score.
    """
    if rows_ND.device.type == "mps":  # has no float64
        rows_ND = rows_ND.cpu()
    rows_ND = finite(rows_ND.detach().to(torch.float64))
    return torch.nn.functional.normalize(rows_ND, dim=-1).mul_(GRID).round_()


def finite(rows_ND: Tensor) -> Tensor:
    """Return embeddings as they are.

    Raises:
        UserError: a value that is not finite.
    """
    if not bool(torch.isfinite(rows_ND).all()):
        raise UserError("model", "its embeddings are not finite: the training diverged", "lower the learning rate")
    return rows_ND


def whole_numbers(values: Tensor | np.ndarray) -> Tensor:
    """Copy labels or positions to an int64 tensor on the CPU (Arrow's arrays are read-only)."""
    return values.cpu().long() if isinstance(values, Tensor) else torch.from_numpy(np.array(values, dtype=np.int64))


def ranks_of_labels(logits_NC: Tensor, labels_N: Tensor) -> Tensor:
    """Count the classes placed before the true one: 0 is a hit at top-1.

    Equal scores go to the lower class number, as `argmax` does in numpy; a model that gives one embedding for all
    is thus right about class 0 alone.

    Args:
        logits_NC: scores.
        labels_N: int64 class numbers.

    Returns:
        int64 of shape (N,).
    """
    own_N1 = logits_NC.gather(1, labels_N[:, None])
    before_NC = torch.arange(logits_NC.shape[1], device=logits_NC.device) < labels_N[:, None]
    return ((logits_NC > own_N1) | ((logits_NC == own_N1) & before_NC)).sum(1)
