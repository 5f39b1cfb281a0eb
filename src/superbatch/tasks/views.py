"""Augmented views as a task reads them: numbers by (seed, step, row) are the field, the pixels are changed on the device."""

from __future__ import annotations

from torch import Tensor

from superbatch.data.augment import NUMBERS, augmented
from superbatch.data.fields import Batch, Drawn
from superbatch.options import AugmentSettings
from superbatch.tasks.contrastive import IMAGE

VIEWS = "views"  # field: uniform in [0, 1), float64 (n, w) for each of the views, side by side
PURPOSE = 23  # of the draw, as in `data.fields.Drawn`


def views_field(seed: int, num_rows: int, views: int) -> Drawn:
    """Return the field of numbers for so many views of each row."""
    return Drawn(seed, num_rows, views * NUMBERS, PURPOSE)


def view_of(batch: Batch, number: int, settings: AugmentSettings) -> Tensor:
    """Return a view of each image, by its number from 0, float32 (n, 3, S, S) from 0 to 255."""
    return augmented(batch[IMAGE], batch[VIEWS][:, number * NUMBERS : (number + 1) * NUMBERS], settings)
