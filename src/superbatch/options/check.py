"""Settings of the reference check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from superbatch.bounds import Because, Settings


@dataclass(frozen=True)
class CheckSettings(Settings, section="check"):
    """What to do with a run whose reference is too weak to choose batches by."""

    # the verdict that stops the run before anything long; unsure: stops at that one and at would_harm
    stop: Annotated[Literal["would_harm", "unsure"], Because("{value} is not a verdict that stops a run")] | None = None
    device: str = "auto"
