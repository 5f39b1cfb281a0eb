"""The labels of ingested sets, and what a reference of labels left of each row: its loss.

Legend: N rows of a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.labels import NO_LABEL, are_composed, labels_of_captions
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.evaluation.prompts import classnames_in
from superbatch.files import read_json, shown
from superbatch.models import read_metadata
from superbatch.models.classifier import CLASSNAMES, is_classifier
from superbatch.options import LabelSettings
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.view import preprocessing, shell

LOSSES = "losses.npy"  # in a set's features by a reference of labels: float32 (N,), NaN where a row has no label
LABELS_BY = "labels_by"  # in a classifier's metadata: where its labels came from
EMBED_AGAIN = "run `kedro run --pipelines references` again"


@dataclass(frozen=True)
class Labels:
    """Which class each row of a set is of.

    Attributes:
        classnames: C names, class 0 first.
        by: cls or captions, as of `LabelSettings`.
    """

    classnames: tuple[str, ...]
    by: str

    @classmethod
    def of(cls, settings: LabelSettings) -> Labels:
        """Read the classes.

        Raises:
            UserError: a file that is not there, or is no list of names.
        """
        return cls(classnames_in(Path(settings.classnames)), settings.by)

    @classmethod
    def of_classifier(cls, directory: Path) -> Labels:
        """Return those that a classifier was trained on, by its checkpoint."""
        metadata = read_metadata(directory)
        return cls(tuple(metadata[CLASSNAMES]), metadata[LABELS_BY])

    def identity_on(self, *manifests: Manifest) -> dict[str, str]:
        """Return what of them decides a run's outcome on some sets."""
        found = {"classnames": fingerprint(self.classnames), "by": self.by}
        if self.by == "captions" and not are_composed(chain(self.classnames, *map(Manifest.first_captions, manifests))):
            found["accents"] = "composed"  # they cut words in two before
        return found

    @property
    def about(self) -> dict[str, str]:
        """What a classifier's metadata say of them beside the names."""
        return {LABELS_BY: self.by}

    def rows(self, manifest: Manifest) -> np.ndarray:
        """Return the label of each row, int64 (N,), `NO_LABEL` where it has none.

        Raises:
            UserError: no row has one, or one has a label beyond the classes.
        """
        if self.by == "captions":
            found = labels_of_captions(manifest.first_captions(), self.classnames)
        else:
            found = manifest.labels
            self._check_known(found, manifest)
        if not (found >= 0).any():
            none = "no caption says the name of one class alone" if self.by == "captions" else "no row has a .cls"
            other = "cls" if self.by == "captions" else "captions"
            raise UserError(
                "labels.by", f"{self.by}, and {none} ({shown(manifest.path)})", f"use {other}, or other data"
            )
        return found

    def _check_known(self, found: np.ndarray, manifest: Manifest) -> None:
        beyond = np.flatnonzero(found >= len(self.classnames))
        if len(beyond):
            row = int(beyond[0])
            what = f"names classes 0..{len(self.classnames) - 1}, and {manifest.keys[row]} has label {found[row]}"
            raise UserError("labels.classnames", what, "name the list that the .cls were written by")


def labelled(labels_N: np.ndarray) -> np.ndarray | None:
    """Return the rows that have a label, int64, ascending; None for all."""
    rows = np.flatnonzero(labels_N != NO_LABEL)
    return None if len(rows) == len(labels_N) else rows


def losses_fingerprint(reference_dir: Path, manifest: Manifest, labels: Labels) -> str:
    """Name the losses of a set by reference, preprocessing, set and classes: others are refused."""
    weights = read_metadata(reference_dir)["weights_sha256"]
    return fingerprint(
        ["losses", weights, preprocessing(shell(reference_dir)), manifest.fingerprint, labels.identity_on(manifest)]
    )


class RowLosses:
    """The reference's loss of each row, memory-mapped; sent to worker processes by its path.

    Args:
        features: of the set by a reference of labels.
    """

    def __init__(self, features: Path) -> None:
        self.features = features
        self._losses_N = np.load(features / LOSSES, mmap_mode="r")

    def __reduce__(self) -> tuple[type[RowLosses], tuple[Path]]:
        return RowLosses, (self.features,)

    def __len__(self) -> int:
        return len(self._losses_N)

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the losses of some rows, float32 (n,)."""
        return np.array(self._losses_N[rows])


def open_losses(features: Path | None, reference_dir: Path, manifest: Manifest, labels: Labels) -> RowLosses:
    """Open the losses that a reference of labels left of a set.

    Raises:
        UserError: there are none, or they are of another reference, set or classes.
    """
    if features is None or not (features / LOSSES).is_file():
        what = "the pool has no losses of a reference of labels"
        raise UserError(
            "learner.reference", what, "name one that has labels, such as reference_labels, and run `references`"
        )
    if not is_classifier(reference_dir):
        raise UserError("learner.reference", "was trained on pairs, and labels are set", "name one that has labels")
    made: dict[str, Any] = read_json(features / "features.json")
    if made.get("fingerprint") != losses_fingerprint(reference_dir, manifest, labels):
        raise UserError(str(shown(features)), "losses of another reference, set or classes", EMBED_AGAIN)
    return RowLosses(features)


def drawn_rows(settings: LabelSettings, sets: Sequence[SetFiles]) -> int:
    """Return how many rows of some sets have a label.

    Raises:
        UserError: as `Labels.of` and `Labels.rows`.
    """
    labels = Labels.of(settings)
    return sum(int((labels.rows(one.manifest()) != NO_LABEL).sum()) for one in sets)
