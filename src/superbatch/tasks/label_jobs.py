"""Make a `Job` that trains on labels, a learner's or the reference's, from files and settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.data.fields import Field, Source, Stored
from superbatch.data.manifest import Manifest
from superbatch.models import build_model
from superbatch.models.classifier import Classifier
from superbatch.options import (
    LabelSettings,
    LearnerSettings,
    ModelSettings,
    PoolSettings,
    ReferenceSettings,
    SelectionSettings,
    TrainingSettings,
    check_added,
)
from superbatch.tasks.cached import given, reference_identity
from superbatch.tasks.charges import charged
from superbatch.tasks.classact import LABEL, REFERENCE_LOSS, ClassAct
from superbatch.tasks.contrastive import IMAGE
from superbatch.tasks.held_out import TOP1, settled, with_held_out_top1
from superbatch.tasks.labels import Labels, labelled, open_losses
from superbatch.tasks.learner import Evaluate, further, model_identity
from superbatch.tasks.proxy import build_proxy
from superbatch.tasks.reference import HELD_OUT, TRAINED_ON, split_rows
from superbatch.tasks.sets import OpenSets, SetFiles, open_images
from superbatch.tasks.view import View
from superbatch.training.flops import Spent
from superbatch.training.job import Job, deciding


@dataclass(frozen=True)
class Built:
    """Models and sets of a job.

    Attributes:
        task: with its models' starting weights.
        sets: opened in their view, but for texts, which nobody reads.
        labels: their classes; label_N: of each row, `NO_LABEL` where it has none.
        identity: what of all this decides the outcome.
    """

    task: ClassAct
    sets: OpenSets
    labels: Labels
    label_N: np.ndarray
    identity: dict[str, Any]

    @property
    def fields(self) -> dict[str, Field]:
        """What can be read of the sets."""
        return {IMAGE: self.sets.image, LABEL: Stored(self.label_N.__getitem__, len(self.label_N))}


def build(
    model: ModelSettings,
    settings: LabelSettings,
    training: TrainingSettings,
    selection: SelectionSettings,
    files: Sequence[SetFiles],
) -> Built:
    """Build the models of a job and open its sets.

    Raises:
        UserError: a proxy that does not see what the learner sees; sets without labels, or with others.
    """
    labels, seed = Labels.of(settings), training.seed
    clip = build_model(model, loss=training.loss, batch_size=training.batch_size, seed=seed)
    manifests = [one.manifest() for one in files]
    sets = OpenSets(manifests, open_images(View.of(clip), manifests, files), [])
    identity = {"model": model_identity(model, clip), "sets": sets.fingerprints}
    identity |= {"labels": {**labels.identity_on(*manifests), "smoothing": settings.smoothing}}
    learner, proxy = Classifier(clip, labels.classnames, model.init_logit_scale, seed), None
    if selection.proxy is not None:
        small = build_proxy(selection.proxy, clip, training, model.config)
        identity["proxy"] = model_identity(selection.proxy, small)
        proxy = Classifier(small, labels.classnames, selection.proxy.init_logit_scale, seed)
    task = ClassAct(learner, training, selection, settings.smoothing, proxy, labels.about)
    return Built(task, sets, labels, np.concatenate([labels.rows(one) for one in manifests]), identity)


def label_job(
    name: str,
    settings: LearnerSettings,
    pool: SetFiles,
    state_root: Path,
    *,
    reference_dir: Path | None = None,
    curated: SetFiles | None = None,
    evaluate: Evaluate | None = None,
    charges: dict[str, Spent] | None = None,
    recipe: Callable[[], Job] | None = None,
) -> Job:
    """Make the job of a learner that trains on labels; the arguments are those of `learner.learner_job`.

    Rows without a label are not drawn.

    Raises:
        UserError: what does not fit: sets, labels, reference, proxy.
    """
    check_added(settings)
    labels = given(settings.labels, "settings.labels", "learner.labels")
    training, selection = settings.training, settings.selection
    files = [pool, given(curated, "curated", "pool.add_curated")] if settings.pool.add_curated else [pool]
    built = build(settings.model, labels, training, selection, files)
    identity, fields = built.identity, built.fields
    identity |= {"pool": deciding(settings.pool, PoolSettings()), "warm_start": settings.warm_start}
    identity |= further(settings)
    if selection.uses_reference:
        directory = given(reference_dir, "reference_dir", "selection")
        losses = open_losses(pool.features, directory, built.sets.manifests[0], built.labels)
        fields |= {REFERENCE_LOSS: Stored(losses.of_rows, len(losses))}
        identity |= reference_identity(directory)
    return Job(
        name,
        built.task,
        Source(fields, labelled(built.label_N)),
        training,
        selection,
        settings.super_batch_size,
        identity,
        state_root,
        evaluate,
        charged(settings, selection.uses_reference, charges or {}),
        built.sets.names,
        recipe,
    )


def label_reference_job(
    settings: ReferenceSettings,
    curated: SetFiles,
    state_root: Path,
    *,
    evaluate: Evaluate | None = None,
    recipe: Callable[[], Job] | None = None,
    name: str = "reference_labels",
) -> Job:
    """Make the job that trains a reference of labels uniformly on the curated set, without the rows that are held out.

    Arguments as of `reference.reference_job`.
    """
    labels = given(settings.labels, "settings.labels", "reference.labels")
    uniform, manifest = SelectionSettings(), curated.manifest()
    rows, held_out = labelled_rows(settings, manifest)
    training = settled(settings.training, held_out, TOP1)
    built = build(settings.model, labels, training, uniform, [curated])
    identity = built.identity | ({HELD_OUT: len(held_out)} if len(held_out) else {})
    identity |= {} if settings.trained_on == "curated" else {TRAINED_ON: settings.trained_on}
    return Job(
        name,
        built.task,
        Source(built.fields, rows),
        training,
        uniform,
        training.batch_size,
        identity,
        state_root,
        with_held_out_top1(evaluate, manifest, held_out, built.label_N[held_out], training.device),
        names=built.sets.names,
        recipe=recipe,
    )


def labelled_rows(settings: ReferenceSettings, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Split the labelled rows of the curated set into those that a reference is trained on and those that are held out, int64, ascending."""
    labels = given(settings.labels, "settings.labels", "reference.labels")
    label_N = Labels.of(labels).rows(manifest)
    trained, held_out = (rows[label_N[rows] >= 0] for rows in split_rows(manifest, settings.held_out))
    return trained, held_out
