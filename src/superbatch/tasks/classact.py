"""ClassAct: image classification by labels, chosen by its own losses, a proxy's, a reference's, or not at all (papers.md 3; RHO-LOSS, 5.3).

Shapes: n samples, C classes, D embedding width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from superbatch.data.fields import Batch
from superbatch.losses import Peers, cross_entropy_term
from superbatch.models import ClipModel
from superbatch.models.classifier import Classifier, save_classifier
from superbatch.models.cost import count_forward, count_recomputed
from superbatch.models.towers import Towers
from superbatch.options import Rule, SelectionSettings, TrainingSettings
from superbatch.tasks.contrastive import CLIP_BOUND, IMAGE, PROXY, by_criterion
from superbatch.training.flops import Forwards
from superbatch.training.task import LEARNER, Model, Reads, SampleScores, Task

LABEL = "label"  # field: int64 (n,), 0 to C - 1
REFERENCE_LOSS = "reference_loss"  # field: the reference's cross-entropy of each sample, float32 (n,)


class ClassAct(Task):
    """A classifier of images (`training.task.Task`), trained by cross-entropy with label smoothing.

    A sample's score is its cross-entropy by the model that scores, less the reference's, both without smoothing; or one of the two.

    Args:
        learner: with its starting weights.
        training: its bounds.
        selection: who scores, by which criterion.
        smoothing: share of the target that goes to all classes evenly.
        proxy: the model that scores in the learner's place, with its starting weights; trained along.
        about: what its checkpoint's metadata say of the labels beside the names of the classes.
    """

    def __init__(
        self,
        learner: Classifier,
        training: TrainingSettings,
        selection: SelectionSettings,
        smoothing: float = 0.0,
        proxy: Classifier | None = None,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self.classifiers = {LEARNER: learner} | ({PROXY: proxy} if proxy is not None else {})
        self.models = {name: Model(classifier) for name, classifier in self.classifiers.items()}
        self.selection, self.smoothing, self.about = selection, smoothing, dict(about or {})
        self.bound = training.max_scale or CLIP_BOUND
        self.reads = self.reads_by(selection.rules[0])
        self._towers: dict[str, Towers] = {}
        self._checkpointed = False

    @property
    def _scorer(self) -> str:
        return PROXY if PROXY in self.classifiers else LEARNER

    def reads_by(self, rule: Rule) -> Reads:
        """Return images and labels; for scoring the reference's losses too, or these alone."""
        cached = (REFERENCE_LOSS,) if rule.uses_reference else ()
        if rule.method == "uniform":
            return Reads((IMAGE, LABEL))
        if not rule.scores:
            return Reads((IMAGE, LABEL), cached, ahead=True, score=rule.criterion)
        return Reads((IMAGE, LABEL), (IMAGE, LABEL, *cached), score=rule.criterion)

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        """Put the models on the device, in the precision that settings ask for."""
        self._checkpointed = settings.checkpoint_activations
        for name, classifier in self.classifiers.items():
            clip = classifier.to(device).clip
            clip.model.to(device)  # move the text tower too, so that the model's parameters are all on one device
            if self._checkpointed:
                clip.model.set_grad_checkpointing(True)
            self._towers[name] = Towers.of(clip, device, settings.precision, settings.compile)

    def scores(self, batch: Batch, rule: Rule) -> SampleScores:
        """Score a slice of a super-batch by the losses that the rule needs."""
        own = self._losses(self._logits(self._scorer, batch), batch) if rule.scores else None
        cached = batch[REFERENCE_LOSS] if rule.uses_reference else None
        return SampleScores(by_criterion(own, cached, rule.criterion))

    def outputs(self, model: str, batch: Batch) -> dict[str, Tensor]:
        """Return logits (n, C)."""
        return {"logits": self._logits(model, batch)}

    def _logits(self, model: str, batch: Batch) -> Tensor:
        return self.classifiers[model].logits(self._towers[model].images(batch[IMAGE]))

    def loss(self, model: str, outputs: Mapping[str, Tensor], batch: Batch, peers: Peers | None) -> Tensor:
        """Return the cross-entropy with label smoothing, one term."""
        return cross_entropy_term(outputs["logits"], batch[LABEL], peers, self.smoothing)

    def row_losses(self, model: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each sample's own loss, and whether its logits are finite."""
        logits = self._logits(model, batch)
        return self._losses(logits, batch, self.smoothing), logits.isfinite().all(1)

    @staticmethod
    def _losses(logits: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        return functional.cross_entropy(logits, batch[LABEL], reduction="none", label_smoothing=smoothing)

    def after_update(self, step: int) -> None:
        """Keep each model's scale between 1 and its bound."""
        for classifier in self.classifiers.values():
            classifier.logit_scale.data.clamp_(0, math.log(self.bound))

    def forwards(self) -> Forwards:
        """Count the models' forward passes: image towers and class weights. No text is read."""
        again = (
            {name: count_recomputed(one.clip).image for name, one in self.classifiers.items()}
            if self._checkpointed
            else {}
        )
        image = {name: count_forward(one.clip).image for name, one in self.classifiers.items()}
        classes = {name: 2.0 * one.weight.numel() for name, one in self.classifiers.items()}
        members = {"image": self._part(image, again), "classes": self._part(classes, {})}
        return Forwards.of_members(members, {name: part.at_full for name, part in members.items()})

    def _part(self, forward: Mapping[str, float], again: Mapping[str, float]) -> Forwards:
        scored = forward[self._scorer] if self.selection.scores else 0.0
        reused = scored if self._scorer == LEARNER else 0.0
        return Forwards(forward, scored, self._scorer, reused, recomputed=again)

    def facts(self) -> dict[str, float]:
        """Return the learner's scale."""
        return {"scale": float(self.classifiers[LEARNER].logit_scale.detach().exp())}

    def save(self, directory: Path, metadata: dict[str, Any]) -> str:
        """Write the learner in open_clip's format, its class weights beside it."""
        return save_classifier(directory, self.classifiers[LEARNER], metadata | self.about)

    def shown(self) -> AbstractContextManager[ClipModel]:
        """Give the learner with its class weights in the place of prompts."""
        return nullcontext(self.classifiers[LEARNER].shown)
