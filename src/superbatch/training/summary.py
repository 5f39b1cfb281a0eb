"""The end of a run: its checkpoint, its records and its summary (`run.json`)."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from superbatch import __version__
from superbatch.artifacts.atomic import told_if_full, write_json
from superbatch.artifacts.fingerprints import canonical
from superbatch.training.best import best_step, publish_best, publish_best_as_result
from superbatch.training.flops import Account, Forwards
from superbatch.training.job import Job, TrainResult
from superbatch.training.live import LiveRun
from superbatch.training.machine import machine
from superbatch.training.state import Totals

MEMORY = {"process": "memory_mb", "device": "device_memory_mb"}  # peaks, by their columns of the ledger


def commit() -> str:
    """Return the git commit of the working directory, with + where files differ; empty outside git."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        ).stdout.strip()
        return head + ("+" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def picks_digest(picks: pa.Table) -> str:
    """SHA-256 over steps and rows of the chosen, in order: equal digests mean equal selections."""
    chosen = picks.filter(picks["chosen"])
    digest = hashlib.sha256()
    for name in ("step", "row"):
        digest.update(np.ascontiguousarray(chosen[name].to_numpy(), dtype="<i8").tobytes())
    return digest.hexdigest()


def finish(run: LiveRun, plan: dict[str, Any], made_from: str) -> TrainResult:
    """Stage checkpoint and records of a finished run under its state directory, and return them with the summary."""
    with told_if_full(run.job.state_dir):
        return _finish(run, plan, made_from)


def _finish(run: LiveRun, plan: dict[str, Any], made_from: str) -> TrainResult:
    job, records = run.job, run.records
    model_dir, training_dir = job.state_dir / "final", job.state_dir / "training"
    records.finish(training_dir)
    weights, told, step = _publish(run, model_dir)
    evaluations = records.read("evaluations").to_pylist()
    ledger = records.read("ledger")
    seconds = {
        name: float(np.nansum(ledger[name].to_numpy())) for name in ledger.column_names if name.startswith("seconds_")
    }
    summary = {
        "run": job.name,
        "method": job.selection.method,
        "run_hash": job.run_hash,
        "status": "finished",
        "commit": made_from,
        "machine": machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seed": job.training.seed,
        "settings": canonical(job.full_identity),
        "plan": plan,
        "digests": {"picks": picks_digest(records.read("picks")), "weights": weights},
        "flops": run.account.summary(run.totals, job.charges),
        "seconds": seconds,
        "charged_seconds": {name: spent.seconds for name, spent in job.charges.items() if spent.seconds is not None},
        "waited_for_data": seconds["seconds_data"] / max(sum(seconds.values()), 1e-9),
        "memory_mb": {name: pc.max(ledger[column]).as_py() for name, column in MEMORY.items()},
        "skipped_steps": pc.sum(ledger["skipped"]).as_py() or 0,
        "final": {
            row["name"]: row["value"] for row in evaluations if row["step"] == step and row["split"] == "validation"
        },
        **told,
        **_own_score(job),
        **job.remarks,
    }
    write_json(training_dir / "run.json", summary)
    return TrainResult(model_dir, training_dir, summary)


def _own_score(job: Job) -> dict[str, str]:
    """Name the score of a task that goes by no criterion, as the plan does; nothing of one that does, for its settings say it."""
    chosen_by = [
        (rule.criterion, job.task.reads_by(rule).score) for _, rule in job.stretches if rule.method != "uniform"
    ]
    own = [score for criterion, score in chosen_by if not score.startswith(criterion)]  # "learnability at patch16"
    return {"score": ", then ".join(dict.fromkeys(own))} if any(own) else {}


def _publish(run: LiveRun, model_dir: Path) -> tuple[str, dict[str, int], int]:
    """Stage the checkpoint: the last, or with `training.patience` the best.

    Returns:
        The SHA-256 of its weights, what the record says of it besides, and its step.
    """
    job, evaluations = run.job, run.records.read("evaluations")
    if job.training.patience:
        weights, step = publish_best_as_result(job, evaluations, model_dir), best_step(job, evaluations)
        return weights, {"result_of_step": step, "steps_taken": run.records.read("ledger").num_rows}, step
    last = job.training.steps
    metadata = {"run": job.name, "run_hash": job.run_hash, "steps": last, "superbatch": __version__}
    weights = job.task.save(model_dir, metadata)
    publish_best(job, evaluations, model_dir)
    return weights, {}, last


def import_summary(
    forwards: Forwards, run_hash: str, weights: str, source: str, metrics: dict[str, float]
) -> dict[str, Any]:
    """Tell an imported reference as a run of no steps: nothing was trained here, so nothing is charged for it."""
    return {
        "run": "reference",
        "method": "reference",
        "run_hash": run_hash,
        "status": "finished",
        "commit": commit(),
        "machine": machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seed": 0,
        "settings": {"imported_from": source},
        "plan": {"steps": 0},
        "digests": {"weights": weights},
        "flops": Account(forwards).summary(Totals(), {}),
        "seconds": {},
        "charged_seconds": {},
        "final": metrics,
    }
