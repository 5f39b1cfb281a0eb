"""From files and settings to a `Job` that trains on images alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.fields import Field, Source
from superbatch.models import build_model
from superbatch.options import LearnerSettings
from superbatch.tasks.cached import given
from superbatch.tasks.contrastive import IMAGE
from superbatch.tasks.learner import Evaluate, charged, model_identity
from superbatch.tasks.momentum_contrast import MomentumContrast
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
    identity |= {"moclr": moclr} | ({} if rows is None else {"rows": fingerprint(rows.tolist())})
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


def open_pictures(view: View, files: list[SetFiles]) -> OpenSets:
    """Open the pixels of sets in a view; captions are not read."""
    manifests = [one.manifest() for one in files]
    return OpenSets(manifests, open_images(view, manifests, files), [])
