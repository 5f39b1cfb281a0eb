"""MoCLR: images alone; two views of each, the learner's of one against a momentum target's of the other (papers.md 4.2).

Shapes: n samples, D embedding, P projection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.losses import Peers, key_rows, key_term
from superbatch.models import ClipModel
from superbatch.models.cost import count_forward, count_recomputed
from superbatch.models.headed import Headed, drawn_heads, head_cost, save_image_tower, shown_alone
from superbatch.models.towers import Towers
from superbatch.options import MoclrSettings, Rule, TrainingSettings
from superbatch.tasks.contrastive import IMAGE
from superbatch.tasks.views import VIEWS, view_of
from superbatch.training.flops import Forwards
from superbatch.training.task import LEARNER, Model, Reads, Scores, Task

TARGET = "target"
PROJECTOR, PREDICTOR = "projector", "predictor"


class MomentumContrast(Task):
    """An image tower that learns which of the target's views in a batch is of the same image as its own (`training.task.Task`).

    Args:
        clip: whose image tower it is, with its starting weights. The text tower stays what it was.
        training: its steps, over which the momentum rises, and the seed of the heads.
        moclr: views, heads, temperature, momentum.
    """

    reads = Reads((IMAGE, VIEWS), learns="two views of each image, one of them by a momentum target")

    def __init__(self, clip: ClipModel, training: TrainingSettings, moclr: MoclrSettings) -> None:
        self.clip, self.moclr, self.steps = clip, moclr, training.steps
        width, hidden, out = int(clip.config["model_cfg"]["embed_dim"]), moclr.hidden, moclr.projection
        shapes = {PROJECTOR: (width, hidden, out)} | ({PREDICTOR: (out, hidden, out)} if moclr.predictor else {})
        heads = drawn_heads(shapes, training.seed)
        visual: Any = clip.model.visual
        self.learner = Headed(visual, heads)
        self.target = Headed(deepcopy(visual), {PROJECTOR: deepcopy(heads[PROJECTOR])}).requires_grad_(False)
        self.models = {LEARNER: Model(self.learner), TARGET: Model(self.target, trained=False)}
        self._towers: Towers | None = None
        self._checkpointed = False

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        """Put learner and target on the device, in the precision that settings ask for."""
        self.clip.model.to(device)  # the text tower too, so that whoever asks the model where it lies hears the truth
        for one in (self.learner, self.target):
            one.to(device)
        self._checkpointed = settings.checkpoint_activations
        if self._checkpointed:
            self.clip.model.set_grad_checkpointing(True)
        self._towers = Towers.of(self.clip, device, settings.precision, settings.compile)

    def scores(self, batch: Batch, rule: Rule) -> Scores:
        """Refuse to score.

        Raises:
            UserError: always: what is hard for it depends on the other images of the batch and on the views.
        """
        raise UserError("selection.method", f"is {rule.method}, and moclr has no scores", "use uniform")

    def outputs(self, model: str, batch: Batch) -> dict[str, Tensor]:
        """Return queries of the learner and keys of the target, (n, P) each and of length 1, of both views."""
        views = torch.cat([view_of(batch, number, self.moclr.augment) for number in (0, 1)])
        query = self.learner.heads[PROJECTOR](self._embed(views))
        if PREDICTOR in self.learner.heads:
            query = self.learner.heads[PREDICTOR](query)
        with torch.no_grad():
            key = self.target.heads[PROJECTOR](self._embed(views, self.target))
        sides = {"query": query, "key": key}
        return {
            f"{side}_{number}": half
            for side, both in sides.items()
            for number, half in enumerate(normalize(both, dim=1).chunk(2))
        }

    def _embed(self, views: Tensor, other: Headed | None = None) -> Tensor:
        assert self._towers is not None, "placed before anything else is asked for"
        return self._towers.images(views, None if other is None else other.encode_image)

    def loss(self, model: str, outputs: Mapping[str, Tensor], batch: Batch, peers: Peers | None) -> Tensor:
        """Return InfoNCE of each view against the other: two terms."""
        first, second = (key_term(*pair, 1 / self.moclr.temperature, peers) for pair in _pairs(outputs))
        return first + second

    def row_losses(self, model: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each image's own summand of the loss, and whether its outputs are finite."""
        outputs = self.outputs(model, batch)
        rows = [key_rows(*pair, 1 / self.moclr.temperature) for pair in _pairs(outputs)]
        finite = torch.stack([output.isfinite().all(1) for output in outputs.values()]).all(0)
        return rows[0] + rows[1], finite

    def momentum(self, step: int) -> float:
        """Return the share of the target that stays at a step: from the setting's to 1, by a cosine (BYOL)."""
        return 1 - (1 - self.moclr.momentum) * (math.cos(math.pi * step / self.steps) + 1) / 2

    def after_update(self, step: int) -> None:
        """Move the target towards the learner, its running statistics too."""
        toward = 1 - self.momentum(step)
        learner = self.learner.state_dict()
        for name, value in self.target.state_dict().items():
            if value.is_floating_point():
                value.lerp_(learner[name], toward)
            else:
                value.copy_(learner[name])

    def forwards(self) -> Forwards:
        """Count two views by the learner, trained, and two by the target, run forward alone. No text is read."""
        tower, heads = (
            count_forward(self.clip).image,
            {name: head_cost(one) for name, one in self.learner.heads.items()},
        )
        again = {LEARNER: 2 * count_recomputed(self.clip).image} if self._checkpointed else {}
        members = {
            "image": Forwards({LEARNER: 2 * tower}, recomputed=again, full=tower, frozen=2 * tower),
            "heads": Forwards({LEARNER: 2 * sum(heads.values())}, full=0.0, frozen=2 * heads[PROJECTOR]),
        }
        return Forwards.of_members(members, {"image": tower})

    def save(self, directory: Path, metadata: dict[str, Any]) -> str:
        """Write the learner in open_clip's format; its heads are dropped."""
        return save_image_tower(directory, self.clip, metadata)

    def shown(self) -> AbstractContextManager[ClipModel]:
        """Give the learner's image tower alone."""
        return nullcontext(shown_alone(self.clip))


def _pairs(outputs: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Queries of one view and keys of the other, both ways."""
    return [(outputs["query_0"], outputs["key_1"]), (outputs["query_1"], outputs["key_0"])]
