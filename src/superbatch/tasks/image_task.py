"""Base of the tasks on images alone: an image tower with heads that are dropped at the end, uniform batches, no text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.models import ClipModel
from superbatch.models.cost import count_recomputed
from superbatch.models.headed import Headed, save_image_tower, shown_alone
from superbatch.models.towers import Towers
from superbatch.options import Rule, TrainingSettings
from superbatch.training.task import LEARNER, Model, Scores, Task


class ImageTask(Task):
    """A learner that is an image tower with heads (`training.task.Task`).

    Args:
        clip: whose image tower it is, with its starting weights. The text tower stays what it was.
        heads: by name, on its embedding.
        name: of the method, for messages.
    """

    def __init__(self, clip: ClipModel, heads: Mapping[str, nn.Module], name: str) -> None:
        visual: Any = clip.model.visual
        self.clip, self.name, self.learner = clip, name, Headed(visual, heads)
        self.models = {LEARNER: Model(self.learner)}
        self._towers: Towers | None = None
        self._checkpointed = False

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        """Put the learner on the device, in the precision that settings ask for."""
        self.clip.model.to(device)  # move the text tower too, so that the model's parameters are all on one device
        self.learner.to(device)
        self._checkpointed = settings.checkpoint_activations
        if self._checkpointed:
            self.clip.model.set_grad_checkpointing(True)
        self._towers = Towers.of(self.clip, device, settings.precision, settings.compile)

    def embed(self, view: Tensor, other: Headed | None = None) -> Tensor:
        """Embed views (n, 3, S, S) from 0 to 255 with the learner's tower or another one of its input, (n, D) of length 1."""
        assert self._towers is not None, "placed before anything else is asked for"
        return self._towers.images(view, None if other is None else other.encode_image)

    def scores(self, batch: Batch, rule: Rule) -> Scores:
        """Refuse to score.

        Raises:
            UserError: always: what is hard depends on views that change, and on the other images of the batch.
        """
        raise UserError("selection.method", f"is {rule.method}, and {self.name} has no scores", "use uniform")

    @abstractmethod
    def rows_of(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return each image's own summand of the loss in a whole batch, (n,), by the outputs."""

    def row_losses(self, model: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each image's own summand of the loss, and whether its outputs are finite."""
        outputs = self.outputs(model, batch)
        return self.rows_of(outputs), torch.stack([one.isfinite().all(1) for one in outputs.values()]).all(0)

    def recomputed(self) -> float:
        """Operations of one view that are done again where activations are not kept; 0 where they are."""
        return count_recomputed(self.clip).image if self._checkpointed else 0.0

    def save(self, directory: Path, metadata: dict[str, Any]) -> str:
        """Write the learner in open_clip's format; its heads are dropped."""
        return save_image_tower(directory, self.clip, metadata)

    def shown(self) -> AbstractContextManager[ClipModel]:
        """Give the learner's image tower alone."""
        return nullcontext(shown_alone(self.clip))
