"""The reference: trained on the curated set, or any open_clip checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged, build_once
from superbatch.bounds import require
from superbatch.curation.held_out import held_out_count, held_out_rows
from superbatch.data.fields import Source
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.models import checkpoint_directory, load_checkpoint, pick_device, read_metadata, save_checkpoint
from superbatch.models.classifier import is_classifier
from superbatch.models.cost import count_forward
from superbatch.models.headed import is_image_only
from superbatch.options import SECOND, ReferenceSettings, SelectionSettings, check_shard
from superbatch.tasks.calibrate import calibrate
from superbatch.tasks.held_out import settled, telling, with_held_out
from superbatch.tasks.learner import Evaluate, added_fields, build, contrastive_task
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.view import preprocessing, shell
from superbatch.training.flops import Forwards
from superbatch.training.job import STATE_FORMAT, Job
from superbatch.training.summary import import_summary

HELD_OUT = "held_out"  # in a run's identity: how many rows of the curated set it did not see; nothing where it saw all
FIRST = "first_curated"  # in a second reference's: the curated set that was enlarged
TRAINED_ON = "trained_on"  # in that of a reference that was trained on another set than the curated one: which


def reference_job(
    settings: ReferenceSettings,
    curated: SetFiles,
    state_root: Path,
    *,
    evaluate: Evaluate | None = None,
    recipe: Callable[[], Job] | None = None,
    first: Manifest | None = None,
    name: str = "reference",
) -> Job:
    """Make the job that trains the reference uniformly on the curated set, without the rows that are held out; these may say when to end.

    Args:
        settings: of the reference.
        curated: the curated set, or what it is trained on in its place (`trained_on`).
        state_root: folder of the runs' states.
        evaluate: called at intervals.
        recipe: makes the job anew in another process.
        first: of a second reference: the curated set whose enlarged one it is trained on. Pairs of it are held out; they are the first rows.
        name: of the run; a second reference has its own.

    Raises:
        UserError: labels, which are for `label_jobs.label_reference_job`.
    """
    labels = "are set, and this job is of image-text pairs"
    require(settings.labels is None, "reference.labels", labels, "make it with label_reference_job")
    uniform, manifest = SelectionSettings(), curated.manifest()
    _, held_out = split_rows(manifest if first is None else first, settings.held_out)
    rows = np.setdiff1d(np.arange(len(manifest)), held_out, assume_unique=True)
    measured = telling(manifest, held_out)
    training = settled(settings.training, measured)
    built = build(settings.model, training, uniform, [curated], state_root)
    identity = built.identity | ({HELD_OUT: len(held_out)} if len(held_out) else {})
    identity |= {} if settings.flexi is None else {"flexi": settings.flexi}
    identity |= {} if first is None else {FIRST: first.fingerprint}
    identity |= {} if settings.trained_on == "curated" else {TRAINED_ON: settings.trained_on}
    task = contrastive_task(built, training, uniform, settings.flexi)
    fields = built.fields | added_fields(task, built, [curated], built.fields, training.seed)
    return Job(
        name if first is None else SECOND,
        task,
        Source(fields, rows if len(held_out) else None),
        training,
        uniform,
        training.batch_size,
        identity,
        state_root,
        with_held_out(evaluate, manifest, measured, training.device),
        names=built.sets.names,
        recipe=recipe,
    )


def split_rows(manifest: Manifest, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Split the curated set into the rows that the reference is trained on and those that are held out, int64, ascending.

    Args:
        manifest: of the curated set.
        share: to hold out (`reference.held_out`); `curation.held_out` says which.
    """
    count = held_out_count(len(manifest), share)
    held = held_out_rows(manifest.column("sha256").to_pylist(), count) if count else np.arange(0)
    return np.setdiff1d(np.arange(len(manifest)), held, assume_unique=True), held


def check_reference(settings: ReferenceSettings, rows: int, held_out: int = 0) -> None:
    """Refuse a batch that is larger than the pairs it is drawn from, and models that can't be cut; an imported reference draws none.

    Args:
        rows: of the curated set, that the reference is trained on.
        held_out: the other rows of the curated set, for the message.

    Raises:
        UserError: just that.
    """
    check_shard(settings)
    batch = settings.training.batch_size
    if settings.import_from is None and batch > rows:
        rest = f" that are not held out ({held_out:,} are)" if held_out else ""
        pairs = "pairs" if settings.labels is None else "labelled images"
        what = f"{batch:,} {pairs} are more than the {rows:,} of the curated set{rest}"
        raise UserError("reference.training.batch_size", what, f"lower it, or curate more {pairs}")


def import_reference(
    settings: ReferenceSettings,
    curated: SetFiles,
    stages_root: Path,
    evaluate: Evaluate,
    called: str = "reference",
    judged_on: str = "",
) -> tuple[Staged, Staged]:
    """Make any open_clip checkpoint, or one of its names (`hub`), the reference: its weights, with a scale and bias that fit the loss.

    A checkpoint trained with the softmax loss has no bias, so the sigmoid loss of its pairs means nothing; scale and bias are then
    fitted to the curated set (see `calibrate`).

    Args:
        settings: with `import_from`. curated: ingested. stages_root: of stages' work. evaluate: the validation.
        called: the reference's name. judged_on: what names the sets that `evaluate` looks at, whose metrics are in the record.

    Returns:
        The checkpoint and a record without steps, as `train` would leave them.

    Raises:
        UserError: a checkpoint of our own that was trained on labels or on images alone.
    """
    named = str(settings.import_from)
    source = checkpoint_directory(named)
    if is_classifier(source) or is_image_only(source):
        what = f"{named} was trained without texts, so it says nothing about pairs"
        raise UserError(f"{called}.import_from", what, "name a checkpoint of image-text pairs")
    weights = read_metadata(source)["weights_sha256"]
    manifest = curated.manifest()
    view = preprocessing(shell(source))
    name = fingerprint(["import", STATE_FORMAT, weights, view, settings.training.loss, manifest.fingerprint])

    def write_model(out: Path) -> None:
        clip = load_checkpoint(source)
        metadata: dict[str, Any] = {"run": called, "run_hash": name, "imported_from": named}
        if settings.training.loss == "sigmoid" and getattr(clip.model, "logit_bias", None) is None:
            metadata["calibrated"] = calibrate(clip, manifest, settings.training)
        save_checkpoint(out, clip, metadata, imported=True)

    model = build_once(called, f"{name}-model", stages_root, write_model)

    def write_record(out: Path) -> None:
        clip = load_checkpoint(model.path)
        clip.model.to(pick_device(settings.training.device))
        cost = count_forward(clip)
        forwards = Forwards({"reference": cost.total}, views={"image": cost.image, "text": cost.text})
        write_json(out / "run.json", import_summary(forwards, name, weights, named, evaluate(clip)))

    record = fingerprint([name, judged_on]) if judged_on else name
    return model, build_once(f"{called} record", f"{record}-training", stages_root, write_record)
