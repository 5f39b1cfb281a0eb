"""Make jobs from directories: for pipelines, benchmarks and library users."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from superbatch.evaluation.run import Evaluator
from superbatch.evaluation.store import fingerprint_of_sets
from superbatch.models import ClipModel
from superbatch.options import FlexiSettings, LearnerSettings, ReferenceSettings
from superbatch.tasks.charges import charges, teacher_charges
from superbatch.tasks.check import said
from superbatch.tasks.flexi import with_low
from superbatch.tasks.held_out import ON_HELD_OUT
from superbatch.tasks.image_jobs import moclr_job
from superbatch.tasks.label_jobs import label_job, label_reference_job
from superbatch.tasks.learner import Evaluate, learner_job
from superbatch.tasks.reference import reference_job
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.teacher import Teacher
from superbatch.tasks.trusted import held_out_scores
from superbatch.training.distributed import ranks_met
from superbatch.training.job import Job


@dataclass(frozen=True)
class Directories:
    """The directories that a learner run reads.

    Attributes:
        pool, curated: ingested sets; `pool_features`, `curated_features`: their features.
        reference_model, reference_training: the reference's checkpoint and records.
        evaluation_sets: ingested evaluation sets.
        state_root: folder of training states.
        reference_check: what the check found of the reference; None where it was not checked.
        decisions: what the stage `curate` decided of the pool; None where nobody asks.
        teacher_features, teacher_model, teacher_training: what a teacher that is not the reference has of the pool, its checkpoint and records;
            None without one.
    """

    pool: Path
    pool_features: Path
    curated: Path
    curated_features: Path
    reference_model: Path
    reference_training: Path
    evaluation_sets: Path
    state_root: Path
    reference_check: Path | None = None
    decisions: Path | None = None
    teacher_features: Path | None = None
    teacher_model: Path | None = None
    teacher_training: Path | None = None

    def teacher(self, name: str | None) -> Teacher | None:
        """The teacher of this name, which is not the reference; None without one."""
        model, training, features = self.teacher_model, self.teacher_training, self.teacher_features
        if name is None or model is None or training is None or features is None:
            return None
        return Teacher(name, model, training, features)

    @property
    def pool_set(self) -> SetFiles:
        """The pool with its features."""
        return SetFiles(self.pool, self.pool_features)

    @property
    def curated_set(self) -> SetFiles:
        """The curated set with its features."""
        return SetFiles(self.curated, self.curated_features)


def build_learner(name: str, settings: LearnerSettings, given: Directories) -> Job:
    """Make the job of a learner run; its charges are those of the reference and of embedding the pool."""
    return _judged(_learner(name, settings, given), given.evaluation_sets)


def _learner(name: str, settings: LearnerSettings, given: Directories) -> Job:
    curated = given.curated_set
    evaluate = _evaluate(settings.flexi, given.evaluation_sets, settings.training.device)
    spent = charges(given.reference_training, given.pool_features, settings.reference_view)
    teacher = given.teacher(settings.teacher)
    spent |= {} if teacher is None else teacher_charges(teacher)
    recipe = partial(build_learner, name, settings, given)
    if settings.moclr is not None:
        return moclr_job(
            name,
            settings,
            given.pool_set,
            given.state_root,
            curated=curated,
            evaluate=evaluate,
            charges=spent,
            recipe=recipe,
        )
    if settings.labels is not None:
        return label_job(
            name,
            settings,
            given.pool_set,
            given.state_root,
            curated=curated,
            reference_dir=given.reference_model,
            evaluate=evaluate,
            charges=spent,
            recipe=recipe,
        )
    return learner_job(
        name,
        settings,
        given.pool_set,
        given.state_root,
        curated=curated,
        reference_dir=given.reference_model,
        evaluate=evaluate,
        charges=spent,
        remarks=remarks(settings, given),
        recipe=recipe,
        known=partial(
            held_out_scores, curated, given.reference_model, given.reference_training, settings.reference_view
        ),
        decisions=given.decisions,
        teacher=teacher,
    )


def build_reference(
    settings: ReferenceSettings,
    curated: Path,
    evaluation_sets: Path,
    state_root: Path,
    first: Path | None = None,
    name: str = "reference",
) -> Job:
    """Make the job that trains a reference, by its name; a second one where `curated` is what became of the `first` curated set."""
    evaluate = _evaluate(settings.flexi, evaluation_sets, settings.training.device)
    recipe = partial(build_reference, settings, curated, evaluation_sets, state_root, first, name)
    files = SetFiles(curated)
    if settings.labels is not None:
        job = label_reference_job(settings, files, state_root, evaluate=evaluate, recipe=recipe, name=name)
    else:
        before = None if first is None else SetFiles(first).manifest()
        job = reference_job(settings, files, state_root, evaluate=evaluate, recipe=recipe, first=before, name=name)
    return _judged(job, evaluation_sets)


def _judged(job: Job, evaluation_sets: Path) -> Job:
    """Let the validation sets count in the run hash, where they decide which checkpoint is kept."""
    kept = job.training.keep_best
    if kept is None or kept.startswith(ON_HELD_OUT):
        return job
    return replace(job, identity=job.identity | {"validation": fingerprint_of_sets(evaluation_sets, "validation")})


def _evaluate(flexi: FlexiSettings | None, evaluation_sets: Path, device: str) -> Evaluate:
    """Return the validation that a training calls: at full view, and of a model with a low view at low too."""
    evaluate = make_evaluate(evaluation_sets, "validation", device)
    if flexi is None:
        return evaluate
    same_pixels = flexi.low.image_size is None
    at_low = evaluate if same_pixels else make_evaluate(evaluation_sets, "validation", device)
    return with_low(evaluate, at_low, flexi.low)


def make_evaluate(evaluation_sets: Path, split: str, device: str = "auto") -> Evaluate:
    """Return the callback that the loop calls: metrics by name of a split; sets are read once, on first use.

    In a training of several ranks all call it, and share the embedding.
    """
    cache: list[Evaluator] = []

    def evaluate(clip: ClipModel) -> dict[str, float]:
        if not cache:
            cache.append(Evaluator.for_model(evaluation_sets, clip, device, split=split, ranks=ranks_met()))
        return dict(cache[0].evaluate(clip.model, split)["metrics"])

    return evaluate


def remarks(settings: LearnerSettings, given: Directories) -> dict[str, Any]:
    """What the record of a run that uses the reference says of it: the verdict of its check, if it was checked."""
    if not settings.uses_reference or given.reference_check is None:
        return {}
    found = said(given.reference_check, given.reference_model)
    return {} if found is None else {"reference_check": found}
