"""Digests of short runs of every way to train, so that two checkouts can be held against each other on one machine.

    python benchmarks/digests.py [--quick] [--json FILE] [--project DIR]

Runs the miniature chain of `conf/quick` in a checkout (this one, or DIR), then short runs: uniform, filtered, jest, softmax jest,
easy_reference, stale scoring and a proxy, each in one process and in two ranks, and jest with micro-batches and with workers. Prints the
first digits of each run's digests of picks and weights, and its operations. Digests differ between kinds of processors: compare
those of one machine alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import ROOT, parser, report, table

STEPS = 30
USUAL = {"steps": STEPS, "evaluate_every": STEPS, "checkpoint_every": STEPS // 2, "fresh": "true", "threads": 1}
# name: (namespace, what differs from the method's preset)
WAYS = {
    "uniform": ("uniform", ""),
    "filtered": ("filtered", ""),
    "jest": ("jest", ""),
    "softmax jest": ("jest", "learner.training.loss=softmax"),
    "easy_reference": ("easy_reference", ""),
    "stale jest": ("jest", "jest.learner.selection.stale_steps=2"),
    "proxy": ("jest", "jest.learner.selection.proxy.config=conf/models/proxy.json"),
}
MORE = {
    "jest, 2 micro-batches": ("jest", "learner.training.accumulate=2"),
    "jest, 2 workers": ("jest", "learner.training.workers=2"),
    "easy_reference, 2 workers": ("easy_reference", "learner.training.workers=2"),
}


def kedro(project: Path, *arguments: str) -> None:
    """Run a kedro command of a checkout, with the code of that checkout."""
    environment = os.environ | {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
    command = [str(Path(sys.executable).parent / "kedro"), "run", "--env=quick", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")


def run(project: Path, namespace: str, changes: str, processes: int) -> dict[str, Any]:
    """Make one short run and return what names it."""
    settings = {**USUAL, "processes": processes}
    parameters = [f"learner.training.{name}={value}" for name, value in settings.items()] + [changes]
    kedro(project, "--pipelines=learner", f"--namespaces={namespace}", f"--params={','.join(filter(None, parameters))}")
    record = json.loads((project / f"data/quick/07_model_output/{namespace}/training/run.json").read_text())
    flops = record["flops"]["as_executed_total"]
    return {"hash": record["run_hash"], **record["digests"], "flops": flops, "machine": record["machine"]}


def asked_for(quick: bool) -> dict[str, tuple[str, str, int]]:
    """Runs by name: namespace, changes, ranks; the quick ones are two."""
    if quick:
        return {name: (*WAYS[name], 1) for name in ("uniform", "jest")}
    ranks = {f"{name}, {count} ranks": (*way, count) for name, way in WAYS.items() for count in (1, 2)}
    return {name.replace("1 ranks", "1 rank"): way for name, way in ranks.items()} | {
        name: (*way, 1) for name, way in MORE.items()
    }


def main() -> None:
    """Run what the command line asks for."""
    options = parser(__doc__ or "")
    options.add_argument("--project", type=Path, default=ROOT, help="a checkout (default: this one)")
    asked = options.parse_args()
    project = asked.project.resolve()
    if not (project / "data/quick/04_feature/pool").is_dir():
        kedro(project, "--pipeline=filtered")  # with all stages before a learner; uniform's chain checks no reference
    found = {name: run(project, *way) for name, way in asked_for(asked.quick).items()}
    rows = [
        [name, one["hash"], one["picks"][:12], one["weights"][:12], f"{one['flops'] / 1e9:.3f}"]
        for name, one in found.items()
    ]
    print(table(["run", "hash", "picks", "weights", "GFLOP"], rows))
    report("digests", {"project": _commit_of(project), "runs": found}, asked)


def _commit_of(project: Path) -> str:
    """The commit of the checkout whose code ran."""
    asked = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(asked, cwd=project, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main()
