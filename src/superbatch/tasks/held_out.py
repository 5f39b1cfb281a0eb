"""Measure a reference in training on the curated pairs held out from it, to choose its number of steps.

Not by their loss, which rises long before a reference is at its best: it grows too sure of itself, while it still learns to tell concepts
apart (docs/experiments.md, 11).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from superbatch.data.kept import KeptPixels
from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader
from superbatch.evaluation.pairs.measure import BATCH, FEWEST
from superbatch.evaluation.pairs.recall import recall_in
from superbatch.evaluation.sharing import Dealt
from superbatch.models import ClipModel, pick_device
from superbatch.models.classifier import Classifier
from superbatch.models.towers import Towers
from superbatch.options import TrainingSettings
from superbatch.tasks.learner import Evaluate
from superbatch.tasks.sample import Prepared
from superbatch.training.distributed import ranks_met

KEPT_BYTES = 320 << 20  # of decoded images: 2,000 pairs, the most that are held out, take 288 MiB at 224 pixels
ON_HELD_OUT = "held_out/"  # the beginning of what is measured on held-out rows
TOP1 = "held_out/top1"  # of a reference of labels: the share of the held-out rows whose class it finds
METRIC = "held_out/r1"  # R@1 of an image's own caption among 64 held-out ones, or all of them where these are fewer


def telling(manifest: Manifest, rows: np.ndarray) -> np.ndarray:
    """Return the held-out rows if their R@1 can tell anything, else none: an image has no other caption where all of them read the same.

    Args:
        manifest: of the curated set. rows: that are held out, int64.
    """
    captions = {of_row[0] if of_row else "" for of_row in manifest.captions(rows)}
    return rows if len(captions) > 1 else rows[:0]


def with_held_out(evaluate: Evaluate | None, manifest: Manifest, rows: np.ndarray, device: str) -> Evaluate | None:
    """Add the held-out pairs' R@1 to what an evaluation during training returns; too few pairs tell nothing.

    They are tokenised once, for the model that comes first, and decoded once where they fit into KEPT_BYTES.

    Args:
        evaluate: the other metrics, if any.
        manifest: of the curated set. rows: that are held out, as `telling` returns them.
        device: where the model is.
    """
    if len(rows) < FEWEST:
        return evaluate

    kept: list[Prepared] = []

    def both(clip: ClipModel) -> dict[str, float]:
        found = {} if evaluate is None else evaluate(clip)
        if not kept:
            kept.append(Prepared.of(clip, manifest, rows, KEPT_BYTES))
        images, texts = kept[0].embed(Towers.of(clip, pick_device(device), "auto"), ranks_met())
        return found | {METRIC: float(np.nanmean(recall_in(images, texts, kept[0].captions, min(BATCH, len(rows)))))}

    return both


def with_held_out_top1(
    evaluate: Evaluate | None, manifest: Manifest, rows: np.ndarray, label_n: np.ndarray, device: str
) -> Evaluate | None:
    """Add the share of held-out rows whose class is found to what an evaluation during training of a classifier returns.

    Args:
        evaluate, manifest, rows, device: as of `with_held_out`.
        label_n: the class of each of these rows.
    """
    if len(rows) < FEWEST:
        return evaluate
    kept: list[KeptPixels] = []

    @torch.no_grad()
    def both(clip: ClipModel) -> dict[str, float]:
        found = {} if evaluate is None else evaluate(clip)
        if not kept:
            kept.append(KeptPixels(ImageReader(manifest, clip.image_size), rows, KEPT_BYTES))
        classifier = clip.model
        assert isinstance(classifier, Classifier), "of labels"
        towers, ranks, right = Towers.of(clip, pick_device(device), "auto"), ranks_met(), 0
        for some in Dealt.evenly(len(rows), BATCH, ranks).mine:
            pixels = torch.from_numpy(kept[0].read(np.arange(some.start, some.stop))).to(towers.mean.device)
            right += int((classifier.logits(towers.images(pixels)).argmax(1).cpu().numpy() == label_n[some]).sum())
        return found | {TOP1: int(ranks.sum(torch.tensor(right))) / len(rows)}

    return both


def settled(training: TrainingSettings, rows: np.ndarray, metric: str = METRIC) -> TrainingSettings:
    """Return the settings under which a reference is trained.

    Too few pairs to go by: it takes all its steps. Else values within a standard error of the highest, at most 1/2 of 1/sqrt(n), are not told
    apart, and the longest training of those counts: learners gain by it long after held-out pairs stop to tell (docs/experiments.md, 11).
    """
    if training.keep_best != metric:
        return training
    if len(rows) < FEWEST:
        return replace(training, keep_best=None, patience=0)
    return replace(training, tolerance=training.tolerance or round(0.5 / len(rows) ** 0.5, 4))
