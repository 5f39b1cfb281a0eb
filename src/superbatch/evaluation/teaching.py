"""Choose the labelled images for few-shot, linear probe and k-NN: never from the split that is measured.

The set's split `train` where it has one; then the strength of the probe is chosen on `validation`, as CLIP_benchmark
does. Otherwise `validation` teaches, and a part of it chooses. Images that the measured split has as well are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superbatch.evaluation.sets import EvaluationSet

TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True)
class Teaching:
    """The labelled images that teach on a set.

    Attributes:
        train: labelled images.
        choose: other labelled images, which the strength of the probe is chosen on; None where a part of `train` does.
    """

    train: EvaluationSet
    choose: EvaluationSet | None = None

    @property
    def fingerprint(self) -> list[str | None]:
        """Name the images."""
        return [self.train.fingerprint, self.choose.fingerprint if self.choose else None]


def teaching_of(measured: EvaluationSet, sets: Sequence[EvaluationSet]) -> Teaching | None:
    """Find what teaches on a set among all splits of all sets; None for retrieval, or where no other split has labels."""
    if measured.labels is None:
        return None
    splits = {one.split: one for one in sets if one.name == measured.name and one.labels is not None}
    train, validation = (splits.get(split) for split in (TRAIN, VALIDATION))
    usable = [one for one in (train, validation) if one is not None and one.split != measured.split]
    return Teaching(*usable[:2]) if usable else None


def unseen(rows_of: EvaluationSet, measured: EvaluationSet) -> np.ndarray:
    """Say which images of a set the measured one has not (by SHA-256 of their files), bool (N,)."""
    there = set(measured.manifest.column("sha256").to_pylist())
    return np.array([mark not in there for mark in rows_of.manifest.column("sha256").to_pylist()], dtype=bool)
