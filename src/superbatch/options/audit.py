"""Settings of the audit and of what it writes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from superbatch.bounds import Because, Count, Natural, Settings, Share

Verdict = Literal["worth_it", "learned", "unlearnable", "never_worth", "undecided", "unseen"]
VERDICTS: tuple[str, ...] = get_args(Verdict)


@dataclass(frozen=True)
class ExportSettings(Settings, section="export"):
    """Which rows an audit writes out, as a list of uids and as new shards."""

    verdicts: tuple[Annotated[Verdict, Because("{value} is not a verdict")], ...] = ("worth_it",)
    shard_size: Count = 1_000


@dataclass(frozen=True)
class AuditSettings(Settings, section="audit"):
    """Which run is audited, and where its verdicts about the pool's rows draw their lines."""

    run: str = "jest"
    worth_it_chance: Share = 0.05
    rarely_chance: Share = 0.3
    late_share: Share = 0.5  # of the run's steps, at its end
    learned_score: float = 0.0  # learner loss minus reference loss
    low_reference: Share = 0.5  # share of the rows whose reference score counts as low
    examples: Natural = 12
    decision: str | None = None  # a decision of `curate.decide`: the audit lists which of its rules each row breaks
    export: ExportSettings = field(default_factory=ExportSettings)
