"""DnC's student: images alone; it regresses to a base and, of each image, to the expert that owns its cluster (papers.md 4.1, 4.2).

Shapes: n samples, D embedding of the student, E of the teachers, k experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.losses import Peers, regression_rows, regression_term
from superbatch.models import ClipModel
from superbatch.models.cost import count_forward
from superbatch.models.headed import drawn_heads, head_cost
from superbatch.models.towers import Towers
from superbatch.options import MoclrSettings, TrainingSettings
from superbatch.tasks.contrastive import IMAGE
from superbatch.tasks.image_task import ImageTask
from superbatch.tasks.views import VIEWS, view_of
from superbatch.training.flops import Forwards
from superbatch.training.task import LEARNER, Reads

OWNER = "owner"  # field: the number of the expert that owns a row, int64 (n,), 0 to k - 1
BASE, EXPERT = "base", "expert"


class Student(ImageTask):
    """An image tower with a head for the base and one for each expert.

    Teachers are frozen and see the same view as the student. What they are asked for is their image embedding.

    Args:
        clip: as of `ImageTask`.
        training: the seed of the heads.
        moclr: the views, and the width inside the heads; nothing else of it counts here.
        base: the teacher of all images. experts: the teachers of the images of a cluster each.

    Raises:
        UserError: a teacher with another input than the student's.
    """

    reads = Reads((IMAGE, VIEWS, OWNER), learns="taught by the base and by the expert of each image's cluster")

    def __init__(
        self,
        clip: ClipModel,
        training: TrainingSettings,
        moclr: MoclrSettings,
        base: ClipModel,
        experts: Sequence[ClipModel],
    ) -> None:
        self.moclr, self.teachers = moclr, [base, *experts]
        for teacher in self.teachers:
            _require_same_input(clip, teacher)
        width = int(clip.config["model_cfg"]["embed_dim"])
        names = [BASE, *(f"{EXPERT}_{number}" for number in range(len(experts)))]
        widths = [int(teacher.config["model_cfg"]["embed_dim"]) for teacher in self.teachers]
        shapes = {name: (width, moclr.hidden, out) for name, out in zip(names, widths, strict=True)}
        super().__init__(clip, drawn_heads(shapes, training.seed), "the student")
        self._asked: list[Towers] = []
        self._taught_width = widths[-1]

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        """Put student and teachers on the device, in the precision that settings ask for; the teachers in evaluation mode."""
        super().place(device, settings)
        self._asked = []
        for teacher in self.teachers:
            teacher.model.to(device).eval().requires_grad_(False)
            self._asked.append(Towers.of(teacher, device, settings.precision))

    def outputs(self, model: str, batch: Batch) -> dict[str, Tensor]:
        """Return what the student says of base and owner, and what these are, (n, E) each."""
        view = view_of(batch, 0, self.moclr.augment)
        student, owner = self.embed(view), batch[OWNER]
        base, *experts = (head(student) for head in self.learner.heads.values())
        # All heads are computed, so that every parameter has a gradient whatever clusters are in a batch; they are cheap.
        said = torch.stack(experts, 1)[torch.arange(len(owner), device=owner.device), owner]
        return {BASE: base, EXPERT: said, **self._taught(view, owner)}

    @torch.no_grad()
    def _taught(self, view: Tensor, owner: Tensor) -> dict[str, Tensor]:
        """The embeddings by the base, and by the owner of each image."""
        base, *experts = self._asked
        of_owner = torch.empty(len(owner), self._taught_width, device=view.device)
        for number in owner.unique().tolist():
            mine = owner == number
            of_owner[mine] = experts[number].images(view[mine])
        return {f"{BASE}_taught": base.images(view), f"{EXPERT}_taught": of_owner}

    def loss(self, model: str, outputs: Mapping[str, Tensor], batch: Batch, peers: Peers | None) -> Tensor:
        """Return the normalised regression to the base and to the owner: two terms of equal weight."""
        base, expert = (regression_term(outputs[name], outputs[f"{name}_taught"], peers) for name in (BASE, EXPERT))
        return base + expert

    def rows_of(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return each image's own summand of both terms."""
        base, expert = (regression_rows(outputs[name], outputs[f"{name}_taught"]) for name in (BASE, EXPERT))
        return base + expert

    def forwards(self) -> Forwards:
        """Count the student's view and all heads, trained; base and one expert, run forward alone."""
        tower = count_forward(self.clip).image
        base, *experts = (count_forward(teacher).image for teacher in self.teachers)
        heads = sum(map(head_cost, self.learner.heads.values()))
        again = {LEARNER: self.recomputed()}
        members = {
            "image": Forwards({LEARNER: tower}, recomputed=again, full=tower, frozen=base + experts[0]),
            "heads": Forwards({LEARNER: heads}, full=0.0),
        }
        return Forwards.of_members(members, {"image": tower})


def _require_same_input(student: ClipModel, teacher: ClipModel) -> None:
    if (student.image_size, student.mean_std) != (teacher.image_size, teacher.mean_std):
        what = f"has another input than its teachers ({student.image_size} pixels against {teacher.image_size}, or other means)"
        raise UserError("dnc.student.model", what, "give both one image_size and one preprocess_cfg")
