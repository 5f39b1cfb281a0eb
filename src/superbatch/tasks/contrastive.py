"""Contrastive image-text training (CLIP, SigLIP), and all that chooses by pairs: JEST and its criteria, proxies, uniform.

Shapes: n samples, d embedding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superbatch.data.embeddings import EmbeddingCache
from superbatch.data.fields import Batch, Field, Stored
from superbatch.errors import UserError
from superbatch.losses import Peers, contrastive_rows, contrastive_term
from superbatch.models import ClipModel, Vocabulary, save_checkpoint
from superbatch.models.cost import TOWERS, ForwardFlops, count_forward, count_recomputed
from superbatch.models.towers import Towers
from superbatch.models.vocabulary import full_vocabulary
from superbatch.options import Rule, SelectionSettings, TrainingSettings
from superbatch.selection import Criterion
from superbatch.training.flops import Forwards
from superbatch.training.task import LEARNER, Model, Pairs, PairScores, Reads, SampleScores, Scores, Task

IMAGE, TOKENS = "image", "tokens"  # fields: uint8 (n, 3, S, S), int64 (n, L)
CACHED = ("reference_image", "reference_text")  # fields: the reference's embeddings, float16 (n, d) each
PROXY = "proxy"
ALONG = "reference"  # the name of a reference that is trained along
CLIP_BOUND = 100.0  # a scale above it makes training by the softmax loss unstable (CLIP, section 2.5)


@dataclass(frozen=True)
class Reference:
    """The temperature of the frozen reference; its embeddings are fields.

    Attributes:
        scale, bias: its own.
    """

    scale: float
    bias: float


def cached_fields(cache: EmbeddingCache, names: tuple[str, str] = CACHED) -> dict[str, Field]:
    """Return a cache's embeddings of images and texts as fields of these names, float16 as they are stored."""
    return {name: Stored(read, len(cache)) for name, read in zip(names, (cache.images, cache.texts), strict=True)}


class Contrastive(Task):
    """A learner of image-text pairs (`training.task.Task`), chosen by its own losses, a proxy's, a reference's, or not at all.

    Args:
        clip: the learner with its starting weights.
        training: its loss and bounds.
        selection: who scores, by which criterion.
        reference: needed to select by learnability or easy reference.
        proxy: the model that scores in the learner's place, with its starting weights; trained along.
        vocabulary: where the models train on compact token ids.
        along: the model that is the reference, with its starting weights; trained along, on whole super-batches.

    Raises:
        UserError: a criterion that needs a reference, without one.
    """

    def __init__(
        self,
        clip: ClipModel,
        training: TrainingSettings,
        selection: SelectionSettings,
        reference: Reference | None = None,
        proxy: ClipModel | None = None,
        vocabulary: Vocabulary | None = None,
        along: ClipModel | None = None,
    ) -> None:
        self.clip, self.proxy, self.vocabulary, self.reference = clip, proxy, vocabulary, reference
        self.loss_name, self.selection = training.loss, selection
        self.clips = {LEARNER: clip} | ({PROXY: proxy} if proxy is not None else {})
        self.models = {name: Model(clip.model) for name, clip in self.clips.items()}
        if along is not None and selection.online_reference is not None:
            self.clips[ALONG] = along
            self.models[ALONG] = Model(along.model, on_all=True, rate=selection.online_reference.rate)
        self.reads = self.reads_by(selection.rules[0])
        if ALONG in self.clips:
            self.reads = replace(self.reads, learns="against a reference trained along on all that is scored")
        self._towers: dict[str, Towers] = {}
        self._bounds: dict[str, float | None] = {}
        self._checkpointed = False
        if selection.uses_reference and reference is None:
            criterion = next(rule.criterion for rule in selection.rules if rule.uses_reference)
            what = f"{criterion} needs the reference's embeddings"
            raise UserError("selection.criterion", what, "run the embed stage first")

    @property
    def _scorer(self) -> str:
        return LEARNER if self.proxy is None else PROXY

    def reads_by(self, rule: Rule) -> Reads:
        """Return images and token ids; for scoring the reference's embeddings too, or these alone."""
        cached = CACHED if rule.uses_reference and ALONG not in self.clips else ()
        if rule.method == "uniform":
            return Reads((IMAGE, TOKENS))
        if not rule.scores:
            return Reads((IMAGE, TOKENS), cached, ahead=True, score=rule.criterion)
        return Reads((IMAGE, TOKENS), (IMAGE, TOKENS, *cached), score=rule.criterion)

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        """Put the models on the device, in the precision that settings ask for."""
        self._checkpointed = settings.checkpoint_activations
        for name, clip in self.clips.items():
            clip.model.to(device)
            if self._checkpointed:
                clip.model.set_grad_checkpointing(True)
            self._towers[name] = Towers.of(clip, device, settings.precision, settings.compile)
            self._bounds[name] = bound_of_scale(clip, settings)

    def scores(self, batch: Batch, rule: Rule) -> Scores:
        """Embed a slice of a super-batch with the model that scores, beside the reference's embeddings of it; what the rule needs."""
        own = self._own_pairs(batch) if rule.scores else None
        reference = self._reference_pairs(batch) if rule.uses_reference else None
        if self.selection.score == "match":
            return SampleScores(matched(own, reference, rule.criterion))
        return PairScores(own, reference, rule.criterion, self.loss_name)

    def _own_pairs(self, batch: Batch) -> Pairs:
        scorer = self._scorer
        return Pairs(self.scoring_sides(batch), *self.clips[scorer].scale_and_bias(), scorer)

    def _reference_pairs(self, batch: Batch) -> Pairs:
        """The reference's embeddings: cached, or made now where it is trained along."""
        if ALONG not in self.clips:
            return self._cached_pairs(batch)
        return Pairs(self.training_sides(ALONG, batch), *self.clips[ALONG].scale_and_bias(), ALONG)

    def scoring_sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embed images and texts (n, d) with the model that scores, as scoring sees them."""
        return self._towers[self._scorer].embed(batch[IMAGE], batch[TOKENS])

    def training_sides(self, model: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embed images and texts (n, d) with a model, as training sees them."""
        return self._towers[model].embed(batch[IMAGE], batch[TOKENS])

    def _cached_pairs(self, batch: Batch) -> Pairs:
        assert self.reference is not None, "refused where a rule needs one"
        image, text = (batch[name] for name in CACHED)
        return Pairs((image, text), self.reference.scale, self.reference.bias, "reference")

    def sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embed images and captions with the learner, also where a proxy scores."""
        return self._towers[LEARNER].embed(batch[IMAGE], batch[TOKENS])

    def reference_sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the reference's cached embeddings of images and captions."""
        image, text = self._cached_pairs(batch).sides
        return image.float(), text.float()

    def outputs(self, model: str, batch: Batch) -> dict[str, Tensor]:
        """Return image and text embeddings (n, d), scale and, where the model has one, bias."""
        image, text = self.training_sides(model, batch)
        scale, bias = self._towers[model].scale_and_bias()
        outputs = {"image": image, "text": text, "scale": scale}
        return outputs if bias is None else {**outputs, "bias": bias}

    def loss(self, model: str, outputs: Mapping[str, Tensor], batch: Batch, peers: Peers | None) -> Tensor:
        """Return the contrastive loss, one term."""
        return contrastive_term(self.loss_name, *_in_order(outputs), peers)

    def row_losses(self, model: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each pair's own summand of the loss, kept apart by image, and whether its embeddings are finite."""
        outputs = self.outputs(model, batch)
        of_samples = [output.isfinite().all(1) for output in outputs.values() if output.ndim]
        return self.rows_of(model, outputs, batch), torch.stack(of_samples).all(0)

    def rows_of(self, model: str, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Return each pair's own summand of a model's loss in a whole batch, (N,), by its outputs."""
        return contrastive_rows(self.loss_name, *_in_order(outputs))

    def after_update(self, step: int) -> None:
        """Keep each model's temperature within its bounds; a scale below 1 is none."""
        for name, clip in self.clips.items():
            bound = self._bounds[name]
            clip.model.logit_scale.clamp_(0, None if bound is None else math.log(bound))

    def forwards(self) -> Forwards:
        """Count the models' forward passes."""
        counted = {name: count_forward(clip) for name, clip in self.clips.items()}
        again = {name: count_recomputed(clip) for name, clip in self.clips.items()} if self._checkpointed else {}
        return self._by_tower(
            counted, again, counted[self._scorer], reused=self.proxy is None, judged=counted.get(ALONG)
        )

    def _by_tower(
        self,
        trained: Mapping[str, ForwardFlops],
        again: Mapping[str, ForwardFlops],
        scored: ForwardFlops,
        *,
        reused: bool,
        judged: ForwardFlops | None = None,
        full: ForwardFlops | None = None,
        views: Mapping[str, float] | None = None,
    ) -> Forwards:
        """Put counted forward passes together, tower by tower.

        Args:
            judged: of a reference that scores too. full: of the learner at full view, if it is trained otherwise.
        """
        full, towers = full or trained[LEARNER], {}
        for tower in TOWERS:
            of_scoring = getattr(scored, tower) if self.selection.scores else 0.0
            of_judging = 0.0 if judged is None else getattr(judged, tower)
            towers[tower] = Forwards(
                trained={name: getattr(forward, tower) for name, forward in trained.items()},
                scored=of_scoring + of_judging,
                scorer=self._scorer,
                judged=of_judging,
                on_all=frozenset(name for name, model in self.models.items() if model.on_all),
                reused=of_scoring if reused else 0.0,
                recomputed={name: getattr(forward, tower) for name, forward in again.items()},
                full=getattr(full, tower),
            )
        return Forwards.of_members(towers, {**(views or {}), "image": full.image, "text": full.text})

    def holders(self) -> Mapping[str, ClipModel]:
        """Return the models as open_clip made them."""
        return self.clips

    def facts(self) -> dict[str, float]:
        """Return the learner's scale and bias."""
        scale, bias = self.clip.scale_and_bias()
        return {"scale": scale, "bias": bias}

    def save(self, directory: Path, metadata: dict[str, Any]) -> str:
        """Write the learner in open_clip's format, its vocabulary whole."""
        return save_checkpoint(directory, self.clip, metadata, self.vocabulary)

    @contextmanager
    def shown(self) -> Iterator[ClipModel]:
        """Give the learner on original token ids."""
        with full_vocabulary(self.clip.model, self.vocabulary):
            yield self.clip


def matched(own: Pairs | None, reference: Pairs | None, criterion: Criterion) -> Tensor:
    """Score n pairs by how well their sides match, float (n,): a model's loss of a pair is minus its cosine (ActiveCLIP; papers.md 3.1).

    Args:
        own, reference: None of a model that the criterion does not use.
        criterion: learnability, the one's loss less the other's; or one of them alone.
    """
    loss, easy = (
        None if one is None else -(one.sides[0].float() * one.sides[1].float()).sum(1) for one in (own, reference)
    )
    return by_criterion(loss, easy, criterion)


def by_criterion(loss: Tensor | None, easy: Tensor | None, criterion: Criterion) -> Tensor:
    """Score n samples by their losses, float (n,).

    Args:
        loss: by the model that scores; easy: by the reference; None of one that the criterion does not use.
        criterion: learnability, the one's loss less the other's; or one of them alone.
    """
    if loss is None or easy is None:
        alone = easy if loss is None else loss
        assert alone is not None, "no criterion scores by neither"
        return alone if criterion == "hard_learner" else -alone
    return loss - easy


def _in_order(outputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    bias = outputs.get("bias")
    scale = outputs["scale"]
    return outputs["image"], outputs["text"], scale, torch.zeros_like(scale) if bias is None else bias


def bound_of_scale(clip: ClipModel, settings: TrainingSettings) -> float | None:
    """Return the largest scale that a model may come to; None for any.

    The setting's, or else the loss's own: CLIP's for softmax, none for sigmoid (SigLIP's weights have 118). A model that starts above
    the loss's own bound keeps what it has.
    """
    if settings.max_scale is not None or settings.loss == "sigmoid":
        return settings.max_scale
    return max(CLIP_BOUND, clip.scale_and_bias()[0])
