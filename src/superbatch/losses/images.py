"""Terms of image-only training: InfoNCE of queries against a target's keys (MoCLR), and regression to a teacher's directions (DnC; papers.md 4.2).

As in `losses.terms`, a term's value is this rank's summand of the whole batch's, and its gradients by own outputs are complete. Keys and teachers get
no gradients, so nothing but keys is sent. Shapes: N samples of all ranks, n of this share, T of a tile, D embedding.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from superbatch.losses.terms import Peers, Pulled, widened
from superbatch.losses.tiles import spans


def key_term(query_nD: Tensor, key_nD: Tensor, scale: float, peers: Peers | None = None) -> Tensor:
    """InfoNCE: mean over all N samples of -log softmax_j(scale * q_i . k_j)[i]; with peers collective.

    The keys of the other samples are the negatives. Value and gradients are made together, a tile of logits at a time; half types are widened.

    Args:
        query_nD: of this rank's share, usually of unit length.
        key_nD: the target's, of the same samples in the same order; they get no gradients.
        scale: 1 / temperature.
        peers: who holds the other samples; None: nobody, these are all.

    Returns:
        This share's summand of the mean, a scalar, differentiable once by the queries.
    """
    keys = widened(key_nD.detach())
    key_ND, first = (keys, 0) if peers is None else (peers.gather(keys), peers.first)
    return Pulled.apply(partial(_pull, key_ND, first, scale), widened(query_nD))


@torch.no_grad()
def key_rows(query_ND: Tensor, key_ND: Tensor, scale: float) -> Tensor:
    """float64 [N]: each sample's own summand of `key_term` in a whole batch; their mean is the term. Memory is that of a tile."""
    query_ND, key_ND = widened(query_ND), widened(key_ND)
    found = [_row_losses(query_ND[span], key_ND, span.start, scale) for span in spans(len(query_ND), len(key_ND))]
    return torch.cat(found) if found else query_ND.new_zeros(0, dtype=torch.float64)


def _row_losses(query_TD: Tensor, key_ND: Tensor, first: int, scale: float) -> Tensor:
    own_T = torch.arange(first, first + len(query_TD), device=query_TD.device)
    return functional.cross_entropy(scale * query_TD @ key_ND.T, own_T, reduction="none").double()


def _pull(key_ND: Tensor, first: int, scale: float, query_nD: Tensor) -> tuple[Tensor, Tensor]:
    """The summand, and its gradient by the queries: (softmax - own) @ keys * scale / N."""
    total, loss, gradient_nD = len(key_ND), query_nD.new_zeros(()), torch.empty_like(query_nD)
    for span in spans(len(query_nD), total):
        logits_TN = scale * query_nD[span] @ key_ND.T
        own_T = logits_TN.diagonal(first + span.start)  # own sample i is number first + i of all
        sums_T = logits_TN.logsumexp(1)
        loss += (sums_T - own_T).sum()
        slope_TN = logits_TN.sub_(sums_T.unsqueeze(1)).exp_()
        own_T.sub_(1)  # by now this is a view of the slope
        gradient_nD[span] = slope_TN @ key_ND
    return loss / total, gradient_nD.mul_(scale / total)


def regression_term(student_nD: Tensor, teacher_nD: Tensor, peers: Peers | None = None) -> Tensor:
    """Mean over all N samples of |s/|s| - t/|t||^2 = 2 - 2 cos(s, t), as BYOL has it; sends nothing.

    Args:
        student_nD: of this rank's share, of any length.
        teacher_nD: what it is to be like, of the same samples; it gets no gradients.
        peers: who holds the other samples; None: nobody, these are all.

    Returns:
        This share's summand of the mean, a scalar, differentiable by the student.
    """
    total = len(student_nD) if peers is None else peers.total
    return _distances(student_nD, teacher_nD).sum() / total


@torch.no_grad()
def regression_rows(student_ND: Tensor, teacher_ND: Tensor) -> Tensor:
    """float64 [N]: each sample's own summand of `regression_term` in a whole batch; their mean is the term."""
    return _distances(student_ND, teacher_ND).double()


def _distances(student_nD: Tensor, teacher_nD: Tensor) -> Tensor:
    sides = (widened(side) for side in (student_nD, teacher_nD.detach()))
    student, teacher = (functional.normalize(side, dim=1) for side in sides)
    return 2 - 2 * (student * teacher).sum(1)
