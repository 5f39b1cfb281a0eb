"""The result of a selection."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from superbatch.errors import UserError


@dataclass(frozen=True, eq=False)
class Selection:
    """The sub-batch and the scores it was chosen by. Results stay on the device until a number is read.

    Attributes:
        indices: int64 [b], places in the super-batch in the order chosen; distinct.
        scores: float64 [B], each sample's unconditional score (the criterion, without the gain).
        conditional: float64 [b], the score that each chosen sample had when it was chosen, given the chunks before
            (without the gain).
        chunk_sizes: how many each chunk chose; they sum to b and differ by at most one.
        gain: what scores were multiplied by in the draw.
        independent: int64 [b], what `select_independently` picks with the same seed and step; None if not asked for.
    """

    indices: Tensor
    scores: Tensor
    conditional: Tensor
    chunk_sizes: tuple[int, ...]
    gain: float
    independent: Tensor | None = None

    @property
    def mean_score_superbatch(self) -> float:
        """Mean unconditional score of all B samples (with the default criterion: their mean learnability)."""
        return float(self.scores.mean())

    @property
    def mean_score_pick(self) -> float:
        """Mean unconditional score of the b chosen."""
        return float(self.scores[self.indices].mean())

    @property
    def mean_conditional_pick(self) -> float:
        """Mean score of the chosen at the time of their choice."""
        return float(self.conditional.mean())

    @property
    def effective_temperature(self) -> float:
        """T with p ~ exp(z / T), z the unconditional scores in standard deviations: 1 / (gain * deviation).

        Well under 1 the first chunk is close to the best scores only, well over 1 close to uniform; later chunks are
        sharper, as their scores are sums over ever more pairs. Infinite where gain or deviation is 0.
        """
        sharpness = self.gain * float(self.scores.std(correction=0))
        return 1 / sharpness if sharpness else float("inf")

    @property
    def overlap_independent(self) -> float:
        """Share of the pick that independent selection would have picked too, on the same noise.

        Raises:
            UserError: it was not asked for.
        """
        if self.independent is None:
            raise UserError("overlap_independent", "was not asked for", "select with compare_independent=True")
        picked = self.scores.new_zeros(len(self.scores))
        picked[self.indices] = 1
        return float(picked[self.independent].mean())
