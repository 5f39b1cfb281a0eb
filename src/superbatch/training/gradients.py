"""Gradients of the whole batch's loss, however the batch is cut: over ranks, and over micro-batches within a rank.

The graph is cut at the embeddings. The loss needs all of them at once but is cheap; the towers are dear but treat each sample by itself.
So embeddings are computed first, the loss's gradients by them next, and the towers get these gradients last, a micro-batch at a time (Gao
et al. 2021, arXiv 2101.06983): memory is that of one micro-batch, and every negative counts, which plain accumulation would not do.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from superbatch.errors import UserError
from superbatch.losses import LossName
from superbatch.losses.parts import Pull
from superbatch.training.distributed import Ranks
from superbatch.training.exchange import pull
from superbatch.training.random_state import random_state, set_random_state
from superbatch.training.step import Batch, Towers


class Outputs(nn.Module):
    """The model as one module with all its outputs, as DDP wants it: embeddings, scale and, where it has one, bias."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.model, self.towers = towers.clip.model, towers

    def forward(self, batch: Batch) -> list[Tensor]:
        """Return image and text embeddings (n, d), scale and, where the model has one, bias."""
        scale, bias = self.towers.scale_and_bias()
        outputs = [*self.towers.embed(batch), scale]
        return outputs if isinstance(bias, float) else [*outputs, bias]


class Trainee:
    """A model whose gradients, summed over ranks, are those of the loss over all samples of all ranks.

    Args:
        towers: the model.
        ranks: who takes part; with more than one DDP sums the gradients while the backward pass goes on.
        loss: sigmoid or softmax.
        accumulate: micro-batches a rank's share is cut into; 1 trains it whole.

    Raises:
        UserError: accumulation with batch normalisation, whose statistics would be of a micro-batch and taken twice.
    """

    def __init__(self, towers: Towers, ranks: Ranks, loss: LossName, accumulate: int = 1) -> None:
        self.towers, self.ranks, self.loss, self.accumulate = towers, ranks, loss, accumulate
        outputs = Outputs(towers)
        normalised = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in towers.clip.model.modules())
        if accumulate > 1 and normalised:
            raise UserError("training.accumulate", "the model has batch normalisation", "set it to 1")
        self.module = DistributedDataParallel(outputs) if ranks.world > 1 else outputs

    def backward(self, batch: Batch, total: int) -> Tensor:
        """Add the whole batch's gradients to the parameters; collective.

        Args:
            batch: this rank's share.
            total: samples of all ranks.

        Returns:
            The loss over all of them, the same on all ranks.
        """
        if self.accumulate == 1:
            outputs = self.module(batch)
            found = self._pull(outputs, total)
            self._send_back(outputs, found)
            return found.loss
        parts = torch.arange(len(batch), device=batch.pixels.device).tensor_split(self.accumulate)
        batches = [batch.take(indices) for indices in parts]
        states, outputs = self._look(batches)
        found = self._pull(outputs, total)
        ends = torch.tensor([len(part) for part in parts]).cumsum(0).tolist()
        for number, (part, state, end) in enumerate(zip(batches, states, ends, strict=True)):
            set_random_state(state, part.pixels.device)
            with nullcontext() if number == len(batches) - 1 else self._silent():
                self._send_back(self.module(part), _cut(found, end - len(part), end, number == len(batches) - 1))
        return found.loss

    def _pull(self, outputs: list[Tensor], total: int) -> Pull:
        image, text, scale, *rest = outputs
        return pull(self.ranks, self.loss, image, text, scale, rest[0] if rest else torch.zeros_like(scale), total)

    @torch.no_grad()
    def _look(self, batches: list[Batch]) -> tuple[list[dict[str, Tensor]], list[Tensor]]:
        """Embed all micro-batches without a graph; the random state before each makes its second pass like the first."""
        states, found = [], []
        for batch in batches:
            states.append(random_state(batch.pixels.device))
            found.append(self.towers.embed(batch))
        images, texts = (torch.cat(tensors) for tensors in zip(*found, strict=True))
        scale, bias = self.towers.scale_and_bias()
        return states, [images, texts, scale, *([] if isinstance(bias, float) else [bias])]

    def _send_back(self, outputs: list[Tensor], found: Pull) -> None:
        gradients = [found.image_nD, found.text_nD, found.scale, found.bias][: len(outputs)]
        # DDP takes the mean over ranks; the loss is already a mean over all samples, so its gradients want the sum.
        torch.autograd.backward(outputs, [gradient * self.ranks.world for gradient in gradients])

    def _silent(self) -> AbstractContextManager[None]:
        """Without DDP's sum, which the last micro-batch brings."""
        return self.module.no_sync() if isinstance(self.module, DistributedDataParallel) else nullcontext()


def _cut(found: Pull, start: int, stop: int, last: bool) -> Pull:
    """The gradients that one micro-batch sends back; those of scale and bias go with the last."""
    once = 1.0 if last else 0.0
    return Pull(
        found.loss, found.image_nD[start:stop], found.text_nD[start:stop], found.scale * once, found.bias * once
    )
