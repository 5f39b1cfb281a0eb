"""Zero-shot classification: prompt ensembles, top-1 and top-5, accuracy a class.

Letters in names: N images, C classes, P distinct prompts, T templates, D embedding width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from superbatch.errors import UserError
from superbatch.evaluation.intervals import packed, wilson
from superbatch.evaluation.prompts import expand_prompts
from superbatch.evaluation.ranks import exact_unit, ranks_of_labels, whole_numbers


def distinct(texts: Sequence[str]) -> tuple[list[str], Tensor]:
    """Return the distinct texts in order of appearance and, for each text, the number of its distinct one (int64)."""
    number: dict[str, int] = {}
    which = [number.setdefault(text, len(number)) for text in texts]
    return list(number), torch.tensor(which, dtype=torch.int64)


def ensemble(prompt_PD: Tensor, which: Sequence[Tensor] | Tensor) -> Tensor:
    """Average each class's prompts: normalise, take the mean, normalise again (CLIP, section 3.1.4).

    Args:
        prompt_PD: embeddings of the distinct prompts.
        which: for each class, int64 numbers of its prompts among the distinct ones: as many for each, (C, T), or not.

    Returns:
        Class weights (C, D), float32, of norm 1.
    """
    unit_PD = normalize(prompt_PD.float(), dim=-1)
    return normalize(torch.stack([unit_PD[own.to(unit_PD.device)].mean(0) for own in which]), dim=-1)


def class_weights(
    encode_text: Callable[[list[str]], Tensor],
    classnames: Sequence[str],
    templates: Sequence[str],
    *,
    batch_size: int = 512,
) -> Tensor:
    """Embed every class as the mean of its prompts.

    Args:
        encode_text: list of n texts -> embeddings (n, D), normalised or not.
        classnames: C names.
        templates: T prompts with `{c}` or `{}` where the name goes.
        batch_size: texts a call; equal prompts are embedded once.

    Returns:
        Class weights (C, D), float32, of norm 1.
    """
    if not classnames or not templates:
        raise UserError("classnames" if not classnames else "templates", "the list is empty", "give at least one")
    texts, which = distinct(expand_prompts(classnames, templates))
    with torch.no_grad():
        prompt_PD = torch.cat([encode_text(texts[i : i + batch_size]) for i in range(0, len(texts), batch_size)])
    return ensemble(prompt_PD, which.view(len(classnames), len(templates)))


def zero_shot_classification(
    image_ND: Tensor,
    labels: Tensor | np.ndarray,
    weights_CD: Tensor,
    *,
    classnames: Sequence[str] | None = None,
    block: int = 4096,
) -> dict[str, Any]:
    """Classify images by the class weight of highest cosine.

    Equal scores go to the lower class number (as `argmax`); scores are exact (see `ranks`), so neither `block` nor the
    device changes the result. Memory O((N + C) D + block x C).

    Args:
        image_ND: image embeddings; they are normalised here.
        labels: (N,) class numbers from 0.
        weights_CD: class weights, on the same device.
        classnames: C names for the report.
        block: images whose logits are held at a time.

    Returns:
        `metrics`: {"top1", "top5", "mean_per_class"} (the last over classes that have images); `confidence`: 95 %
            intervals (Wilson) of
        top1 and top5; `per_class`: name, n, top1 and its interval for each class; `num_images`, `num_classes`.

    Raises:
        UserError: no images, a label out of range, embeddings that are not finite.
    """
    num_images, num_classes = len(image_ND), len(weights_CD)
    labels_N = whole_numbers(labels)
    if not num_images or len(labels_N) != num_images:
        raise UserError("labels", f"{len(labels_N)} labels for {num_images} images", "give one label for each image")
    if int(labels_N.min()) < 0 or int(labels_N.max()) >= num_classes:
        raise UserError(
            "labels",
            f"run from {int(labels_N.min())} to {int(labels_N.max())} with {num_classes} classes",
            "count classes from 0",
        )
    ranks = _ranks(image_ND, labels_N, weights_CD, block).cpu().numpy()
    top1, top5 = float((ranks < 1).mean()), float((ranks < 5).mean())
    per_class = _per_class(ranks < 1, labels_N.numpy(), num_classes, classnames)
    mean_per_class = float(np.mean([row["top1"] for row in per_class if row["n"]]))
    return {
        "metrics": {"top1": top1, "top5": top5, "mean_per_class": mean_per_class},
        "confidence": {"top1": wilson(top1, num_images), "top5": wilson(top5, num_images)},
        "hits": {"top1": packed(ranks < 1), "top5": packed(ranks < 5)},
        "per_class": per_class,
        "num_images": num_images,
        "num_classes": num_classes,
    }


def _ranks(image_ND: Tensor, labels_N: Tensor, weights_CD: Tensor, block: int) -> Tensor:
    """Rank each true class among all, a block of images at a time."""
    weights_CD = exact_unit(weights_CD)
    labels_N = labels_N.to(weights_CD.device)
    parts = []
    for start in range(0, len(image_ND), block):
        logits = exact_unit(image_ND[start : start + block]) @ weights_CD.T
        parts.append(ranks_of_labels(logits, labels_N[start : start + block]))
    return torch.cat(parts)


def _per_class(
    hits: np.ndarray, labels: np.ndarray, num_classes: int, classnames: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Report accuracy by class; a class without images has none."""
    count = np.bincount(labels, minlength=num_classes)
    won = np.bincount(labels, weights=hits, minlength=num_classes)
    rows = []
    for number in range(num_classes):
        n = int(count[number])
        share = float(won[number] / n) if n else None
        row = {"class": number, "n": n, "top1": share, "confidence": wilson(share, n) if share is not None else None}
        rows.append(row if classnames is None else {"name": classnames[number], **row})
    return rows
