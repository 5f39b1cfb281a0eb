"""Killed at random and continued: is it the run that was never killed, bit for bit?

    python benchmarks/kills.py [--quick] [--json FILE] [--threads N] [--seed N]

Small models with patch dropout (so that the random state counts) train in processes of their own, which are killed with SIGKILL twice
each: once after a random time, once at a random operation on a file of the run's state (opening, renaming, removing: inside a
checkpoint's writing more often than not). The third process ends the run. Compared with an undisturbed run of no worker: final weights,
picks, ledger (without seconds and memory) and evaluations.

Figures: bit_identical_workers_0 and bit_identical_workers_2, of `trials` each.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from common import parser, report, table

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.fields import Source, Stored
from superbatch.models import build_model
from superbatch.options import ModelSettings, SelectionSettings, TrainingSettings
from superbatch.tasks import Contrastive, Reference
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS
from superbatch.training import Job, train
from superbatch.training.state import list_states

METHODS = ("joint", "uniform", "independent")
ROWS, SIDE, LENGTH, WORDS, WIDTH = 80, 16, 8, 64, 16
MODEL = {
    "model_cfg": {
        "embed_dim": WIDTH,
        "vision_cfg": {
            "image_size": SIDE,
            "patch_size": 4,
            "width": 32,
            "layers": 1,
            "head_width": 16,
            "patch_dropout": 0.25,
        },
        "text_cfg": {"context_length": LENGTH, "vocab_size": WORDS, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}
WATCHED = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")  # audit events that name a file
LIMIT_S = 120
_context = multiprocessing.get_context("forkserver")
# What a training imports late: with it a process needs half a second from start to end.
PRELOAD = [
    "open_clip",
    "pandas",
    "pyarrow.dataset",
    "superbatch.tasks",
    "torch._dynamo",
    "torch.utils.flop_counter",
]


def in_memory(values: np.ndarray) -> Stored:
    """Return a field whose values live in memory."""
    return Stored(values.__getitem__, len(values))


def random_embeddings(rng: np.random.Generator) -> dict[str, Stored]:
    """Return a reference's embeddings of both sides, at random."""
    values = rng.normal(size=(2, ROWS, WIDTH))
    sides = (values / np.linalg.norm(values, axis=2, keepdims=True)).astype(np.float32)
    return {name: in_memory(side) for name, side in zip(CACHED, sides, strict=True)}


@dataclass(frozen=True)
class Training:
    """One small training: what is the same for all its processes."""

    folder: Path
    method: str
    workers: int = 0
    seed: int = 0
    steps: int = 24
    device: str = "cpu"

    def job(self) -> Job:
        """Make the job from its first weights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        model_file = self.folder / "model.json"
        write_json(model_file, MODEL)
        training = TrainingSettings(
            batch_size=4,
            steps=self.steps,
            checkpoint_every=3,
            evaluate_every=5,
            threads=1,
            workers=self.workers,
            seed=self.seed,
            device=self.device,
        )
        clip = build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=4, seed=self.seed)
        rng = np.random.default_rng(self.seed)
        pixels = rng.integers(0, 255, (ROWS, 3, SIDE, SIDE), dtype=np.uint8)
        ids = rng.integers(0, WORDS, (ROWS, LENGTH))
        selection = SelectionSettings(method=self.method, filter_ratio=0.75, num_chunks=2, gain=10.0)
        fields = {IMAGE: in_memory(pixels), TOKENS: in_memory(ids), **random_embeddings(rng)}
        probe = torch.from_numpy(ids[:8])
        size = 4 if self.method == "uniform" else 16
        return Job(
            f"{self.method}-{self.workers}",
            Contrastive(clip, training, selection, Reference(10.0, -1.0)),
            Source(fields),
            training,
            selection,
            size,
            {"sets": ["kills"]},
            self.folder / "state",
            evaluate=lambda clip: {"sum": float(clip.model.encode_text(probe).double().sum())},
        )

    @property
    def outcome_file(self) -> Path:
        """Where the process that ends the run leaves what came out."""
        return self.folder / "outcome.json"


def outcome(training_dir: Path, digests: dict[str, str]) -> dict[str, str]:
    """Return digests of what must be equal: weights, picks, ledger without what a clock or the system says, evaluations."""
    ledger = pq.read_table(training_dir / "ledger.parquet").to_pydict()
    columns = {name: values for name, values in ledger.items() if "seconds" not in name and "memory" not in name}
    evaluations = pq.read_table(training_dir / "evaluations.parquet").to_pylist()
    return {**digests, "ledger": fingerprint(columns), "evaluations": fingerprint(evaluations)}


def run_here(training: Training, last_operation: int | None, said: Path) -> None:
    """Be the process of a training; dies by its own hand at the given operation on the state's files, if any."""
    multiprocessing.set_start_method(
        "fork", force=True
    )  # the loader's workers start as they do in a training of its own
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    job = training.job()
    operations = _count_operations(str(job.state_root), last_operation)
    result = train(job)
    found = outcome(result.training_dir, result.summary["digests"])
    write_json(training.outcome_file, {"outcome": found, "operations": operations[0]})


def _count_operations(folder: str, last: int | None) -> list[int]:
    """Count operations on files below a folder from now on; kill this process at the `last` one."""
    count = [0]
    parent = os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED and os.getpid() == parent and any(str(a).startswith(folder) for a in arguments[:2]):
            count[0] += 1
            if count[0] == last:
                os.kill(parent, signal.SIGKILL)

    sys.addaudithook(hook)
    return count


def start(training: Training, last_operation: int | None = None) -> BaseProcess:
    """Start a process of the training."""
    process = _context.Process(
        target=run_here, args=(training, last_operation, training.folder.with_suffix(".log")), daemon=False
    )
    training.folder.parent.mkdir(parents=True, exist_ok=True)
    _context.set_forkserver_preload(PRELOAD)  # type: ignore[attr-defined]
    process.start()
    return process


def finish(training: Training) -> dict[str, Any]:
    """Run a training to its end; returns what came out of it, or {} where it failed (its log says why)."""
    process = start(training)
    process.join(LIMIT_S)
    if process.exitcode is None:
        process.kill()
    if process.exitcode != 0 or not training.outcome_file.exists():
        return {}
    return json.loads(training.outcome_file.read_text())


def kill_after(training: Training, seconds: float) -> str:
    """Kill a process of the training after some time; says what it was doing."""
    process = start(training)
    process.join(seconds)
    alive = process.exitcode is None
    process.kill()
    process.join()
    return _stage(training) if alive else "finished first"


def kill_at(training: Training, operation: int) -> str:
    """Let a process of the training kill itself at an operation on its files; says what it was doing."""
    process = start(training, operation)
    process.join(LIMIT_S)
    return _stage(training) if process.exitcode == -signal.SIGKILL else "finished first"


def _stage(training: Training) -> str:
    """What a killed process was doing, read off the files it left."""
    left = [path.name for path in (training.folder / "state").rglob(".*.tmp")]
    if left:
        return "in a checkpoint"
    return "elsewhere" if list((training.folder / "state").glob("*/step-*")) else "before the first checkpoint"


def _left(training: Training) -> float:
    """Return the share of the steps that a next process has to take."""
    states = [directory for run in (training.folder / "state").glob("*") for directory in list_states(run)]
    return 1 - (int(states[-1].name.removeprefix("step-")) if states else 0) / (training.steps + 1)


@dataclass(frozen=True)
class Trial:
    """What became of one training that was killed twice."""

    workers: int
    kills: tuple[str, ...]
    identical: bool


def trial(training: Training, expected: dict[str, Any], seconds: float, rng: random.Random) -> Trial:
    """Kill a training by the clock and at a file, in either order, then let it end and compare."""
    by_clock = lambda: kill_after(training, rng.uniform(0.1, 0.9) * seconds * _left(training))  # noqa: E731
    by_file = lambda: kill_at(training, rng.randint(1, int(0.9 * expected["operations"] * _left(training))))  # noqa: E731
    kills = tuple(kill() for kill in rng.sample([by_clock, by_file], 2))
    return Trial(training.workers, kills, finish(training).get("outcome") == expected["outcome"])


def undisturbed(folder: Path, seed: int, steps: int, device: str) -> tuple[dict[str, dict[str, Any]], float]:
    """Run each method to its end once, undisturbed; returns outcomes by method, and the seconds of the last one."""
    expected, seconds = {}, 0.0
    finish(Training(folder / "warm-up", "uniform", steps=1, device=device))
    for method in METHODS:
        begin = time.perf_counter()
        training = Training(folder / f"never-killed-{method}", method, seed=seed, steps=steps, device=device)
        expected[method] = finish(training)
        seconds = time.perf_counter() - begin
        if not expected[method]:
            log = folder / f"never-killed-{method}.log"
            sys.exit(f"the undisturbed run failed:\n{log.read_text() if log.exists() else ''}")
    return expected, seconds


def trials(
    folder: Path, count: int, workers: tuple[int, ...], seed: int, steps: int = 24, device: str = "cpu"
) -> list[Trial]:
    """Run `count` trials for each number of workers."""
    expected, seconds = undisturbed(folder, seed, steps, device)
    rng = random.Random(seed)
    found = []
    for number in range(count):
        for many in workers:
            method = METHODS[number % len(METHODS)]
            training = Training(folder / f"{number}-{many}", method, many, seed, steps, device)
            found.append(trial(training, expected[method], seconds, rng))
    return found


def main() -> None:
    """Kill, compare, print the table and the closing line."""
    options = parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(options.threads)
    count, workers = (4 if options.quick else 20), (0, 2)
    with tempfile.TemporaryDirectory() as folder:
        found = trials(Path(folder), count, workers, options.seed)
    figures: dict[str, Any] = {"trials": count, "kills_each": 2}
    rows = []
    for many in workers:
        mine = [one for one in found if one.workers == many]
        kills = [kill for one in mine for kill in one.kills]
        where = [kills.count(name) for name in ("in a checkpoint", "elsewhere", "before the first checkpoint")]
        same = sum(one.identical for one in mine)
        figures |= {
            f"bit_identical_workers_{many}": same,
            f"kills_workers_{many}": sum(where),
            f"kills_in_a_checkpoint_workers_{many}": where[0],
        }
        rows.append([str(many), str(len(mine)), *map(str, where), f"{same} of {len(mine)}"])
    header = ["workers", "runs", "killed in a checkpoint", "elsewhere", "before the first", "bit-identical"]
    print(table(header, rows))
    report("kills", figures, options)
    sys.exit(0 if all(one.identical for one in found) else 1)


if __name__ == "__main__":
    main()
