"""What a selection hands back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Selection:
    """The sub-batch and what it was chosen by. Nothing here waits for the device until a mean is asked for.

    Attributes:
        indices: int64 [b], places in the super-batch in the order chosen; distinct.
        scores: float64 [B], each sample's unconditional score (the criterion, without the gain).
        conditional: float64 [b], the score that each chosen sample had when it was chosen, given the chunks before
            (without the gain).
        chunk_sizes: how many each chunk chose; they sum to b and differ by at most one.
    """

    indices: Tensor
    scores: Tensor
    conditional: Tensor
    chunk_sizes: tuple[int, ...]

    @property
    def mean_score_superbatch(self) -> float:
        """Mean unconditional score of all B samples."""
        return float(self.scores.mean())

    @property
    def mean_score_pick(self) -> float:
        """Mean unconditional score of the b chosen."""
        return float(self.scores[self.indices].mean())
