"""The choice that a rule makes, and the advice made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from superbatch.reporting.advice.recorded import Row

Confidence = Literal["high", "medium", "low"]


class Doubt(NamedTuple):
    """Why an advice is less sure, and how much that counts: 1 takes a step of confidence, 2 takes both."""

    words: str
    weight: int = 1


@dataclass(frozen=True)
class Choice:
    """The choice that a rule makes.

    Attributes:
        rule: its name. presets: the one to run, then those to take in its place, in order.
        why: in words. evidence: recorded rows behind it. change: what would change it.
        doubts: of this rule's own.
    """

    rule: str
    presets: tuple[str, ...]
    why: str
    evidence: tuple[Row, ...] = ()
    change: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True)
class Advice:
    """Which preset to run, for how long, why, and how sure that is.

    Attributes:
        preset, steps: what to run.
        runner_up: what comes next; None where there is nothing else.
        confidence: high, medium or low, and `doubts`, why it is not higher.
        rule, why, evidence, change: as in `Choice`.
    """

    preset: str
    steps: int
    runner_up: str | None
    confidence: Confidence
    doubts: tuple[str, ...]
    rule: str
    why: str
    evidence: tuple[Row, ...]
    change: tuple[str, ...]
