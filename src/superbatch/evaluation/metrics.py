"""Which metrics a kind of evaluation set has, by name: known before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from superbatch.evaluation.prompts import classnames_file
from superbatch.evaluation.sets import CLASSIFICATION, RETRIEVAL, TYPE_FILE

HEADLINE = "headline"  # the mean over the sets' main metrics
METRICS = {
    CLASSIFICATION: ("top1", "top5", "mean_per_class"),
    RETRIEVAL: tuple(f"{way}_r{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)),
}


def metrics_of(roots: Mapping[str, Path], learned: Sequence[str] = ()) -> list[str]:
    """Return the metrics that sets can have, as `<set>/<metric>`, and the headline.

    Args:
        roots: folder of each set by name; of one that is not there yet, or does not say what kind it is, those of all kinds.
        learned: what classification sets have besides (`learned.learned_metrics`).
    """
    kinds = {name: _kind(root) for name, root in roots.items()}
    metrics = METRICS | {CLASSIFICATION: (*METRICS[CLASSIFICATION], *learned)}
    found = [f"{name}/{metric}" for name, kind in kinds.items() for one in kind for metric in metrics[one]]
    return [*found, HEADLINE]


def _kind(root: Path) -> list[str]:
    """The kinds that a set may be of, by the files beside its splits."""
    written = root / TYPE_FILE
    kind = written.read_text(encoding="utf-8-sig").strip().lower() if written.is_file() else ""
    if kind in METRICS:
        return [kind]
    return [CLASSIFICATION] if classnames_file(root) else list(METRICS)
