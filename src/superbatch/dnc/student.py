"""The student's job, made from directories: who teaches, who owns which row, and what was spent before."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from superbatch.dnc.clusters import ABOUT
from superbatch.dnc.experts import Divided, expert_models, experts_spent
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.options import LearnerSettings
from superbatch.tasks.image_jobs import student_job
from superbatch.tasks.jobs import make_evaluate
from superbatch.training.flops import Spent
from superbatch.training.job import Job


def build_student(
    name: str, settings: LearnerSettings, given: Divided, base_training: Path, experts: Path, evaluation_sets: Path
) -> Job:
    """Make the student's job; its charges are base, division and experts.

    Args:
        name: of the run.
        settings: of the student.
        given: the divided pool.
        base_training: the base's records. experts: what `train_experts` made.
        evaluation_sets: ingested evaluation sets, looked at during training.

    Raises:
        UserError: other experts than clusters; what `student_job` refuses.
    """
    owner_N, models = given.owners(), expert_models(experts)
    if len(models) != owner_N.max() + 1:
        what = f"has {len(models)} experts, and there are {owner_N.max() + 1} clusters"
        raise UserError(str(experts), what, "run `kedro run --pipeline=dnc` again")
    return student_job(
        name,
        settings,
        given.pool,
        given.state_root,
        [given.base, *models],
        owner_N,
        evaluate=make_evaluate(evaluation_sets, "validation", settings.training.device),
        charges=spent_before(base_training, given.clusters, experts),
        recipe=partial(build_student, name, settings, given, base_training, experts, evaluation_sets),
    )


def spent_before(base_training: Path, clusters: Path, experts: Path) -> dict[str, Spent]:
    """Return what was spent before a student, by name: training the base, dividing the pool, training the experts."""
    base, division = read_json(base_training / "run.json"), read_json(clusters / ABOUT)
    return {
        "base_training": Spent(base["flops"]["as_executed_total"], float(sum(base["seconds"].values()))),
        "dividing": Spent(division["flops"], division["seconds"]),
        "experts": experts_spent(experts),
    }
