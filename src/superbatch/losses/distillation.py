"""What a teacher adds to a contrastive loss: the learner's softmax over each row and column of the batch should match the teacher's
(distillation), or each negative weighs as it should by the teacher (DRRho-CLIP).

Both are cross-entropies between a target and a softmax of logits over a row or a column. Values and gradients are in closed form, a tile of logits at a time,
for one rank and for many: own images against all texts and own texts against all images. Shapes: N samples of all ranks, n of this share,
D and E embeddings of learner and teacher, T of a tile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from superbatch.losses.terms import Peers, Pulled, widened
from superbatch.losses.tiles import spans

Teaching = Literal["distillation", "reweighting"]
Gather = Callable[[Tensor], Tensor]  # [n, ...] of this rank -> [N, ...] of all, in order


class _Side(NamedTuple):
    """Own images against all texts or own texts against all images, by both models.

    Attributes:
        mine_nD, all_ND: the learner's embeddings; taught_nE, taught_NE: the teacher's.
        first: number of the first own sample among all.
        scale, taught_scale: of both models.
        reweighting: the logits are the learner's less the teacher's and the target is a sample's own pair; else the learner's own, and the
            teacher's shares.
    """

    mine_nD: Tensor
    all_ND: Tensor
    taught_nE: Tensor
    taught_NE: Tensor
    first: int
    scale: Tensor
    taught_scale: float
    reweighting: bool

    def tile(self, span: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Of own samples and a span of the others, [n, T]: the learner's products, the logits, and the teacher's logits."""
        dots = self.mine_nD @ self.all_ND[span].T
        taught = self.taught_scale * (self.taught_nE @ self.taught_NE[span].T)
        return dots, self.scale * dots - taught if self.reweighting else self.scale * dots, taught

    def target(self, taught: Tensor, sums: Tensor, span: slice) -> Tensor:
        """What the softmax of these logits should be: [n, T], by the teacher's log-sum-exps, which may be of rows or of columns."""
        if not self.reweighting:
            return (taught - sums).exp()
        found = torch.zeros_like(taught)
        found.diagonal(self.first - span.start).fill_(1)  # own sample i is number first + i of all
        return found

    @property
    def spans(self) -> list[slice]:
        """All others, cut so that each tile is of the usual size."""
        return list(spans(len(self.all_ND), len(self.mine_nD)))

    def sums(self) -> Tensor:
        """Log-sum-exps over all others, [n, 2]: of the logits and of the teacher's."""
        total_n2 = self.mine_nD.new_full((len(self.mine_nD), 2), -torch.inf)
        for span in self.spans:
            _, logits, taught = self.tile(span)
            total_n2 = torch.logaddexp(total_n2, torch.stack([logits.logsumexp(1), taught.logsumexp(1)], 1))
        return total_n2

    def losses(self, sums_n2: Tensor) -> Tensor:
        """Each own sample's cross-entropy, [n]."""
        found_n = torch.zeros_like(sums_n2[:, 0])
        for span in self.spans:
            _, logits, taught = self.tile(span)
            found_n += (self.target(taught, sums_n2[:, 1:], span) * (sums_n2[:, :1] - logits)).sum(1)
        return found_n


def teaching_term(
    how: Teaching,
    image_nD: Tensor,
    text_nD: Tensor,
    scale: Tensor | float,
    teacher: tuple[Tensor, Tensor, float],
    peers: Peers | None = None,
) -> Tensor:
    """Return the distillation term over all pairs of the batch; collective with peers.

    - `distillation` (ACED; papers.md 2.1): 1/2 [mean_i sum_j -P_ij log Q_ij + the same with images and texts exchanged], where
      P = softmax_j(s' u_i . v_j) is the teacher's and Q = softmax_j(s z_i . t_j) the learner's. It is smallest, the entropy of P, where both give
      each image the same shares among the batch's texts, and each text among its images. It is added to a contrastive loss.
    - `reweighting` (DRRho-CLIP; papers.md 6): 1/2 [mean_i log sum_j exp((a_ij - a_ii) - (a'_ij - a'_ii)) + the same exchanged], with the
      logits a = s z . t of the learner and a' = s' u . v of the teacher. It is a softmax loss itself, in which negatives that the teacher finds like the
      positive pull less.

    As in `losses.terms`, gradients are made with the value, half types are widened, and no N x N matrix is built.

    Args:
        how: distillation or reweighting.
        image_nD, text_nD: the learner's embeddings of this rank's share, (n, D).
        scale: the learner's, the same on all ranks.
        teacher: its embeddings of the same samples, (n, E) each, and its scale. They get no gradients; E may be another than D.
        peers: who holds the other samples; None: nobody.

    Returns:
        This share's summand, a scalar, differentiable once by embeddings and scale.
    """
    mine, taught = _sides(image_nD, text_nD, teacher)
    number = torch.as_tensor(scale, dtype=mine[0].dtype, device=mine[0].device)
    return Pulled.apply(partial(_pull, how, peers, taught, float(teacher[2])), *mine, number)


@torch.no_grad()
def teaching_rows(
    how: Teaching,
    image_ND: Tensor,
    text_ND: Tensor,
    scale: Tensor | float,
    teacher: tuple[Tensor, Tensor, float],
) -> Tensor:
    """float64 [N]: each sample's own summand of `teaching_term` in a whole batch; their mean is the term. Memory is that of a few tiles."""
    mine, taught = _sides(image_ND, text_ND, teacher)
    number = torch.as_tensor(scale, dtype=mine[0].dtype, device=mine[0].device)
    both = _both(how, mine, mine, taught, taught, 0, number, teacher[2])
    return torch.stack([side.losses(side.sums()).double() for side in both]).mean(0)


def _sides(
    image_nD: Tensor, text_nD: Tensor, teacher: tuple[Tensor, Tensor, float]
) -> tuple[list[Tensor], list[Tensor]]:
    """Both models' embeddings in one type that is precise enough for a sum over N x N pairs."""
    mine = [widened(side) for side in (image_nD, text_nD)]
    return mine, [side.detach().to(mine[0].dtype) for side in teacher[:2]]


def _both(
    how: Teaching,
    mine: list[Tensor],
    everybody: list[Tensor],
    taught: list[Tensor],
    taught_everybody: list[Tensor],
    first: int,
    scale: Tensor,
    taught_scale: float,
) -> list[_Side]:
    """Own images against all texts, and own texts against all images."""
    rest = (first, scale, taught_scale, how == "reweighting")
    return [_Side(mine[a], everybody[1 - a], taught[a], taught_everybody[1 - a], *rest) for a in (0, 1)]


def _pull(
    how: Teaching,
    peers: Peers | None,
    taught: list[Tensor],
    taught_scale: float,
    image_nD: Tensor,
    text_nD: Tensor,
    scale: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The value and its gradients by images, texts and scale."""
    mine = [image_nD, text_nD]
    gather: Gather = peers.gather if peers is not None else (lambda own: own)
    everybody, taught_everybody = [gather(side) for side in mine], [gather(side) for side in taught]
    first = 0 if peers is None else peers.first
    both = _both(how, mine, everybody, taught, taught_everybody, first, scale, taught_scale)
    own = [side.sums() for side in both]
    theirs = [gather(sums_n2) for sums_n2 in own]
    loss = torch.stack([side.losses(sums_n2).sum() for side, sums_n2 in zip(both, own, strict=True)]).sum()
    scale_sum, gradients, total = torch.zeros_like(scale), [], len(everybody[0])
    for a, side in enumerate(both):
        gradient_nD = torch.zeros_like(side.mine_nD)
        for span in side.spans:
            dots, logits, taught_logits = side.tile(span)
            row_n2, column_T2 = own[a], theirs[1 - a][span]
            toward = (logits - row_n2[:, :1]).exp() - side.target(taught_logits, row_n2[:, 1:], span)
            scale_sum += (toward * dots).sum()  # by rows; the other side's rows are the columns here
            toward += (logits - column_T2[:, 0]).exp() - side.target(taught_logits, column_T2[:, 1], span)
            gradient_nD += toward @ side.all_ND[span]
        gradients.append(gradient_nD * (scale / (2 * total)))
    return loss / (2 * total), gradients[0], gradients[1], scale_sum / (2 * total)
