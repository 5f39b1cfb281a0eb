"""One learner run from files to files: what the learner node, `compare` and the benchmarks have in common."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superbatch.artifacts.stamps import Staged, find_stage, write_stamp
from superbatch.files import read_json

if TYPE_CHECKING:
    from superbatch.models import ClipModel
    from superbatch.options import LearnerSettings, ReferenceSettings
    from superbatch.tasks.learner import Evaluate
    from superbatch.training import Job

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """The directories that a learner run reads.

    Attributes:
        pool, curated: ingested sets; `pool_features`, `curated_features`: their features.
        reference_model, reference_training: the reference's checkpoint and records.
        evaluation_sets: ingested evaluation sets.
        state_root: folder of training states; `stages_root`: of staged directories.
    """

    pool: Path
    pool_features: Path
    curated: Path
    curated_features: Path
    reference_model: Path
    reference_training: Path
    evaluation_sets: Path
    state_root: Path
    stages_root: Path


def finished(job: Job, stages_root: Path, fresh: bool) -> tuple[Staged, Staged] | None:
    """Return checkpoint and records of a finished run hash, if both stand: published, or still in its state folder."""
    model = find_stage(f"{job.run_hash}-model", stages_root, job.state_dir / "final")
    training = find_stage(f"{job.run_hash}-training", stages_root, job.state_dir / "training")
    if fresh or model is None or training is None:
        return None
    log.info("%s: up to date (run hash %s)", job.name, job.run_hash)
    return model, training


def train_staged(job: Job, stages_root: Path) -> tuple[Staged, Staged]:
    """Train a job unless its hash is finished; returns checkpoint and records as staged directories."""
    from superbatch.training.distributed import ranks_here

    done = finished(job, stages_root, job.training.fresh)
    if done is not None:
        model, training = (replace(staged, elsewhere=not ranks_here().is_first) for staged in done)
        return model, training
    first = _train(job)
    names = (("model", job.state_dir / "final"), ("training", job.state_dir / "training"))
    model, training = (Staged(path, f"{job.run_hash}-{name}", stages_root, elsewhere=not first) for name, path in names)
    if first:
        for staged in (model, training):
            write_stamp(staged.path, staged.fingerprint)
        # The run is finished: its checkpoint and records are all that is needed.
        for state in [*job.state_dir.glob("step-*"), *job.state_dir.glob("best")]:
            shutil.rmtree(state)
    return model, training


def _train(job: Job) -> bool:
    """Train here, or in processes of this machine where the settings ask for several; returns whether rank 0 was among them."""
    from superbatch.training import train
    from superbatch.training.distributed import ranks_here

    settings, here = job.training, ranks_here()
    if here.world > 1 or settings.processes * settings.machines == 1:
        train(job)
        return here.is_first
    from superbatch.training.launch import Processes, launch

    assert job.recipe is not None, "the pipelines know how to make their jobs anew"
    where = Processes(settings.processes, settings.machines, settings.rendezvous, job.run_hash)
    return launch(partial(train_rank, job.recipe), where)


def train_rank(recipe: Callable[[], Job]) -> None:
    """Be one rank of a training, in a process that knows nothing yet."""
    from kedro.framework.project import LOGGING  # noqa: F401  # applies conf/logging.yml

    from superbatch.training import train

    train(recipe())


def make_evaluate(evaluation_sets: Path, split: str, device: str = "auto") -> Evaluate:
    """Return the callback that the loop calls: metrics by name of a split; sets are read once, on first use."""
    cache: dict[str, Any] = {}

    def evaluate(clip: ClipModel) -> dict[str, float]:
        from superbatch.evaluation.run import Evaluator, flat_metrics

        if "evaluator" not in cache:
            cache["evaluator"] = Evaluator.for_model(evaluation_sets, clip, split=split)
        return flat_metrics(cache["evaluator"].evaluate(clip.model, split))

    return evaluate


def build_job(name: str, settings: LearnerSettings, inputs: Inputs) -> Job:
    """Make the job of a learner run; charges are those of the reference and of embedding the pool."""
    from superbatch.tasks import SetFiles, learner_job

    return learner_job(
        name,
        settings,
        SetFiles(inputs.pool, inputs.pool_features),
        SetFiles(inputs.curated, inputs.curated_features),
        inputs.reference_model,
        inputs.state_root,
        make_evaluate(inputs.evaluation_sets, "validation", settings.training.device),
        charges(inputs),
        partial(build_job, name, settings, inputs),
    )


def build_reference(settings: ReferenceSettings, curated: Path, evaluation_sets: Path, state_root: Path) -> Job:
    """Make the job that trains the reference."""
    from superbatch.tasks import SetFiles, reference_job

    evaluate = make_evaluate(evaluation_sets, "validation", settings.training.device)
    recipe = partial(build_reference, settings, curated, evaluation_sets, state_root)
    return reference_job(settings, SetFiles(curated), state_root, evaluate, recipe)


def charges(inputs: Inputs) -> dict[str, float]:
    """FLOPs that an honest account adds to a run that uses the reference: training it, embedding the pool with it."""
    spent = {}
    summary = inputs.reference_training / "run.json"
    if summary.is_file():
        spent["reference_training"] = float(read_json(summary)["flops"]["as_executed_total"])
    embedded = inputs.pool_features / "features.json"
    if embedded.is_file():
        spent["embedding"] = float(read_json(embedded)["flops"])
    return spent
