"""Divide and Contrast against MoCLR: at the same operations in all, and for as long as base, experts and student together took.

    python benchmarks/dnc.py [--quick] [--json FILE] [--threads N] [--data FOLDER] [--env NAME]
                             [--steps T] [--clusters K ...] [--seeds S ...] [--starts START ...] [--rivals RIVAL ...]

For each seed a base of T steps, its division, experts (from scratch, from the base) and a student of T steps each; MoCLR of as many steps as the same
operations pay for, and of as many as the same seconds do. Linear probe and k-NN on the test split of each classification set, means over the seeds.
FOLDER holds 02_intermediate (default: data), NAME is its environment; what is made on the way stays in FOLDER/dnc_benchmark and is found again. Paths in
manifests count from the working directory: give the command where the sets were ingested. The two pools of docs/dnc.md:

    python benchmarks/dnc.py --data data/icons --env icons --steps 8000 --json benchmarks/results/dnc_icons.json
    python benchmarks/dnc.py --data data/mix --env mix --steps 8000 --json benchmarks/results/dnc_mix.json
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import common
from reference_map_sets import once, quick_sets
from reference_map_world import parameters

from superbatch.config import dnc_learner, read
from superbatch.dnc.clusters import clusters_fingerprint, write_clusters
from superbatch.dnc.experts import Divided, expert_jobs, train_experts
from superbatch.dnc.student import build_student
from superbatch.evaluation import Evaluator, evaluate_to_files, load_evaluation_sets
from superbatch.files import read_json
from superbatch.models import read_metadata
from superbatch.models.headed import load_measured
from superbatch.nested import from_dotted, merge
from superbatch.options import DncSettings, EvaluateSettings, LearnerSettings
from superbatch.tasks import SetFiles
from superbatch.tasks.image_jobs import moclr_job
from superbatch.training import train_once

METRICS = ("linear_probe", "knn")
STARTS = ("scratch", "base")
RIVALS = ("operations", "seconds")


@dataclass(frozen=True)
class Made:
    """A finished model, and what it took in all.

    Attributes:
        model, training: its checkpoint and records. steps: its own.
        flops, seconds: all that led to it.
    """

    model: Path
    training: Path
    steps: int
    flops: float
    seconds: float


@dataclass(frozen=True)
class World:
    """A pool with its evaluation sets.

    Attributes:
        given: the project's settings. pool: the ingested set. evaluation: ingested sets. work: the folder for all that is made.
    """

    given: dict[str, Any]
    pool: SetFiles
    evaluation: Path
    work: Path

    @property
    def stages(self) -> Path:
        """Where what is made stays, by its fingerprint."""
        return self.work / "stages"

    def settings(self, seed: int, steps: int, part: str | None = None) -> LearnerSettings:
        """MoCLR's settings, or those of experts and student, with a seed and steps."""
        own = {"training": {"seed": seed, "steps": steps, "evaluate_every": steps}}
        base = merge(self.given[self.wanted.base]["learner"], own)
        return dnc_learner(self.given["learner"], base, self.given["dnc"], part)

    @property
    def wanted(self) -> DncSettings:
        """The block `dnc`."""
        return read(DncSettings, self.given["dnc"], "dnc")

    def moclr(self, seed: int, steps: int) -> Made:
        """MoCLR alone."""
        job = moclr_job("moclr", self.settings(seed, steps), self.pool, self.work / "state")
        model, training = (one.path for one in train_once(job, self.stages))
        record = read_json(training / "run.json")
        flops, seconds = record["flops"]["as_executed_total"], float(sum(record["seconds"].values()))
        return Made(model, training, steps, flops, seconds)

    def dnc(self, base: Made, seed: int, start: str) -> Made:
        """Divide the pool by a base, train experts and the student."""
        own = self.settings(seed, base.steps, "experts")
        name = clusters_fingerprint(base.model, self.pool.manifest())
        decides = [name, self.wanted.clusters, own.training.batch_size]

        def write(out: Path) -> None:
            least, device = own.training.batch_size, own.training.device
            write_clusters(base.model, self.pool, self.wanted.clusters, least, out, batch=512, device=device)

        given = Divided(self.pool, base.model, once("clusters", decides, self.stages, write), self.work / "state")
        jobs = expert_jobs(own, round(self.wanted.share * base.steps), start == "base", given)
        experts = train_experts(jobs, self.stages).path
        wanted = self.settings(seed, base.steps, "student")
        job = build_student("dnc", wanted, given, base.training, experts, self.evaluation)
        model, training = (one.path for one in train_once(job, self.stages))
        record = read_json(training / "run.json")
        seconds = sum(record["seconds"].values()) + sum(one.seconds or 0.0 for one in job.charges.values())
        return Made(model, training, wanted.training.steps, record["flops"]["charged_total"], float(seconds))

    def measured(self, made: Made) -> dict[str, float]:
        """Linear probe and k-NN of a model on the test split of each classification set."""
        settings = merge(self.given["evaluate"], {"few_shot": None})
        evaluate = read(EvaluateSettings, settings, "evaluate")
        weights, clip = read_metadata(made.model)["weights_sha256"], load_measured(made.model)
        sets = load_evaluation_sets(self.evaluation)

        def write(out: Path) -> None:
            evaluator = Evaluator.for_model(sets, clip, evaluate.device)
            clip.model.to(evaluator.device)
            about = {"checkpoint": weights, "model_name": "dnc", "settings": evaluate}
            evaluate_to_files(evaluator, clip.model, "test", out, **about)

        decides = ["evaluation", weights, evaluate, [[one.name, one.fingerprint] for one in sets]]
        found = once("evaluation", decides, self.stages, write)
        results = {file.stem: read_json(file)["metrics"] for file in sorted(found.glob("*.json"))}
        return {f"{name}/{metric}": own[metric] for name, own in results.items() for metric in METRICS if metric in own}


def runs_of(world: World, seed: int, options: argparse.Namespace) -> dict[str, Made]:
    """Train everything for a seed, by what the table calls it."""
    steps, starts = options.steps, options.starts
    base = world.moclr(seed, steps)
    found = {"moclr, the base": base} | {f"dnc, experts from {start}": world.dnc(base, seed, start) for start in starts}
    dnc = found[f"dnc, experts from {starts[0]}"]
    times = {"operations": dnc.flops / base.flops, "seconds": dnc.seconds / base.seconds}
    for what in options.rivals:
        found[f"moclr, the same {what}"] = world.moclr(seed, max(1, round(steps * times[what])))
    return found


def rows_of(world: World, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and measure everything: a row for each seed and run."""
    rows = []
    for seed in options.seeds:
        for name, made in runs_of(world, seed, options).items():
            took = {"steps": made.steps, "tflop": made.flops / 1e12, "seconds": made.seconds}
            rows.append({"run": name, "seed": seed, **took, **world.measured(made)})
    return rows


def cells(rows: list[dict[str, Any]], name: str, metrics: list[str]) -> list[str]:
    """A row of the table: means over the seeds, and of metrics the deviation between them."""
    own = [row for row in rows if row["run"] == name]
    shown = [name, f"{mean(row['steps'] for row in own):,.0f}", f"{mean(row['tflop'] for row in own):.2f}"]
    shown.append(f"{mean(row['seconds'] for row in own):.0f}")
    for metric in metrics:
        values = [100 * row[metric] for row in own]
        shown.append(f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else ""))
    return shown


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--data", type=Path, default=Path("data"), metavar="FOLDER", help="holds 02_intermediate")
    made.add_argument("--env", metavar="NAME", help="the environment that FOLDER is of")
    made.add_argument("--steps", type=int, default=1_600, help="of the base and of the student")
    made.add_argument("--clusters", type=int, nargs="+", metavar="K", help="as dnc.clusters")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS), help="of the experts")
    made.add_argument(
        "--rivals", nargs="*", choices=RIVALS, default=list(RIVALS), help="what longer MoCLR has as much of"
    )
    return made.parse_args()


def opened(options: argparse.Namespace, work: Path) -> World:
    """Open the project's sets, or make small ones."""
    given = parameters("quick" if options.quick else options.env)
    changes: dict[str, Any] = {"learner.training.threads": options.threads}
    changes |= {"dnc.clusters": options.clusters} if options.clusters else {}
    if options.quick:
        changes |= {"dnc.clusters": [2], "evaluate.linear_probe.iterations": 5}
        given = merge(given, from_dotted(changes))
        pool, _, evaluation = quick_sets(given["simweb"], work)
        return World(given, SetFiles(pool), evaluation, work)
    sets, features = options.data / "02_intermediate", options.data / "04_feature" / "pool"
    pool_set = SetFiles(sets / "pool", features if features.is_dir() else None)
    return World(merge(given, from_dotted(changes)), pool_set, sets / "evaluation", work)


def main() -> None:
    """Measure everything, print the table and the line of JSON."""
    options = arguments()
    if options.quick:
        options.steps, options.seeds, options.starts = 4, [0], ["scratch"]
    with tempfile.TemporaryDirectory() as scratch:
        world = opened(options, Path(scratch) if options.quick else options.data / "dnc_benchmark")
        rows = rows_of(world, options)
    metrics = [name for name in rows[0] if name.rpartition("/")[2] in METRICS]
    names = list(dict.fromkeys(row["run"] for row in rows))
    header = ["run", "steps", "TFLOP in all", "seconds in all", *(f"{name} %" for name in metrics)]
    print(common.table(header, [cells(rows, name, metrics) for name in names]))
    options.seed = options.seeds  # what the record names
    common.report("dnc", {"steps": options.steps, "rows": rows}, options)


if __name__ == "__main__":
    main()
