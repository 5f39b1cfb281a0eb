"""Kedro data sets of our own: directories that are published whole, and readers of what lies in them."""

from superbatch.datasets.directory import DirectoryDataset, RunDirectoryDataset
from superbatch.datasets.models import EmbeddingsDataset, ModelDataset
from superbatch.datasets.tables import ResultsDataset, TableDataset

__all__ = [
    "DirectoryDataset",
    "EmbeddingsDataset",
    "ModelDataset",
    "ResultsDataset",
    "RunDirectoryDataset",
    "TableDataset",
]
