"""Settings of Divide and Contrast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen

from superbatch.bounds import Because, Positive, Settings, require

OF_THE_SCHEDULE = "steps"  # of experts: `share` says how many they take


@dataclass(frozen=True)
class DncSettings(Settings, section="dnc"):
    """Which method is the base, into how many clusters its representations divide the pool, and how experts and student are trained."""

    base: str = "moclr"  # a method that trains on images alone
    # number of clusters; of several numbers, the one with the best separated clusters is used
    clusters: Annotated[
        tuple[Annotated[int, Ge(2), Because("{value} clusters are too few")], ...],
        MinLen(1),
        Because("the list is empty", "one number or more"),
    ] = (5,)
    start: Literal["scratch", "base"] = "scratch"  # where experts start: from random weights, or from the base's
    share: Positive = 1.0  # steps of all experts together, by those of the base
    experts: dict[str, Any] = field(default_factory=dict)  # what experts change in the base's settings
    student: dict[str, Any] = field(default_factory=dict)  # what the student changes in them, such as its steps

    def check(self) -> None:
        """Refuse numbers of clusters that stand there twice, and steps of experts that the schedule sets."""
        twice = f"{list(self.clusters)} has a number twice"
        require(len(set(self.clusters)) == len(self.clusters), "dnc.clusters", twice, "use such as [5, 10]")
        steps = isinstance(self.experts.get("training"), dict) and OF_THE_SCHEDULE in self.experts["training"]
        what = "follow from the sizes of the clusters"
        require(not steps, "dnc.experts.training.steps", what, "set dnc.share, of the base's steps")
