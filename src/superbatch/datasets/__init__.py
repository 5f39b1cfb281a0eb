"""Kedro data sets of our own: directories that are published whole and read lazily."""

from superbatch.datasets.directory import DirectoryDataset, RunDirectoryDataset

__all__ = ["DirectoryDataset", "RunDirectoryDataset"]
