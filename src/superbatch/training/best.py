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
from superbatch.training.records import Records

log = logging.getLogger(__name__)
BEST = "best"  # in the run's state, and in the finished checkpoint
RECORD = "best.json"  # in it: its value, and the SHA-256 of its files


def keep_best(job: Job, step: int, metrics: dict[str, float], records: Records) -> None:
    """Save the model as the best so far, where `training.keep_best` names a metric and no earlier value was as high (`training.tolerance`).

    The record decides, not the folder: a run that was killed goes back to a checkpoint, so the folder may be ahead of it, and with other
    ranks or on another machine the run meets other values than before.

    Args:
        job: the run's.
        step: finished steps.
        metrics: what was evaluated after them.
        records: the run's; its evaluations have these already.

    Raises:
        UserError: a metric that is not among those evaluated.
    """
    name = job.training.keep_best
    if name is None:
        return
    if name not in metrics:
        raise UserError("training.keep_best", f"{name!r} is not evaluated", f"evaluated: {', '.join(sorted(metrics))}")
    values = _of_metric(job, records.so_far("evaluations"))["value"].to_numpy()
    if _best(values, job.training.tolerance) == len(values) - 1:
        found = {"run": job.name, "run_hash": job.run_hash, "steps": step, "metric": name, "value": metrics[name]}
        with atomic_directory(job.state_dir / BEST) as temporary:
            job.task.save(temporary, found)
            write_json(temporary / RECORD, {"value": metrics[name], "files": file_digests(temporary)})


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
    """Copy the best checkpoint into the finished one, `best/`; one that was damaged meanwhile, or is not the best, is left out, saying so."""
    source, target = job.state_dir / BEST, model_dir / BEST
    shutil.rmtree(target, ignore_errors=True)
    if job.training.keep_best is None:
        return
    fault = _fault(job, source, _best_row(job, evaluations)["value"])
    if fault is not None:
        log.warning("%s: %s, so it is left out", job.name, fault)
        return
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(RECORD))


def publish_best_as_result(job: Job, evaluations: pa.Table, model_dir: Path) -> str:
    """Make the best checkpoint the finished one; returns the SHA-256 of its weights.

    Raises:
        UserError: it was damaged meanwhile, or is not the best of the record.
    """
    source = job.state_dir / BEST
    fault = _fault(job, source, _best_row(job, evaluations)["value"])
    if fault is not None:
        raise UserError(str(source), fault, "train it again with training.fresh")
    with atomic_directory(model_dir) as temporary:
        shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(RECORD), dirs_exist_ok=True)
    return str(read_metadata(model_dir)["weights_sha256"])


def _fault(job: Job, source: Path, value: float | None) -> str | None:
    """Say what is wrong with the best checkpoint; None if its files are as they were written, and its value is the record's best."""
    name = job.training.keep_best
    record = read_json(source / RECORD) if (source / RECORD).is_file() else None
    if record is None or not all(_is_as_written(source / file, sha) for file, sha in record["files"].items()):
        return f"the checkpoint of the best {name} is damaged"
    if record["value"] == value:
        return None
    # It stems from steps that were taken again after a kill, and it had replaced the one that is the best now.
    return (
        f"the checkpoint that was kept has {name} {record['value']}, and the best on record is {value}: after a kill the run "
        "met other values, as with another number of processes or on another machine"
    )


def _is_as_written(file: Path, sha256: str) -> bool:
    return file.is_file() and file_sha256(file) == sha256
