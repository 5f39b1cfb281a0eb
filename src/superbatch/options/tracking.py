"""Settings of trackers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from superbatch.bounds import Count, Settings

TRACKERS = ("tensorboard", "mlflow", "dvclive")


@dataclass(frozen=True)
class TrackingSettings(Settings, section="tracking"):
    """Which trackers follow every training. They change no result, and stay out of all hashes."""

    tensorboard: bool = False
    mlflow: bool = False
    dvclive: bool = False
    every: Count = 10  # steps between two rows of the ledger that are sent; the first and the last always are
    folder: str | None = None  # theirs, a folder each; None: `tracking`, in a project beside the report
    wait: Annotated[float, Ge(0)] = 10.0  # seconds that a command waits at a run's end for a tracker that is behind

    @property
    def wanted(self) -> tuple[str, ...]:
        """The trackers that are on, by name."""
        return tuple(name for name in TRACKERS if getattr(self, name))
