"""Models cut over the ranks of a training (`training.shard`): each rank holds its part of the weights, gradients and moments.

It is torch's `fully_shard`. A block is gathered from all ranks just before it computes, forward and backward, and freed afterwards.
Numbers that a task reads by themselves (temperature, bias) are whole on every rank. Some work is one rank's own, or other ranks have less
of it, such as an evaluation or a checkpoint: for that the weights, but nothing else, are gathered for a while.

States are written by torch's distributed checkpoint, each rank its part, as safetensors: never a pickle. Any number of ranks reads them.

What is here imports parts of torch that take a second: it is imported where a run is sharded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from superbatch.training.distributed import Ranks
from superbatch.training.optimizer import Kept
from superbatch.training.task import LEARNER, Task

FLAT = StateDictOptions(flatten_optimizer_state_dict=True)


class Shards:
    """The models of a task, cut over the ranks; making it cuts them.

    Args:
        task: placed; its modules stay the same objects.
        ranks: all of them, more than one.
        device: of the models.

    Raises:
        UserError: a task whose models can't be cut.
    """

    def __init__(self, task: Task, ranks: Ranks, device: torch.device) -> None:
        self._holders, self._ranks = task.holders(), ranks
        self._outlines = {name: _outline(holder.model) for name, holder in self._holders.items()}
        mesh = init_device_mesh(device.type, (ranks.world,))  # on a GPU nccl talks, on a CPU gloo
        for holder in self._holders.values():
            _cut(holder.model, holder.run_by, mesh)

    @contextmanager
    def whole(self, name: str = LEARNER) -> Iterator[None]:
        """Let a task run a model without the other ranks: every rank has all weights of it meanwhile; collective.

        The model is in evaluation mode then, and what is changed in it is lost.
        """
        holder, plain = self._holders[name], deepcopy(self._outlines[name])
        cut = holder.model
        plain.load_state_dict(_gathered(cut), assign=True)
        holder.model = plain.eval()
        try:
            yield
        finally:
            holder.model = cut

    def sum_rest(self, name: str) -> None:
        """Bring the gradients of what is not cut to what torch makes of the others: the mean over ranks; collective."""
        for parameter in self._holders[name].model.parameters():
            if parameter.grad is not None and not isinstance(parameter, DTensor):
                parameter.grad = self._ranks.sum(parameter.grad) / self._ranks.world

    def bound(self, name: str, limit: float) -> Tensor:
        """Scale a model's gradients down to a norm, that over all ranks, and return what it was before; collective."""
        trained = [parameter for parameter in self._holders[name].model.parameters() if parameter.grad is not None]
        groups = [[p for p in trained if isinstance(p, DTensor) is cut] for cut in (True, False)]  # torch mixes neither
        norms = [get_total_norm([p.grad for p in group if p.grad is not None]) for group in groups if group]
        total = torch.linalg.vector_norm(torch.stack([n.full_tensor() if isinstance(n, DTensor) else n for n in norms]))
        for group in filter(None, groups):
            clip_grads_with_norm_(group, limit, total)
        return total


def _outline(module: nn.Module) -> nn.Module:
    """Copy a module without the values of its parameters."""
    hollow: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in module.parameters()
    }
    return deepcopy(module, hollow)


def _cut(model: nn.Module, run_by: tuple[str, ...], mesh: Any) -> None:
    """Cut a model, in place: block by block and table by table, then what is left of it."""
    how: dict[str, Any] = {"mesh": mesh, "reshard_after_forward": True}
    for part in _parts(model):
        fully_shard(part, **how)
    fully_shard(model, ignored_params={p for p in model.parameters() if p.numel() == 1}, **how)
    for method in run_by:
        register_fsdp_forward_method(model, method)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Find what is put together at a time: the layers of lists of equal layers, and tables of embeddings."""
    for child in module.children():
        layers = list(child.children()) if isinstance(child, (nn.ModuleList, nn.Sequential)) else []
        if layers and len({type(layer) for layer in layers}) == 1:
            yield from (layer for layer in layers if any(True for _ in layer.parameters()))
        elif isinstance(child, nn.Embedding):
            yield child
        else:
            yield from _parts(child)


def _gathered(model: nn.Module) -> dict[str, Tensor]:
    """Return a state dict of a cut model with all of its weights whole; collective.

    It goes part by part, as a forward pass does: one gather for each, where torch's own full state dict takes one for each tensor.
    """
    found = dict(model.state_dict())
    parts = {name: part for name, part in model.named_modules() if isinstance(part, FSDPModule)}
    for prefix, part in parts.items():
        part.unshard()
        for name, parameter in model.get_submodule(prefix).named_parameters(prefix, remove_duplicate=False):
            if not isinstance(parameter, DTensor):  # those of parts within are still cut
                found[name] = parameter.detach().clone()
        part.reshard()
    return found


def save_shards(directory: Path, kept: Kept) -> None:
    """Write models and optimisers into a directory, this rank its part; collective."""
    writer = HuggingFaceStorageWriter(str(directory), save_distributed=True)
    with _together() as alone:
        checkpoint.save(_content(kept), storage_writer=writer, no_dist=alone)


def load_shards(directory: Path, kept: Kept) -> None:
    """Load what any number of ranks wrote into models and optimisers, of which this rank holds its part; collective."""
    reader = HuggingFaceStorageReader(str(directory))
    with _together() as alone:
        checkpoint.load(_content(kept), storage_reader=reader, no_dist=alone)


@contextmanager
def _together() -> Iterator[bool]:
    """Give whether there are no other ranks, of which torch would warn. What goes wrong on one of them is raised on all, as it was there."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            yield not dist.is_initialized()
    except checkpoint.CheckpointException as error:  # it derives from BaseException
        raise next(iter(error.failures.values()))[0] from None


def _begin(optimizer: torch.optim.Optimizer | None) -> None:
    """Give AdamW its moments before its first step; torch would create them by taking a step, which may change weights (epsilon 0)."""
    if optimizer is None or optimizer.state:
        return
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": step, **moments}


def _content(kept: Kept) -> dict[str, Tensor]:
    """Name all tensors of models and optimisers; they are no copies."""
    found: dict[str, Tensor] = {}
    for name, (module, optimizer) in kept.items():
        _begin(optimizer)
        weights, moments = get_state_dict(module, () if optimizer is None else optimizer, options=FLAT)
        tensors = {**{f"model.{key}": value for key, value in weights.items()}, **moments}
        found |= {f"{name}.{key}": value for key, value in tensors.items() if isinstance(value, Tensor)}
    return found
