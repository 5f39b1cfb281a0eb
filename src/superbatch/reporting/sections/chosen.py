"""What was chosen: the gallery, and what its scores mean."""

from __future__ import annotations

from dataclasses import dataclass

from superbatch.reporting.gallery import Shelf
from superbatch.reporting.report import Report
from superbatch.reporting.runs import Run


@dataclass(frozen=True)
class Chosen:
    """What the section shows: the shelves (none where nothing was selected), what scores mean, whether kinds stand below.

    Attributes:
        elsewhere: whether the run drew from another pool than the ingested one, whose rows are not its own.
    """

    shelves: list[Shelf]
    criterion: str
    kinds: bool
    elsewhere: bool


def chosen(report: Report) -> Chosen:
    """The shelves of the gallery."""
    return Chosen(report.shelves, _criterion(report.main), report.kinds is not None, report.on_another_pool)


def _criterion(run: Run) -> str:
    """What a score means; of a run that changed its criterion, in both parts."""
    if run.own_score is not None:
        return f"{run.own_score}, the method's own score"
    new, (first, *later) = run.new_kind, [_meaning(part.rule.criterion) for part in run.stretches]
    return first if new is None else f"{first}, and from step {new:,} on {later[0]}"


def _meaning(criterion: str) -> str:
    meanings = {
        "learnability": "learnability: the learner's loss minus the reference's, high for what is still to be learned and can be",
        "easy_reference": "minus the reference's loss, high for what the reference finds easy",
        "hard_learner": "the learner's loss, high for what the learner finds hard",
        "easy_learner": "minus the learner's loss, high for what the learner finds easy",
    }
    return meanings[criterion]
