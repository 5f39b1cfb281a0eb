"""The checkpoint with the best validation value, kept beside the last one."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from superbatch.artifacts.atomic import atomic_directory, write_json
from superbatch.artifacts.fingerprints import file_digests, file_sha256
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.models import read_metadata
from superbatch.training.job import Job

log = logging.getLogger(__name__)
BEST = "best"  # in the run's state, and in the finished checkpoint
RECORD = "best.json"  # in it: the value, and the SHA-256 of its files


def keep_best(job: Job, step: int, metrics: dict[str, float]) -> None:
    """Save the model as the best so far, where `training.keep_best` names a metric and no earlier value was as high (`training.tolerance`).

    A run that is killed and goes back to a checkpoint meets the same values again, so the folder may be ahead of it.

    Raises:
        UserError: a metric that is not among those evaluated.
    """
    name, directory = job.training.keep_best, job.state_dir / BEST
    if name is None:
        return
    if name not in metrics:
        raise UserError("training.keep_best", f"{name!r} is not evaluated", f"evaluated: {', '.join(sorted(metrics))}")
    highest = _record(directory)["highest"]
    if _is_better(metrics[name], highest, job.training.tolerance):
        found = {"run": job.name, "run_hash": job.run_hash, "steps": step, "metric": name, "value": metrics[name]}
        record = {"value": metrics[name], "highest": max(highest, metrics[name])}
        with atomic_directory(directory) as temporary:
            job.task.save(temporary, found)
            write_json(temporary / RECORD, record | {"files": file_digests(temporary)})


def _record(directory: Path) -> dict[str, Any]:
    file = directory / RECORD
    found = read_json(file) if file.is_file() else {"value": -math.inf, "files": {}}
    return {"highest": found["value"]} | found


def _is_better(value: float, highest: float, tolerance: float) -> bool:
    """Whether a value replaces those before it: it is above all of them, or within the tolerance of their highest."""
    return value > highest if tolerance == 0 else value >= highest - tolerance


def _best(values: np.ndarray, tolerance: float) -> int:
    """Return which of some values, in order, is the best: the last one that replaced those before it."""
    highest, best = -math.inf, 0
    for place, value in enumerate(values):
        if _is_better(value, highest, tolerance):
            best = place
        highest = max(highest, value)
    return best


def waited_enough(job: Job, evaluations: pa.Table) -> bool:
    """Whether the last `training.patience` evaluations brought nothing better than the one before them; a pure function of the record."""
    values = _of_metric(job, evaluations)["value"].to_numpy()
    return 0 < job.training.patience < len(values) - _best(values, job.training.tolerance)


def best_step(job: Job, evaluations: pa.Table) -> int:
    """Return after how many steps the metric of `training.keep_best` was best."""
    return int(_best_row(job, evaluations)["step"])


def _of_metric(job: Job, evaluations: pa.Table) -> pa.Table:
    return evaluations.filter(pc.equal(evaluations["name"], job.training.keep_best or ""))


def _best_row(job: Job, evaluations: pa.Table) -> dict[str, Any]:
    """The best evaluation of the metric of `training.keep_best`: its step and its value, None of both where nothing was evaluated."""
    found = _of_metric(job, evaluations)
    if not len(found):
        return {"step": None, "value": None}
    return dict(found.slice(_best(found["value"].to_numpy(), job.training.tolerance), 1).to_pylist()[0])


def publish_best(job: Job, evaluations: pa.Table, model_dir: Path) -> None:
    """Copy the best checkpoint into the finished one, `best/`; one that was damaged meanwhile is left out, saying so."""
    source, target = job.state_dir / BEST, model_dir / BEST
    shutil.rmtree(target, ignore_errors=True)
    if job.training.keep_best is None:
        return
    if not _is_whole(source, _best_row(job, evaluations)["value"]):
        log.warning("%s: the checkpoint of the best %s is damaged, so it is left out", job.name, job.training.keep_best)
        return
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(RECORD))


def publish_best_as_result(job: Job, evaluations: pa.Table, model_dir: Path) -> str:
    """Make the best checkpoint the finished one; returns the SHA-256 of its weights.

    Raises:
        UserError: it was damaged meanwhile.
    """
    source = job.state_dir / BEST
    if not _is_whole(source, _best_row(job, evaluations)["value"]):
        what = f"the checkpoint of the best {job.training.keep_best} is damaged"
        raise UserError(str(source), what, "train it again with training.fresh")
    with atomic_directory(model_dir) as temporary:
        shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(RECORD), dirs_exist_ok=True)
    return str(read_metadata(model_dir)["weights_sha256"])


def _is_whole(source: Path, value: float | None) -> bool:
    """Whether the best checkpoint's files are as they were written, and it is the best that the record knows of."""
    record = _record(source)
    files = record["files"].items()
    same = all((source / name).is_file() and file_sha256(source / name) == sha for name, sha in files)
    return same and record["value"] == value
