"""Curated pairs that a reference was not trained on: they show how good it is, and how a true pair scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.curation.held_out import MOST, held_out_rows
from superbatch.data.embeddings import cosines
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.options import LowSettings
from superbatch.tasks.cached import open_cache
from superbatch.tasks.reference import FIRST, HELD_OUT, TRAINED_ON
from superbatch.tasks.sets import SetFiles


@dataclass(frozen=True)
class Trusted:
    """A reference with the curated set that it was trained on, or by which it is measured where it saw none.

    Attributes:
        model, training: its checkpoint and its records, which say what it was trained on.
        curated: the ingested set.
    """

    model: Path
    training: Path
    curated: Manifest

    def check_curated(self) -> None:
        """Refuse another curated set than the one that the reference was trained on, or on whose enlarged one; any serves where it saw none.

        Raises:
            UserError: just that.
        """
        ours, settings = [self.curated.fingerprint], self._settings
        if TRAINED_ON in settings:
            return
        second = FIRST in settings
        if ([settings[FIRST]] if second else settings.get("sets", ours)) != ours:
            what = f"the reference was trained on another curated set than {self.curated.path}"
            stage = "bootstrap" if second else "reference"
            raise UserError(str(self.model), what, f"run `kedro run --pipelines {stage}` again")

    @property
    def _settings(self) -> dict[str, Any]:
        return dict(read_json(self.training / "run.json")["settings"])

    @property
    def imported(self) -> bool:
        """Whether it was not trained here."""
        return "imported_from" in self._settings

    @property
    def saw_none(self) -> bool:
        """Whether it was trained on none of the curated pairs: it was imported, or trained on the pool."""
        return self.imported or TRAINED_ON in self._settings

    @property
    def held_out(self) -> int:
        """Pairs of the curated set that it was not trained on and that are measured: where it saw none all, as far as they are needed."""
        return min(MOST, len(self.curated)) if self.saw_none else int(self._settings.get(HELD_OUT, 0))

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the curated set that are measured as held out, and those that the reference was trained on; int64, ascending."""
        held = held_out_rows(self.curated.column("sha256").to_pylist(), self.held_out)
        seen = np.setdiff1d(np.arange(len(self.curated)), held)
        return held, seen[:0] if self.saw_none else seen


def held_out_scores(curated: SetFiles, model: Path, training: Path, low: LowSettings | None = None) -> np.ndarray:
    """Return the cosine of image and caption, float (H,), of the curated pairs that a reference was not trained on.

    Args:
        curated: the ingested set with its features. model, training: the reference's checkpoint and records.
        low: the view in which it saw the images; None: full.

    Raises:
        UserError: the reference was trained on another set, or the features are another reference's, or there are none.
    """
    manifest = curated.manifest()
    trusted = Trusted(model, training, manifest)
    trusted.check_curated()
    if curated.features is None:
        raise UserError("embed", "the curated set has no embeddings", "run `kedro run --pipelines embed` first")
    cache, (rows, _) = open_cache(curated.features, model, manifest, low), trusted.split()
    return cosines(cache.images(rows).astype(np.float32), cache.texts(rows).astype(np.float32))
