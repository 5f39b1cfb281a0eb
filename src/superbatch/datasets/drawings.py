"""Images made with Pillow, written aside (`aside`); on their own because Pillow is loaded only where a stage draws."""

from __future__ import annotations

from kedro_datasets.pillow import ImageDataset as KedroImage

from superbatch.datasets.aside import Aside


class ImageDataset(Aside, KedroImage):
    """Kedro's ImageDataset, written aside."""
