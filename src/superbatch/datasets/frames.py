"""Frames of the report and the audit, written aside (`aside`); on their own because pandas is slow to import."""

from __future__ import annotations

from kedro_datasets.pandas import CSVDataset as KedroCSV
from kedro_datasets.pandas import ParquetDataset as KedroParquet

from superbatch.datasets.aside import Aside


class CSVDataset(Aside, KedroCSV):
    """Kedro's CSVDataset, written aside."""


class ParquetDataset(Aside, KedroParquet):
    """Kedro's ParquetDataset, written aside."""
