"""MoCLR: images alone; two views of each, the learner's of one against a momentum target's of the other (papers.md 4.2).

Shapes: n samples, D embedding, P projection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.functional import normalize

from superbatch.data.fields import Batch
from superbatch.losses import Peers, key_rows, key_term
from superbatch.models import ClipModel
from superbatch.models.cost import count_forward
from superbatch.models.headed import Headed, drawn_heads, head_cost
from superbatch.options import MoclrSettings, TrainingSettings
from superbatch.tasks.contrastive import IMAGE
from superbatch.tasks.image_task import ImageTask
from superbatch.tasks.views import VIEWS, view_of
from superbatch.training.flops import Forwards
from superbatch.training.task import LEARNER, Model, Reads

TARGET = "target"
PROJECTOR, PREDICTOR = "projector", "predictor"


class MomentumContrast(ImageTask):
    """An image tower that learns which of the target's views in a batch is of the same image as its own.

    Args:
        clip: as of `ImageTask`.
        training: its steps, over which the momentum rises, and the seed of the heads.
        moclr: views, heads, temperature, momentum.
    """

    reads = Reads((IMAGE, VIEWS), learns="two views of each image, one of them by a momentum target")

    def __init__(self, clip: ClipModel, training: TrainingSettings, moclr: MoclrSettings) -> None:
        self.moclr, self.steps = moclr, training.steps
        width, hidden, out = int(clip.config["model_cfg"]["embed_dim"]), moclr.hidden, moclr.projection
        shapes = {PROJECTOR: (width, hidden, out)} | ({PREDICTOR: (out, hidden, out)} if moclr.predictor else {})
        super().__init__(clip, drawn_heads(shapes, training.seed), "moclr")
        projector = deepcopy(self.learner.heads[PROJECTOR])
        self.target = Headed(deepcopy(self.learner.visual), {PROJECTOR: projector}).requires_grad_(False)
        self.models |= {TARGET: Model(self.target, trained=False)}

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        """Put learner and target on the device, in the precision that settings ask for."""
        super().place(device, settings)
        self.target.to(device)

    def outputs(self, model: str, batch: Batch) -> dict[str, Tensor]:
        """Return queries of the learner and keys of the target, (n, P) each and of length 1, of both views."""
        views = torch.cat([view_of(batch, number, self.moclr.augment) for number in (0, 1)])
        query = self.learner.heads[PROJECTOR](self.embed(views))
        if PREDICTOR in self.learner.heads:
            query = self.learner.heads[PREDICTOR](query)
        with torch.no_grad():
            key = self.target.heads[PROJECTOR](self.embed(views, self.target))
        halves = {name: normalize(both, dim=1).chunk(2) for name, both in (("query", query), ("key", key))}
        return {f"{name}_{number}": both[number] for name, both in halves.items() for number in (0, 1)}

    def loss(self, model: str, outputs: Mapping[str, Tensor], batch: Batch, peers: Peers | None) -> Tensor:
        """Return InfoNCE of each view against the other: two terms."""
        first, second = (key_term(*pair, 1 / self.moclr.temperature, peers) for pair in _pairs(outputs))
        return first + second

    def rows_of(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return each image's own summand of both terms."""
        first, second = (key_rows(*pair, 1 / self.moclr.temperature) for pair in _pairs(outputs))
        return first + second

    def momentum(self, step: int) -> float:
        """Return the share of the target that stays at a step: from the setting's to 1, by a cosine (BYOL)."""
        return 1 - (1 - self.moclr.momentum) * (math.cos(math.pi * step / self.steps) + 1) / 2

    def after_update(self, step: int) -> None:
        """Move the target towards the learner, its running statistics too."""
        toward, learner = 1 - self.momentum(step), self.learner.state_dict()
        for name, value in self.target.state_dict().items():
            if value.is_floating_point():
                value.lerp_(learner[name], toward)
            else:
                value.copy_(learner[name])

    def forwards(self) -> Forwards:
        """Count two views by the learner, trained, and two by the target, run forward alone. No text is read."""
        tower, again = count_forward(self.clip).image, {LEARNER: 2 * self.recomputed()}
        heads = {name: head_cost(one) for name, one in self.learner.heads.items()}
        members = {
            "image": Forwards({LEARNER: 2 * tower}, recomputed=again, full=tower, frozen=2 * tower),
            "heads": Forwards({LEARNER: 2 * sum(heads.values())}, full=0.0, frozen=2 * heads[PROJECTOR]),
        }
        return Forwards.of_members(members, {"image": tower})


def _pairs(outputs: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Queries of one view and keys of the other, both ways."""
    return [(outputs["query_0"], outputs["key_1"]), (outputs["query_1"], outputs["key_0"])]
