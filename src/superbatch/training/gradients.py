"""Gradients of the whole batch's loss, however it is split over ranks and micro-batches.

There is one way to them. The graph is cut at a model's outputs. The loss needs all of them at once but is cheap; the model is dear but
treats each sample by itself. So outputs are computed first, the loss's gradients by them next, and the model gets these gradients last,
a micro-batch at a time (Gao et al. 2021, arXiv 2101.06983): memory is that of one micro-batch, and every negative counts, which plain
accumulation would not do.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.training.distributed import Ranks
from superbatch.training.random_state import random_state, set_random_state
from superbatch.training.task import Task

if TYPE_CHECKING:
    from superbatch.training.sharding import Shards

Outputs = Mapping[str, Tensor]  # (n, ...) of each sample, () of the model itself


class _Whole(nn.Module):
    """A model as one module that gives all its outputs, as DDP wants it."""

    def __init__(self, task: Task, name: str) -> None:
        super().__init__()
        self.model, self._outputs = task.models[name].module, task.outputs
        self._name = name

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self._outputs(self._name, batch)


class BatchGradients:
    """What leaves the gradients of the loss over all samples of all ranks in a model's parameters.

    Args:
        task, name: whose model.
        ranks: who takes part; with more than one, DDP sums the gradients while the backward pass goes on.
        accumulate: micro-batches that a rank's share is cut into; 1 trains it whole.
        shards: where models are cut over the ranks: then torch's `fully_shard` sums the gradients, after each micro-batch, since a rank
            has no room for all of them.

    Raises:
        UserError: several ranks or micro-batches, and a model with batch normalisation or other running statistics, which would be of a
            part of the batch alone.
    """

    def __init__(self, task: Task, name: str, ranks: Ranks, accumulate: int = 1, shards: Shards | None = None) -> None:
        self.task, self.name, self.ranks, self.accumulate, self.shards = task, name, ranks, accumulate, shards
        _refuse_statistics(task.models[name].module, ranks, accumulate)
        whole = _Whole(task, name)
        # Layers with batch statistics are refused, so buffers are constants and equal on all ranks: none is sent.
        alike = ranks.world > 1 and shards is None
        self.module = _summing(whole) if alike else whole

    def backward(self, share: Batch, total: int) -> Tensor:
        """Add the whole batch's gradients to the parameters; collective.

        Args:
            share: this rank's samples.
            total: samples of all ranks, b.

        Returns:
            The loss over all of them, the same on all ranks.
        """
        loss = self._backward(share, total)
        if self.shards is not None:
            self.shards.sum_rest(self.name)
        return loss

    def bound(self, limit: float) -> Tensor:
        """Scale the gradients down to a norm, and return what it was before; collective."""
        if self.shards is not None:
            return self.shards.bound(self.name, limit)
        return nn.utils.clip_grad_norm_(self.task.models[self.name].module.parameters(), limit)

    def _backward(self, share: Batch, total: int) -> Tensor:
        if self.accumulate == 1:
            outputs = self.module(share)
            loss, gradients = self._pull(outputs, share, total)
            self._send_back(outputs, gradients)
            return loss
        pieces = share.pieces(map(len, np.array_split(share.rows, self.accumulate)))
        states, outputs = self._look(pieces)
        loss, gradients = self._pull(outputs, share, total)
        start = 0
        for number, (piece, state) in enumerate(zip(pieces, states, strict=True), 1):
            last, stop = number == len(pieces), start + len(piece)
            set_random_state(state, share.device)
            with nullcontext() if last else self._silent():
                self._send_back(self.module(piece), _of_piece(gradients, start, stop, last))
            start = stop
        return loss

    def _pull(self, outputs: Outputs, share: Batch, total: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss over all ranks, and its gradients by the outputs of this rank."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in outputs.items()}
        own = self.task.loss(self.name, leaves, share, self.ranks.peers(total))
        found = torch.autograd.grad(own, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return self.ranks.sum(own.detach()), dict(zip(leaves, found, strict=True))

    @torch.no_grad()
    def _look(self, pieces: list[Batch]) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Run all micro-batches without a graph, keeping the random state before each, so that its second pass repeats the first."""
        states, found = [], []
        for piece in pieces:
            states.append(random_state(piece.device))
            found.append(self.task.outputs(self.name, piece))
        joined = {
            name: torch.cat([outputs[name] for outputs in found]) if tensor.ndim else tensor
            for name, tensor in found[0].items()
        }
        return states, joined

    def _send_back(self, outputs: Outputs, gradients: Outputs) -> None:
        trained = {
            name: tensor for name, tensor in outputs.items() if tensor.requires_grad
        }  # frozen parameters have none
        # DDP, as `fully_shard`, takes the mean over ranks; the loss is already a mean over all samples, so its gradients want the sum.
        pulls = [gradients[name] * self.ranks.world for name in trained]
        torch.autograd.backward(list(trained.values()), pulls)

    def _silent(self) -> AbstractContextManager[None]:
        """Turn off DDP's sum over ranks; the last micro-batch does it."""
        return self.module.no_sync() if isinstance(self.module, DistributedDataParallel) else nullcontext()


def _of_piece(gradients: Outputs, start: int, stop: int, last: bool) -> dict[str, Tensor]:
    """The gradients that one micro-batch sends back; those of the model's own scalars go with the last."""
    once = 1.0 if last else 0.0
    return {name: tensor[start:stop] if tensor.ndim else tensor * once for name, tensor in gradients.items()}


def _summing(module: nn.Module) -> DistributedDataParallel:
    """Wrap a model so that DDP sums its gradients. torch 2.15 warns of the setting's name; its new one does more, and older ones lack it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
        return DistributedDataParallel(module, broadcast_buffers=False)


def _refuse_statistics(module: nn.Module, ranks: Ranks, accumulate: int) -> None:
    found = next((type(layer).__name__ for layer in module.modules() if _has_statistics(layer)), None)
    if found is None:
        return
    for setting, cut in (("accumulate", accumulate), ("processes", ranks.world)):
        if cut > 1:
            what = f"the model has statistics of the batch ({found}), which would cover only part of it"
            raise UserError(f"training.{setting}", what, "set it to 1, or take a model without")


def _has_statistics(layer: nn.Module) -> bool:
    """Whether a layer mixes the samples of a batch, or keeps running statistics of them."""
    kinds = nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm
    return isinstance(layer, kinds[0]) or (isinstance(layer, kinds[1]) and layer.track_running_stats)
