"""Settings of bootstrapping: how the reference enlarges its own curated set (JEST++)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Interval

from superbatch.bounds import Because, Count, Natural, Seed, Settings, require

NOT_OF_THE_SECOND = ("import_from", "held_out")  # of `reference`: what a second reference may not change


@dataclass(frozen=True)
class BootstrapSettings(Settings, section="bootstrap"):
    """Which pairs of the pool join the curated set, what the second reference is trained by, and how often that is repeated."""

    share: Annotated[float, Interval(gt=0, le=1), Because("{value} is not a share of the pool")] = 0.1  # at most
    # a pair counts as aligned, and may join, if it scores at least as high as this share of held-out curated pairs; 0: any may
    aligned: Annotated[float, Interval(ge=0, lt=1), Because("{value} is not a share of the held-out pairs")] = 0.95
    clusters: Natural = 64  # of the pool's captions, which share what joins; 0: the best of the pool as a whole
    balance: Annotated[float, Interval(ge=0, le=1)] = 0.5  # 0: in the pool's own proportions; 1: as many of each
    rounds: Count = 3  # at most: another round follows only if the last reference was better on validation
    metric: str = "headline"  # that says so
    least_gain: Annotated[float, Interval(ge=0, lt=1)] = (
        0.01  # a reference counts as better if it is higher by this much; smaller differences are chance
    )
    reference: dict[str, Any] = field(default_factory=dict)  # what the second reference changes in `reference`
    captioner: str | None = None  # `package.module:function`: gives pairs that are not aligned another caption
    captioner_options: dict[str, Any] = field(default_factory=dict)  # its keyword arguments
    recaption_share: Annotated[float, Interval(gt=0, le=1), Because("{value} is not a share of the pool")] = 0.05
    seed: Seed = 0  # of the sample that gets other captions

    def check(self) -> None:
        """Refuse a balance without clusters, a captioner where no pair fails, and what the second reference takes from the first."""
        require(
            self.balance == 0 or self.clusters > 0,
            "bootstrap.balance",
            f"{self.balance:g} without clusters: there is nothing to balance",
            "set bootstrap.clusters, such as 64, or balance to 0",
        )
        require(
            self.captioner is None or self.aligned > 0,
            "bootstrap.captioner",
            "replaces the captions of pairs that are not aligned, but aligned is 0, so all count as aligned",
            "set bootstrap.aligned, such as 0.95, or leave the captioner out",
        )
        require(
            self.captioner is not None or not self.captioner_options,
            "bootstrap.captioner_options",
            "are set, but no captioner is",
            "set bootstrap.captioner, or leave them out",
        )
        for name in NOT_OF_THE_SECOND:
            what = "is the first reference's own, and both are judged by the same pairs"
            require(name not in self.reference, f"bootstrap.reference.{name}", what, f"set reference.{name}")
