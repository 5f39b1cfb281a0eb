"""Images made with Pillow, written aside (`aside`); on their own because Pillow is loaded only where a stage draws."""

from __future__ import annotations

from pathlib import PurePosixPath

from kedro_datasets.pillow import ImageDataset as KedroImage

from superbatch.datasets.aside import Aside


class PNGDataset(Aside, KedroImage):
    """Kedro's ImageDataset, written aside as PNG."""

    @staticmethod
    def _get_format(file_path: PurePosixPath) -> str:
        return "PNG"  # the name aside does not say
