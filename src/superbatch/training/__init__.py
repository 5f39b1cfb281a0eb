"""The training engine: a run's steps, state on disk, records and cost. It is independent of the method."""

from superbatch.training.job import Job, TrainResult
from superbatch.training.loop import train
from superbatch.training.once import train_once
from superbatch.training.task import Model, Pairs, PairScores, Reads, SampleScores, Task

__all__ = ["Job", "Model", "PairScores", "Pairs", "Reads", "SampleScores", "Task", "TrainResult", "train", "train_once"]
