"""ACED: a learner of image-text pairs that its reference teaches too, or another model; all else is `contrastive` (papers.md 2.1).

Shapes: n samples, d embedding of the learner, e of the teacher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from superbatch.data.fields import Batch, Drawn, Field
from superbatch.data.row_set import RowSet
from superbatch.losses import Peers, teaching_rows, teaching_term
from superbatch.models import ClipModel, Vocabulary
from superbatch.options import DistillSettings, Rule, SelectionSettings, TrainingSettings
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS, Contrastive, Reference
from superbatch.training.flops import Forwards
from superbatch.training.task import LEARNER, Reads

SEPARATE = "separate_"  # before the name of a field: that of the row drawn beside each
TAUGHT = ("teacher_image", "teacher_text")  # fields: what a teacher that is not the reference has, float16 (n, e) each
COMPANIONS = 17  # purpose of the draw, as in `data.fields.Drawn`


class Distilled(Contrastive):
    """A learner whose loss has the teacher's part: contrastive + weight * distillation.

    Args:
        clip, training, selection, proxy, vocabulary: as of `Contrastive`. A proxy is not taught.
        distill: how much, of which samples.
        reference: chooses, and teaches where no `teacher` does; its embeddings are the fields `CACHED`. None where nothing asks it.
        teacher: teaches in the reference's place; its embeddings are the fields `TAUGHT`.
    """

    def __init__(
        self,
        clip: ClipModel,
        training: TrainingSettings,
        selection: SelectionSettings,
        distill: DistillSettings,
        reference: Reference | None,
        proxy: ClipModel | None = None,
        vocabulary: Vocabulary | None = None,
        teacher: Reference | None = None,
    ) -> None:
        teaches = teacher or reference
        assert teaches is not None, "whoever makes a job has refused it"
        self.distill, self.teacher_scale = distill, distill.scale or teaches.scale
        self.taught = CACHED if teacher is None else TAUGHT
        super().__init__(clip, training, selection, reference, proxy, vocabulary)

    @property
    def _before(self) -> str:
        return SEPARATE if self.distill.batch == "separate" else ""

    def reads_by(self, rule: Rule) -> Reads:
        """Return what `Contrastive` reads, and for training the teacher's embeddings; where its samples are separate, these too."""
        reads, before = super().reads_by(rule), self._before
        own = (IMAGE, TOKENS) if before else ()
        training = (*reads.training, *(before + name for name in (*own, *self.taught)))
        return replace(reads, training=training, learns=self._words)

    @property
    def _words(self) -> str:
        """What the teacher does, for the line before a run."""
        who = "the reference" if self.taught == CACHED else (self.distill.teacher or "a teacher of its own")
        if self.distill.how == "reweighting":
            return f"its negatives weighed by {who}"
        others = ", on as many others" if self._before else ""
        return f"taught by {who} (weight {self.distill.weight:g}{others})"

    def outputs(self, model: str, batch: Batch) -> dict[str, Tensor]:
        """Return those of `Contrastive`, and of the learner the embeddings of separate samples, (n, d) each."""
        outputs = super().outputs(model, batch)
        if model != LEARNER or not self._before:
            return outputs
        image, text = self._towers[model].embed(batch[SEPARATE + IMAGE], batch[SEPARATE + TOKENS])
        return {**outputs, SEPARATE + IMAGE: image, SEPARATE + "text": text}

    def loss(self, model: str, outputs: Mapping[str, Tensor], batch: Batch, peers: Peers | None) -> Tensor:
        """Return the contrastive loss and, of the learner, the weighted distillation: two terms; with reweighting its term alone."""
        if model != LEARNER:
            return super().loss(model, outputs, batch, peers)
        term = teaching_term(self.distill.how, *self._taught(outputs, batch), peers)
        if self.distill.how == "reweighting":
            bias = outputs.get("bias")  # a softmax does not depend on it; here it must still have a gradient
            return term if bias is None else term + 0.0 * bias
        return super().loss(model, outputs, batch, peers) + self.distill.weight * term

    def rows_of(self, model: str, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Return each pair's own summand of what `loss` sums up; a separate sample counts to the one it stands beside."""
        if model != LEARNER:
            return super().rows_of(model, outputs, batch)
        taught = teaching_rows(self.distill.how, *self._taught(outputs, batch))
        if self.distill.how == "reweighting":
            return taught
        return super().rows_of(model, outputs, batch) + self.distill.weight * taught

    def _taught(
        self, outputs: Mapping[str, Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor, float]]:
        """The learner's embeddings and scale, and what the teacher has of the same samples."""
        image, text = (outputs[self._before + name] for name in ("image", "text"))
        taught_image, taught_text = (batch[self._before + name] for name in self.taught)
        return image, text, outputs["scale"], (taught_image, taught_text, self.teacher_scale)

    def forwards(self) -> Forwards:
        """Count a trained sample twice where another one stands beside it; the teacher's embeddings are there already."""
        counted = super().forwards()
        if not self._before:
            return counted
        members = {name: _twice(one) for name, one in counted.members.items()}
        return Forwards.of_members(members, counted.views)


def _twice(one: Forwards) -> Forwards:
    """Double the learner's forward passes: it runs a second sample for each trained one. A uniform step keeps one."""
    trained = {name: value * (2 if name == LEARNER else 1) for name, value in one.trained.items()}
    again = {name: value * (2 if name == LEARNER else 1) for name, value in one.recomputed.items()}
    return replace(one, trained=trained, recomputed=again, full=one.at_full)


@dataclass(frozen=True)
class Beside:
    """A field of another row for each row: drawn uniformly from those in use, anew at each step, by a function of (seed, step, row).

    Attributes:
        field: what is read of it.
        draw: numbers of each row, by which its companion is drawn.
        rows: in use; None for all.
    """

    field: Field
    draw: Drawn
    rows: RowSet | None = None

    def __len__(self) -> int:
        return len(self.field)

    def read(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return the values of the companions of some rows at a step."""
        in_use = len(self.field if self.rows is None else self.rows)
        places = (self.draw.read(rows, step)[:, 0] * in_use).astype(np.int64)
        return self.field.read(places if self.rows is None else self.rows[places], step)


def separate_fields(
    fields: Mapping[str, Field], seed: int, taught: tuple[str, str] = CACHED, rows: RowSet | None = None
) -> dict[str, Field]:
    """Return the fields of the samples that stand beside those that are trained on.

    Args:
        fields: a learner's: images, token ids and the teacher's embeddings.
        seed: of the run.
        taught: the fields that have these embeddings.
        rows: that the run draws from; None for all.
    """
    draw = Drawn(seed, len(fields[IMAGE]), purpose=COMPANIONS)
    return {SEPARATE + name: Beside(fields[name], draw, rows) for name in (IMAGE, TOKENS, *taught)}
