"""Flexi-JEST: the image tower has a low view, which scores super-batches and trains some of the chosen; all else is `contrastive`.

Shapes: n samples, d embedding, K patches kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superbatch.data.fields import Batch, Drawn, Field, Mapped, Where
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.models import ClipModel, Vocabulary
from superbatch.models.cost import count_forward, count_low, count_recomputed
from superbatch.models.flexible import LowView, at_low, check_low
from superbatch.models.short import check_short, encode_short, shortened
from superbatch.models.towers import Towers
from superbatch.options import FlexiSettings, LowSettings, Rule, SelectionSettings, TrainingSettings
from superbatch.tasks.contrastive import IMAGE, TOKENS, Contrastive, Reference
from superbatch.tasks.sets import SetFiles, open_images
from superbatch.tasks.view import View
from superbatch.training.flops import Forwards
from superbatch.training.task import LEARNER, Reads

# Fields: uint8 (n, 3, s, s); 1 for samples that train low, uint8 (n,); the patches that a view keeps, int64 (n, K).
IMAGE_LOW, LOW, PATCHES = "image_low", "low", "patches"
Evaluate = Callable[[ClipModel], dict[str, float]]


class Flexi(Contrastive):
    """A learner whose images are scored low and trained partly so, in one loss over all embeddings.

    Args:
        clip, training, selection, reference, vocabulary: as of `Contrastive`.
        flexi: which view when.

    Raises:
        UserError: as `Contrastive`; an image tower that can't have the low view, a text tower that can't read fewer tokens.
    """

    def __init__(
        self,
        clip: ClipModel,
        training: TrainingSettings,
        selection: SelectionSettings,
        flexi: FlexiSettings,
        reference: Reference | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.flexi, self.view = flexi, LowView(clip, flexi.low)
        if flexi.tokens is not None:
            check_short(clip, flexi.tokens)
        super().__init__(clip, training, selection, reference, vocabulary=vocabulary)

    def reads_by(self, rule: Rule) -> Reads:
        """Return what `Contrastive` reads, with the low view in scoring and which samples train low.

        A smaller image is a field of its own: then full pixels are read of the chosen alone, and of those that train at full.
        """
        reads, smaller = super().reads_by(rule), self.flexi.low.image_size is not None
        kept = (PATCHES,) if self.view.kept else ()
        which = (LOW, *((IMAGE_LOW,) if smaller else kept)) if self.flexi.low_share else ()
        training = (*reads.training, *which)
        if not rule.scores:
            return replace(reads, training=training)
        seen = IMAGE_LOW if smaller else IMAGE
        own = tuple(dict.fromkeys((*(seen if name == IMAGE else name for name in reads.scoring), *which, *kept)))
        return replace(reads, training=training, scoring=own, score=f"{reads.score} at {self.flexi.low.name}")

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        """Put the model on the device, and what the low view is made by."""
        super().place(device, settings)
        self.view = LowView(self.clip, self.flexi.low)

    def holders(self) -> Mapping[str, ClipModel]:
        """Refuse: a view goes into the tower and takes parameters out of it.

        Raises:
            UserError: just that.
        """
        raise UserError(
            "training.shard", "cannot be combined with flexi, which takes a tower apart", "leave one of the two out"
        )

    def scoring_sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embed images in the low view, and texts, or their first tokens."""
        towers, ids, tokens = self._towers[LEARNER], batch[TOKENS], self.flexi.tokens
        if tokens is None:
            return self._low(towers, batch), towers.texts(ids)
        short = shortened(ids, tokens)
        return self._low(towers, batch), towers.texts(short, lambda ids, normalize: encode_short(self.clip.model, ids))

    def training_sides(self, model: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embed the images that are drawn for it in the low view, the others at full, in their order; texts are always full."""
        towers = self._towers[model]
        if not self.flexi.low_share:
            return super().training_sides(model, batch)
        low = batch[LOW].bool()
        at_full, at_low = (~low).nonzero()[:, 0], low.nonzero()[:, 0]
        # A small micro-batch may have samples of one kind only.
        found = [towers.images(batch[IMAGE][at_full])] if len(at_full) else []
        found += [self._low(towers, batch, at_low)] if len(at_low) else []
        back = torch.cat([at_full, at_low]).argsort()
        return torch.cat(found).index_select(0, back), towers.texts(batch[TOKENS])

    def _low(self, towers: Towers, batch: Batch, places: Tensor | None = None) -> Tensor:
        """Embed images in the low view; of some places alone, if they are given."""
        pixels = batch[IMAGE if self.flexi.low.image_size is None else IMAGE_LOW]
        kept = batch[PATCHES] if self.view.kept else None
        if places is not None:
            pixels, kept = pixels[places], None if kept is None else kept[places]
        return towers.images(pixels, partial(self.view.encode_image, kept=kept))

    def forwards(self) -> Forwards:
        """Count a scored sample at low, and a trained one as the mean over both views.

        Another view scores than is trained, for the most part, so the paper re-uses nothing either: 3F(1 - s + sA) + AF B/b.
        """
        clip, view, share = self.clip, self.view, self.flexi.low_share
        full, low, scored = count_forward(clip), count_low(clip, view), count_low(clip, view, self.flexi.tokens)
        again = {}
        if self._checkpointed:
            again = {LEARNER: count_recomputed(clip).mixed(count_recomputed(clip, view=view), share)}
        views = {"full": full.total, "low": low.total, "image_low": low.image}
        return self._by_tower({LEARNER: full.mixed(low, share)}, again, scored, reused=False, full=full, views=views)

    def save(self, directory: Path, metadata: dict[str, Any]) -> str:
        """Write the learner as ever, and which low view it knows, so that it can be measured there too."""
        low = self.flexi.low
        return super().save(directory, {**metadata, "low": {way: getattr(low, way) for way in low.ways}})


def flexi_fields(
    task: Flexi, fields: Mapping[str, Field], open_low: Callable[[int], Field], seed: int
) -> dict[str, Field]:
    """Return the fields that the low view adds to a learner's, and its images, read where they train at full.

    Which samples train low, and which patches are left out, are functions of (seed, step, row): the same for any number of ranks and
    micro-batches, and known when pixels are read.

    Args:
        task: whose.
        fields: of the learner, images among them.
        open_low: opens images of a side.
        seed: of the training.
    """
    flexi, view, rows = task.flexi, task.view, len(fields[IMAGE])
    low = Mapped(Drawn(seed, rows), _Below(flexi.low_share))
    found: dict[str, Field] = {LOW: low} if flexi.low_share else {}
    if view.kept:
        found[PATCHES] = Mapped(Drawn(seed, rows, view.grid[0] ** 2, purpose=1), _Least(view.kept))
    if flexi.low.image_size is None:
        return found
    small = open_low(view.image_size)
    found[IMAGE_LOW] = small if task.selection.scores else Where(small, low)
    found[IMAGE] = Where(fields[IMAGE], Mapped(low, np.logical_not)) if flexi.low_share else fields[IMAGE]
    return found


@dataclass(frozen=True)
class _Below:
    share: float

    def __call__(self, drawn_n1: np.ndarray) -> np.ndarray:
        return (drawn_n1[:, 0] < self.share).astype(np.uint8)


@dataclass(frozen=True)
class _Least:
    count: int

    def __call__(self, drawn_nP: np.ndarray) -> np.ndarray:
        return np.sort(np.argsort(drawn_nP, 1)[:, : self.count], 1)


def opener(clip: ClipModel, manifests: Sequence[Manifest], files: Sequence[SetFiles]) -> Callable[[int], Field]:
    """Return what opens the images of some sets at another side than the model's own."""
    return lambda side: open_images(replace(View.of(clip), image_size=side), manifests, files)


def check_flexi(flexi: FlexiSettings | None, clip: ClipModel, where: str = "flexi.low") -> None:
    """Refuse a low view that an open_clip ViT's configuration rules out; other towers are looked at when they are built.

    Args:
        flexi: the settings. clip: the model, or its `shell`. where: the setting's key.

    Raises:
        UserError: just that.
    """
    vision = clip.config["model_cfg"]["vision_cfg"]
    if (
        flexi is None or "timm_model_name" in vision or not isinstance(vision.get("layers", 12), int)
    ):  # a list: a ResNet
        return
    check_low(
        flexi.low, clip.image_size, int(vision.get("patch_size", 16)), where
    )  # 12 and 16 are open_clip's defaults


def with_low(evaluate: Evaluate, evaluate_low: Evaluate, low: LowSettings) -> Evaluate:
    """Return an evaluation that adds the low view's metrics, for the record, as `low/<set>/<metric>`.

    Args:
        evaluate: at full view.
        evaluate_low: the same for a model of the low view's image size; it may be one and the same where that is the full view's.
        low: the view; where patches are left out at random there is nothing to add.
    """

    def both(clip: ClipModel) -> dict[str, float]:
        found = evaluate_low(at_low(clip, low))
        return evaluate(clip) | {f"low/{name}": value for name, value in found.items()}

    return evaluate if low.patch_drop is not None else both
