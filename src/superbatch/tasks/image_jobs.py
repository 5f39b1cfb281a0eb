"""Make a `Job` that trains on images alone, from files and settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.fields import Field, Source, Stored
from superbatch.models import build_model, load_checkpoint, read_metadata
from superbatch.options import LearnerSettings
from superbatch.tasks.cached import given
from superbatch.tasks.charges import charged
from superbatch.tasks.contrastive import IMAGE
from superbatch.tasks.learner import Evaluate, further, model_identity
from superbatch.tasks.momentum_contrast import MomentumContrast
from superbatch.tasks.regression import OWNER, Student
from superbatch.tasks.sets import OpenSets, SetFiles, open_images
from superbatch.tasks.view import View
from superbatch.tasks.views import VIEWS, views_field
from superbatch.training.flops import Spent
from superbatch.training.job import Job


def moclr_job(
    name: str,
    settings: LearnerSettings,
    pool: SetFiles,
    state_root: Path,
    *,
    curated: SetFiles | None = None,
    evaluate: Evaluate | None = None,
    charges: dict[str, Spent] | None = None,
    recipe: Callable[[], Job] | None = None,
    rows: np.ndarray | None = None,
) -> Job:
    """Make the job of a learner that trains on images alone; the arguments are those of `learner.learner_job`.

    Args:
        rows: of the pool, that it draws from, ascending; None: from all.

    Raises:
        UserError: sets, or weights to start from, that are not there.
    """
    moclr = given(settings.moclr, "settings.moclr", "learner.moclr")
    training, selection = settings.training, settings.selection
    files = [pool, given(curated, "curated", "pool.add_curated")] if settings.pool.add_curated else [pool]
    clip = build_model(settings.model, loss=training.loss, batch_size=training.batch_size, seed=training.seed)
    sets = open_pictures(View.of(clip), files)
    identity: dict[str, Any] = {"model": model_identity(settings.model, clip), "sets": sets.fingerprints}
    identity |= {"moclr": moclr} | further(settings) | ({} if rows is None else {"rows": fingerprint(rows.tolist())})
    fields: dict[str, Field] = {IMAGE: sets.image, VIEWS: views_field(training.seed, len(sets.image), 2)}
    return Job(
        name,
        MomentumContrast(clip, training, moclr),
        Source(fields, rows),
        training,
        selection,
        settings.super_batch_size,
        identity,
        state_root,
        evaluate,
        charged(settings, False, charges or {}),
        sets.names,
        recipe,
    )


def student_job(
    name: str,
    settings: LearnerSettings,
    pool: SetFiles,
    state_root: Path,
    teachers: Sequence[Path],
    owner_N: np.ndarray,
    *,
    evaluate: Evaluate | None = None,
    charges: dict[str, Spent] | None = None,
    recipe: Callable[[], Job] | None = None,
) -> Job:
    """Make the job of a student that learns from a base and experts.

    Args:
        name, settings, pool, state_root, evaluate, charges, recipe: as of `learner.learner_job`; of `settings.moclr` views and heads count.
        teachers: checkpoints of the base and of each expert.
        owner_N: the expert that owns each row of the pool, from 0.

    Raises:
        UserError: teachers that are not there, or with another input than the student's.
    """
    moclr, training = given(settings.moclr, "settings.moclr", "dnc.base"), settings.training
    clip = build_model(settings.model, loss=training.loss, batch_size=training.batch_size, seed=training.seed)
    sets = open_pictures(View.of(clip), [pool])
    base, *experts = map(load_checkpoint, teachers)
    identity: dict[str, Any] = {"model": model_identity(settings.model, clip), "sets": sets.fingerprints}
    identity["student"] = {"augment": moclr.augment, "hidden": moclr.hidden}
    identity["teachers"] = [read_metadata(teacher)["weights_sha256"] for teacher in teachers]
    identity["owners"] = fingerprint(owner_N.tolist())
    rows = len(owner_N)
    fields: dict[str, Field] = {IMAGE: sets.image, VIEWS: views_field(training.seed, rows, 1)}
    fields[OWNER] = Stored(Owners(owner_N), rows)
    return Job(
        name,
        Student(clip, training, moclr, base, experts),
        Source(fields),
        training,
        settings.selection,
        settings.super_batch_size,
        identity,
        state_root,
        evaluate,
        charges or {},
        sets.names,
        recipe,
    )


@dataclass(frozen=True)
class Owners:
    """The number of the expert that owns each row, as a field reads it.

    Attributes:
        owner_N: of each row.
    """

    owner_N: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return those of some rows, int64 (n,)."""
        return np.asarray(self.owner_N[rows], np.int64)


def open_pictures(view: View, files: list[SetFiles]) -> OpenSets:
    """Open the pixels of sets in a view; captions are not read."""
    manifests = [one.manifest() for one in files]
    return OpenSets(manifests, open_images(view, manifests, files), [])
