"""What a teacher adds to a contrastive loss: the learner's shares of each row and column of the batch are to be the teacher's.

Values and gradients are in closed form, a tile of logits at a time, for one rank and for many: own images against all texts and own
texts against all images. Shapes: N samples of all ranks, n of this share, D and E embeddings of learner and teacher, T of a tile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from superbatch.losses.terms import Peers, widened
from superbatch.losses.tiles import spans

Gather = Callable[[Tensor], Tensor]  # [n, ...] of this rank -> [N, ...] of all, in order


class _Side(NamedTuple):
    """Own samples of one kind against all of the other: products of both models, and each own sample's log-sum-exp of logits."""

    mine_nD: Tensor
    all_ND: Tensor
    taught_nE: Tensor
    taught_NE: Tensor

    def dots(self, span: slice) -> tuple[Tensor, Tensor]:
        """Products with a span of the others, [n, T]: the learner's and the teacher's."""
        return self.mine_nD @ self.all_ND[span].T, self.taught_nE @ self.taught_NE[span].T

    def normalisers(self, scale: Tensor, taught_scale: float) -> Tensor:
        """Log-sum-exps over all others, [n, 2]."""
        total_n2 = self.mine_nD.new_full((len(self.mine_nD), 2), -torch.inf)
        for span in spans(len(self.all_ND), len(self.mine_nD)):
            dots, taught = self.dots(span)
            tile = torch.stack([(scale * dots).logsumexp(1), (taught_scale * taught).logsumexp(1)], 1)
            total_n2 = torch.logaddexp(total_n2, tile)
        return total_n2


def distillation_term(
    image_nD: Tensor,
    text_nD: Tensor,
    scale: Tensor | float,
    teacher: tuple[Tensor, Tensor, float],
    peers: Peers | None = None,
) -> Tensor:
    """1/2 [mean_i sum_j -P_ij log Q_ij + the same with images and texts exchanged], P = softmax_j(s' u_i . v_j), Q = softmax_j(s z_i . t_j).

    The cross-entropy between the teacher's and the learner's contrastive matrices of ACED (papers.md 2.1). It is smallest, the entropy of
    P, where both models give each image the same shares among the batch's texts, and each text among its images. With peers collective.
    As in `losses.terms`, gradients are made with the value, half types are widened, and no N x N matrix is built.

    Args:
        image_nD, text_nD: the learner's embeddings of this rank's share, (n, D).
        scale: the learner's, the same on all ranks.
        teacher: its embeddings of the same samples, (n, E) each, and its scale. They get no gradients; E may be another than D.
        peers: who holds the other samples; None: nobody.

    Returns:
        This share's summand, a scalar, differentiable once by the first three.
    """
    mine = [widened(side) for side in (image_nD, text_nD)]
    taught = [side.detach().to(mine[0].dtype) for side in teacher[:2]]
    number = torch.as_tensor(scale, dtype=mine[0].dtype, device=mine[0].device)
    return _Distillation.apply(peers, taught, float(teacher[2]), *mine, number)


@torch.no_grad()
def distillation_rows(
    image_ND: Tensor, text_ND: Tensor, scale: Tensor | float, teacher: tuple[Tensor, Tensor, float]
) -> Tensor:
    """float64 [N]: each sample's own summand of `distillation_term` in a whole batch; their mean is the term. Memory is that of a few tiles."""
    mine = [widened(side) for side in (image_ND, text_ND)]
    taught = [side.to(mine[0].dtype) for side in teacher[:2]]
    found_N = mine[0].new_zeros(len(mine[0]), dtype=torch.float64)
    for a in (0, 1):
        side = _Side(mine[a], mine[1 - a], taught[a], taught[1 - a])
        row = side.normalisers(torch.as_tensor(scale), teacher[2])
        for span in spans(len(side.all_ND), len(side.mine_nD)):
            dots, taught_dots = side.dots(span)
            share = (teacher[2] * taught_dots - row[:, 1:]).exp()
            found_N += (share * (row[:, :1] - scale * dots)).sum(1).double() / 2
    return found_N


class _Distillation(torch.autograd.Function):
    """Gradients are made with the value; backward only multiplies."""

    @staticmethod
    def forward(ctx: Any, peers: Peers | None, taught: list[Tensor], taught_scale: float, *inputs: Tensor) -> Tensor:
        with torch.autocast(inputs[0].device.type, enabled=False), torch.no_grad():
            loss, *gradients = _pull(peers, taught, taught_scale, *(tensor.detach() for tensor in inputs))
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        needed = zip(ctx.saved_tensors, ctx.needs_input_grad[3:], strict=True)
        return None, None, None, *(gradient * slope if needs else None for gradient, needs in needed)


def _pull(
    peers: Peers | None, taught: list[Tensor], taught_scale: float, image_nD: Tensor, text_nD: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The value and its gradients by images, texts and scale."""
    gather: Gather = peers.gather if peers is not None else (lambda own: own)
    mine, all_ = (image_nD, text_nD), [gather(side) for side in (image_nD, text_nD)]
    taught_all = [gather(side) for side in taught]
    sides = [_Side(mine[a], all_[1 - a], taught[a], taught_all[1 - a]) for a in (0, 1)]
    own = [side.normalisers(scale, taught_scale) for side in sides]
    normalisers = [gather(side) for side in own]
    total, loss, scale_sum, gradients = len(all_[0]), scale.new_zeros(()), torch.zeros_like(scale), []
    for a, side in enumerate(sides):
        gradient_nD = torch.zeros_like(side.mine_nD)
        for span in spans(total, len(side.mine_nD)):
            dots, taught_dots = side.dots(span)
            logits, wanted = scale * dots, taught_scale * taught_dots
            row, column = own[a], normalisers[1 - a][span]
            share = (wanted - row[:, 1:]).exp()
            loss += (share * (row[:, :1] - logits)).sum()
            toward = (logits - row[:, :1]).exp() - share
            scale_sum += (toward * dots).sum()  # rows of this side; the other side has the columns
            toward += (logits - column[:, 0]).exp() - (wanted - column[:, 1]).exp()
            gradient_nD += toward @ side.all_ND[span]
        gradients.append(gradient_nD * (scale / (2 * total)))
    return loss / (2 * total), gradients[0], gradients[1], scale_sum / (2 * total)
