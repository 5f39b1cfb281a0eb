"""The training engine: what a run is, its steps, its state on disk, its records and its cost. It knows no method."""

from superbatch.training.job import Job, TrainResult
from superbatch.training.loop import train
from superbatch.training.once import train_once
from superbatch.training.task import Model, Pairs, PairScores, Reads, SampleScores, Task

__all__ = ["Job", "Model", "PairScores", "Pairs", "Reads", "SampleScores", "Task", "TrainResult", "train", "train_once"]
