"""The training engine: what a run is, its steps, its state on disk, its records and its cost."""

from superbatch.training.job import Job, Reference, TrainResult
from superbatch.training.loop import train

__all__ = ["Job", "Reference", "TrainResult", "train"]
