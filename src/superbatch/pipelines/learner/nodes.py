"""Nodes of the stage `learner`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.artifacts.stamps import Staged
from superbatch.config import Storage, learner_settings, read


def check_learner(
    method: str, pool: Path, curated: Path, template: dict[str, Any], override: dict[str, Any] | None
) -> str:
    """Refuse what a learner's training would refuse, before anything is trained for it: sizes, and files of its model.

    Args:
        method: the run's name, bound by the pipeline.
        pool, curated: ingested sets.
        template, override: as for `train_learner`.

    Returns:
        A line; it puts trainings behind the check.
    """
    from superbatch.tasks.learner import check_sizes
    from superbatch.tasks.sets import SetFiles

    check_sizes(learner_settings(template, override, method), SetFiles(pool), SetFiles(curated))
    return f"{method}: the settings fit the sets"


def train_learner(
    method: str,
    pool: Path,
    pool_features: Path,
    curated: Path,
    curated_features: Path,
    reference_model: Path,
    reference_training: Path,
    evaluation_sets: Path,
    template: dict[str, Any],
    override: dict[str, Any] | None,
    storage: dict[str, Any],
    reference_check: Path | None = None,
    decisions: Path | None = None,
    teacher_features: Path | None = None,
    teacher_model: Path | None = None,
    teacher_training: Path | None = None,
    checked: str = "",
) -> tuple[Staged, Staged]:
    """Train a method's learner, or find that this very run is finished.

    Args:
        method: the run's name, bound by the pipeline.
        pool, pool_features, curated, curated_features: ingested sets and their features.
        reference_model, reference_training: the reference's checkpoint (warm start) and records (its cost).
        evaluation_sets: looked at during training (validation).
        template: `params:learner`; override: `params:<method>.learner` (see `config.learner_settings`).
        storage: `params:storage`.
        reference_check: what the check found of the reference, for the run's record; None where it was not checked.
        decisions: what `curate` decided of the pool, for `pool.curated_by`.
        teacher_features, teacher_model, teacher_training: what a teacher that is not the reference has of the pool, its checkpoint and its
            records, for `distill.teacher`.
        checked: that the settings were checked (`check_learner`): an edge.

    Returns:
        The checkpoint and the run's records.
    """
    from superbatch.tasks.jobs import Directories, build_learner
    from superbatch.training import train_once

    places = read(Storage, storage, "storage")
    given = Directories(
        pool,
        pool_features,
        curated,
        curated_features,
        reference_model,
        reference_training,
        evaluation_sets,
        Path(places.state),
        reference_check,
        decisions,
        teacher_features,
        teacher_model,
        teacher_training,
    )
    job = build_learner(method, learner_settings(template, override, method), given)
    return train_once(job, Path(places.stages), prepare=use_project_logging)


def use_project_logging() -> None:
    """Apply conf/logging.yml, in a rank that Kedro did not start."""
    from kedro.framework.project import LOGGING  # noqa: F401  # importing it is what applies it
