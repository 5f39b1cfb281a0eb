"""The criteria: which models' losses make a score, and with which sign (JEST, 3.1)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from superbatch.errors import UserError
from superbatch.selection.embeddings import PairEmbeddings

Criterion = Literal["learnability", "easy_reference", "hard_learner", "easy_learner"]

# (sign of the learner's loss, sign of the reference's loss)
_SIGNS: dict[str, tuple[int, int]] = {
    "learnability": (1, -1),
    "easy_reference": (0, -1),
    "hard_learner": (1, 0),
    "easy_learner": (-1, 0),
}


class Term(NamedTuple):
    """One model's loss in the score."""

    sign: int
    pairs: PairEmbeddings


def score_terms(criterion: Criterion, learner: PairEmbeddings | None, reference: PairEmbeddings | None) -> list[Term]:
    """The losses that make up a score; a model that the criterion has no use for is left out, so it costs nothing.

    Raises:
        UserError: an unknown criterion, a model that it needs is missing, or the two have another row count or device.
    """
    check_criterion(criterion)
    terms = []
    for name, sign, pairs in zip(("learner", "reference"), _SIGNS[criterion], (learner, reference), strict=True):
        if sign and pairs is None:
            raise UserError(
                name, f"is missing, and {criterion} needs it", f"give the {name}'s embeddings or another criterion"
            )
        if sign and pairs is not None:
            terms.append(Term(sign, pairs))
    _check_same_rows(learner, reference)
    return terms


def check_criterion(criterion: str) -> None:
    """Raises a UserError for a name that is not known."""
    if criterion not in _SIGNS:
        raise UserError("criterion", f"{criterion!r} is not known", f"use one of {', '.join(_SIGNS)}")


def _check_same_rows(learner: PairEmbeddings | None, reference: PairEmbeddings | None) -> None:
    if learner is None or reference is None:
        return
    if learner.count != reference.count:
        what = f"has {reference.count} rows, the learner {learner.count}"
        raise UserError("reference", what, "give both for the same super-batch, in one order")
    if learner.image_ND.device != reference.image_ND.device:
        what = f"lies on {reference.image_ND.device}, the learner on {learner.image_ND.device}"
        raise UserError("reference", what, "move both to one device")
