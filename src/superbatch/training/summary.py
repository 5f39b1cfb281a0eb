"""The end of a run: its checkpoint, its records and the one file that tells what it was."""

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
from superbatch.files import canonical, told_if_full, write_json
from superbatch.models import ClipModel, save_checkpoint
from superbatch.training.best import publish_best
from superbatch.training.flops import Forwards, count_forward
from superbatch.training.job import Job, TrainResult
from superbatch.training.plan import machine
from superbatch.training.records import Records
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


def finish(
    job: Job, records: Records, totals: Totals, forwards: Forwards, plan: dict[str, Any], made_from: str
) -> TrainResult:
    """Stage checkpoint and records of a finished job under its state directory, and return them with the summary."""
    with told_if_full(job.state_dir):
        return _finish(job, records, totals, forwards, plan, made_from)


def _finish(
    job: Job, records: Records, totals: Totals, forwards: Forwards, plan: dict[str, Any], made_from: str
) -> TrainResult:
    model_dir, training_dir = job.state_dir / "final", job.state_dir / "training"
    records.finish(training_dir)
    metadata = {"run": job.name, "run_hash": job.run_hash, "steps": job.training.steps, "superbatch": __version__}
    weights = save_checkpoint(model_dir, job.clip, metadata, job.vocabulary)
    evaluations = records.read("evaluations").to_pylist()
    publish_best(job, records.read("evaluations"), model_dir)
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
        "flops": _flops(forwards, totals, job.charges),
        "seconds": seconds,
        "waited_for_data": seconds["seconds_data"] / max(sum(seconds.values()), 1e-9),
        "memory_mb": {name: pc.max(ledger[column]).as_py() for name, column in MEMORY.items()},
        "skipped_steps": pc.sum(ledger["skipped"]).as_py() or 0,
        "final": {row["name"]: row["value"] for row in evaluations if row["step"] == job.training.steps},
    }
    write_json(training_dir / "run.json", summary)
    return TrainResult(model_dir, training_dir, summary)


def _flops(forwards: Forwards, totals: Totals, charges: dict[str, float]) -> dict[str, Any]:
    found = {
        "forward_per_sample": forwards.learner.total,
        "forward_image": forwards.learner.image,
        "forward_text": forwards.learner.text,
        "as_executed_total": totals.flops_as_executed,
        "paper_total": totals.flops_paper,
        "scoring_total": forwards.scoring(totals.samples_scored),
        "charged": charges,
        "charged_total": totals.flops_as_executed + sum(charges.values()),
    }
    if forwards.proxy is None:
        return found
    return found | {
        "forward_proxy": forwards.proxy.total,
        "proxy_total": forwards.training_proxy(totals.samples_trained),
        "saved_by_proxy": forwards.saved(totals.samples_scored, totals.samples_trained),
    }


def import_summary(
    clip: ClipModel, run_hash: str, weights: str, source: Path, metrics: dict[str, float]
) -> dict[str, Any]:
    """Tell an imported reference as a run of no steps: nothing was trained here, so nothing is charged for it."""
    forwards = Forwards(count_forward(clip))
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
        "settings": {"imported_from": str(source)},
        "plan": {"steps": 0},
        "digests": {"weights": weights},
        "flops": _flops(forwards, Totals(), {}),
        "seconds": {},
        "final": metrics,
    }
