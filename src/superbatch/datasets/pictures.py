"""Pictures of the report, written aside (`aside`); on their own because matplotlib is slow to import."""

from __future__ import annotations

from kedro_datasets.matplotlib import MatplotlibDataset as KedroMatplotlib

from superbatch.datasets.aside import Aside


class MatplotlibDataset(Aside, KedroMatplotlib):
    """Kedro's MatplotlibDataset, written aside."""
