"""Settings of selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from superbatch.bounds import Because, Count, Positive, Settings, require
from superbatch.options.training import ModelSettings


@dataclass(frozen=True)
class SelectionSettings(Settings, section="selection"):
    """How a sub-batch is chosen out of the super-batch (JEST, Algorithms 1-3)."""

    method: Literal["uniform", "independent", "joint"] = "uniform"
    filter_ratio: float = 0.8  # f = 1 - b/B, between 0 and 1; ignored by `uniform`
    criterion: Literal["learnability", "easy_reference", "hard_learner", "easy_learner"] = "learnability"
    num_chunks: Count = 16
    gain: Positive = 100.0  # the paper's; conf/base sets 10
    # k: a step's batch is chosen by the weights of k steps before
    stale_steps: Annotated[int, Ge(0), Because("k = {value} steps ago is yet to come")] = 0
    proxy: ModelSettings | None = None  # a smaller model that scores for the learner, trained along (ActiveCLIP)
    # f at the last step: the super-batch shrinks (or grows) to it by one factor a step; 0 ends uniformly. None: f stays
    final_filter_ratio: (
        Annotated[float, Interval(ge=0, lt=1), Because("f = {value} leaves nothing to train on")] | None
    ) = None

    @property
    def scores(self) -> bool:
        """Whether a model scores super-batches: easy reference has the cache, uniform needs nothing."""
        return self.method != "uniform" and self.criterion != "easy_reference"

    @property
    def uses_reference(self) -> bool:
        """Whether the reference's losses count in a score."""
        return self.method != "uniform" and self.criterion not in ("hard_learner", "easy_learner")

    def sizes(self, b: int) -> tuple[int, int]:
        """Return how many samples a batch of b is chosen from at the first step and at the last: round(b / (1 - f))."""
        if self.method == "uniform":
            return b, b
        last = self.filter_ratio if self.final_filter_ratio is None else self.final_filter_ratio
        first, last = (max(b, round(b / (1 - f))) for f in (self.filter_ratio, last))
        return first, last

    def check(self) -> None:
        """Refuse a filter ratio that leaves nothing, and what only a scoring model needs where none scores."""
        require(
            self.method == "uniform" or 0 < self.filter_ratio < 1,
            "selection.filter_ratio",
            f"f = {self.filter_ratio:g} leaves nothing to {'choose from' if self.filter_ratio <= 0 else 'train on'}",
            "use a value between 0 and 1, or method: uniform",
        )
        why = f"method: {self.method}" if self.method == "uniform" else f"criterion: {self.criterion}"
        for name in ("stale_steps", "proxy"):
            require(
                self.scores or not getattr(self, name),
                f"selection.{name}",
                f"with {why} no model scores",
                "leave it out, or set it in the block of a method that scores, such as jest",
            )
