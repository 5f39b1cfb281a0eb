"""The advice of `kedro run --pipeline=advise` beside what really won on recorded pools, budget by budget.

    python benchmarks/advice.py --world simweb [--world icons] [--world icons_half] [--world fashion] [--world phrased] [--world names] ...
    python benchmarks/advice.py                       the rules as they are now, on what is recorded

A world is measured by the stage itself, in its environment; what it measured goes into --results, and each budget is then decided by the rules as
they are: so a changed rule can be judged without training again. `emoji` is a world too, and `few` is simweb with 100 curated pairs. Winners are the recorded runs
(compare_*.json, reference_map.jsonl; of emoji the tables of docs/experiments.md). Where a budget lies between
two recorded lengths of a method, its value is interpolated between them (~); beyond its longest the longest counts (>).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import common
import numpy as np

from superbatch.data.manifest import read_manifest
from superbatch.data.sampling import sampled_rows
from superbatch.files import read_json
from superbatch.reporting.advice.choice import Advice
from superbatch.reporting.advice.measured import Measured
from superbatch.reporting.advice.rules import advise

RESULTS = common.ROOT / "benchmarks" / "results" / "advice.json"
FEW = 100  # curated pairs of the world `few`


@dataclass(frozen=True)
class World:
    """A pool, the budgets that its advice is asked for, and where its winners are.

    Attributes:
        env: of conf; None for conf/base. steps, tflop: budgets. record: file of recorded runs; None: `EMOJI`. metric: of these, that decides.
        shorter: steps of a second set of probes, for budgets below `advise.probe`.
    """

    env: str | None
    steps: tuple[int, ...]
    tflop: tuple[float, ...] = ()
    metric: str = "classification/top1"
    record: str | None = None
    shorter: tuple[int, ...] = ()


WORLDS = {
    "simweb": World(
        None,
        (400, 615, 1_230, 16_000),
        (3.2, 4.2, 5.0, 5.7, 8.0, 15.6, 35.5),
        record="compare_simweb.json",
        shorter=(400,),
    ),
    "icons": World(
        "icons", (2_000, 4_000, 8_000, 16_000), (12.0, 14.8, 19.2, 28.0, 35.5, 46.0), record="compare_icons.json"
    ),
    "icons_half": World("icons_half", (8_000,), record="compare_icons_half.json"),
    "fashion": World("fashion", (1_230,), metric="fashion/top1", record="compare_fashion.json"),
    "phrased": World("phrased", (1_230,), metric="phrased/top1", record="compare_phrased.json"),
    "names": World("names", (1_230,), metric="names/top1", record="compare_names.json"),
    "emoji": World("emoji", (600, 1_200)),
    "few": World(None, (1_230,), record="reference_map.jsonl"),
}
# Test, mean R@1 in percent, one seed (docs/experiments.md, 6 and 15): recorded in tables alone.
EMOJI = {
    600: {"uniform": 0.41, "filtered": 0.46, "independent": 0.94, "jest": 0.73, "easy_reference": 0.82},
    1_200: {"uniform": 0.5, "adaptive_self_paced": 0.7},
}


class Point(NamedTuple):
    """A recorded value of a method: its steps, its TFLOP with everything charged, its metric in percent."""

    method: str
    steps: int
    charged: float
    value: float


def points(world: World) -> list[Point]:
    """Return what is recorded of a world, means over seeds; a method's labelled variants only where it has no run of its own."""
    if world.record is None:
        return [Point(name, steps, np.nan, value) for steps, row in EMOJI.items() for name, value in row.items()]
    file = RESULTS.parent / world.record
    rows = [json.loads(line) for line in file.open()] if file.suffix == ".jsonl" else read_json(file)
    return weak_points(rows) if file.suffix == ".jsonl" else grid_points(rows, world.metric)


def weak_points(rows: list[dict[str, Any]]) -> list[Point]:
    """Means over the recorded references of 100 pairs; uniform goes by none."""
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row["kind"] == "learner" and row["pairs"] in (None, FEW):
            found.setdefault((row["method"], row["steps"]), []).append(100 * row["test"]["classification/top1"])
    return [Point(method, steps, np.nan, float(np.mean(values))) for (method, steps), values in found.items()]


def grid_points(rows: list[dict[str, Any]], metric: str = "classification/top1") -> list[Point]:
    """Means over the seeds of each run of a grid."""
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for row in rows:
        key = row["method"], row["label"], int(row["plan"]["steps"])
        pair = row["flops"]["charged_total"] / 1e12, 100 * row["test"][metric]
        found.setdefault(key, []).append(pair)
    own = {method for method, label, _ in found if method == label}
    kept = {
        key: np.mean(pairs, 0)
        for key, pairs in found.items()
        if key[0] == key[1] or key[0] not in own or _only(key, found)
    }
    return [
        Point(method, steps, *map(float, mean)) for (method, _, steps), mean in kept.items() if method != "reference"
    ]


def _only(key: tuple[str, str, int], found: dict[tuple[str, str, int], Any]) -> bool:
    """Whether a variant has a length that its method was not run for itself."""
    method, _, steps = key
    return method == "safe" and (method, method, steps) not in found


def value_at(known: list[Point], method: str, budget: float, axis: str) -> tuple[float, str] | None:
    """Return a method's recorded value for a budget, and a mark where it is not of just that budget; None where its shortest run is longer."""
    line = sorted((getattr(point, axis), point.value) for point in known if point.method == method)
    if not line or budget < line[0][0] * (1 - 1e-3):
        return None
    xs, ys = zip(*line, strict=True)
    value = float(np.interp(budget, xs, ys))
    near = any(abs(x - budget) <= 0.02 * budget for x in xs)
    return value, "" if near else ">" if budget > xs[-1] else "~"


def budgets(world: World) -> Iterator[tuple[str, float]]:
    """Yield the budgets of a world, by the axis that each is on."""
    yield from (("steps", float(steps)) for steps in world.steps)
    yield from (("charged", tflop) for tflop in world.tflop)


def decided(found: dict[str, Any], world: World) -> Iterator[tuple[str, float, Advice]]:
    """Yield the advice for each budget, by what was measured with probes no longer than it."""
    lengths = sorted(map(int, found), reverse=True)
    for axis, budget in budgets(world):
        length = next((length for length in lengths if axis == "charged" or length <= budget), lengths[-1])
        measured = Measured.of_record(found[str(length)])
        given = {"steps": int(budget), "tflop": None} if axis == "steps" else {"steps": None, "tflop": budget}
        yield axis, budget, advise(replace(measured, **given))


def outcome(name: str, axis: str, budget: float, advice: Advice) -> dict[str, Any]:
    """Hold an advice against the best recorded method of its budget."""
    known = points(WORLDS[name])
    values = {method: value_at(known, method, budget, axis) for method in {point.method for point in known}}
    there = {method: value for method, value in values.items() if value is not None}
    best = max(there, key=lambda method: there[method][0])
    own = there.get(advice.preset)
    return {
        "world": name, "budget": axis, "of": budget, "advice": advice.preset, "steps": advice.steps, "rule": advice.rule,
        "confidence": advice.confidence, "runner_up": advice.runner_up, "value": own and own[0], "mark": own[1] if own else "",
        "best": best, "best_value": there[best][0], "best_mark": there[best][1],
        "uniform": there["uniform"][0] if "uniform" in there else None, "regret": None if own is None else there[best][0] - own[0],
    }  # fmt: skip


def measure(name: str, threads: int, as_it_is: bool = False) -> dict[str, Any]:
    """Run the stage in a world, with probes of its usual length and the shorter ones that its budgets need; returns what was measured.

    Args:
        name: of the world. threads: of each training.
        as_it_is: go by the reference and features that lie there, such as those of the recorded runs, whatever the settings would make today.
    """
    world, found = WORLDS[name], dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        project = few_pairs(Path(folder)) if name == "few" else common.ROOT
        for steps in (None, *world.shorter):
            params = [f"learner.training.threads={threads}", f"reference.training.threads={threads}"]
            params += ["ingest.curated.shards=few/*.tar"] if name == "few" else []
            params += [f"advise.budget.steps={steps}"] if steps else []
            env = [f"--env={world.env}"] if world.env else []
            env += ["--from-nodes=check_candidates,measure_pool"] if as_it_is else []
            command = [sys.executable, "-m", "kedro", "run", "--pipelines=advise", *env, f"--params={','.join(params)}"]
            subprocess.run(command, cwd=project, check=True)
            data = project / ("data" if world.env is None else f"data/{world.env}")
            record = read_json(data / "08_reporting" / "advice.json")["measured"]
            found[str(max(probe["steps"] for probe in record["probes"]))] = record
    return found


def few_pairs(folder: Path) -> Path:
    """Copy the project with `FEW` of simweb's curated pairs, its data by hard links; stages replace directories, so nothing here changes."""
    from superbatch.curation.subset import write_subset

    os.chdir(common.ROOT)
    for name in ("pyproject.toml", ".telemetry", "conf"):
        source = common.ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / "src").mkdir()  # Kedro asks for one; the package is the installed one
    for part in ("01_raw/simweb", "02_intermediate", "04_feature"):
        shutil.copytree(common.ROOT / "data" / part, folder / "data" / part, copy_function=os.link)
    curated = read_manifest(common.ROOT / "data/02_intermediate/curated")
    write_subset(curated, sampled_rows(len(curated), FEW, 0), folder / "subset", FEW, {})
    shutil.move(folder / "subset" / "shards", folder / "few")
    return folder


def show(rows: list[dict[str, Any]]) -> str:
    """Return the table of advices."""
    head = ("world", "budget", "advice", "by rule", "confidence", "its value", "best recorded", "uniform", "regret")
    return common.table(head, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    budget = f"{row['of']:,.0f} steps" if row["budget"] == "steps" else f"{row['of']:g} TFLOP"
    own = "not recorded" if row["value"] is None else f"{row['mark']}{row['value']:.3g}"
    best = f"{row['best_mark']}{row['best_value']:.3g} {row['best']}"
    numbers = [f"{row[key]:.3g}" if row[key] is not None else "" for key in ("uniform", "regret")]
    return row["world"], budget, row["advice"], row["rule"], row["confidence"], own, best, *numbers


def main(given: list[str] | None = None) -> None:
    """Measure what is asked for, decide all that is recorded, print and record both."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--world", action="append", default=[], choices=WORLDS, help="measure this one first")
    made.add_argument(
        "--results", type=Path, default=RESULTS, metavar="FILE", help="what was measured, and the outcomes"
    )
    made.add_argument("--record", action="store_true", help="write down what the rules say now")
    made.add_argument("--as-it-is", action="store_true", help="go by the reference and the features that lie there")
    options = made.parse_args(given)
    if options.quick and options.world:
        made.error("--quick measures nothing: leave --world out, and what is recorded is decided anew")
    recorded = read_json(options.results) if options.results.is_file() else {"measured": {}}
    for name in options.world:
        recorded["measured"][name] = measure(name, options.threads, options.as_it_is)
        recorded.setdefault("made_by", {})[name] = {"commit": common.commit(), "machine": common.machine()}
    rows = [
        outcome(name, *one)
        for name, found in sorted(recorded["measured"].items())
        for one in decided(found, WORLDS[name])
    ]
    recorded["rows"] = rows
    if options.world or options.record:
        options.results.write_text(json.dumps(recorded, indent=1) + "\n")
    print(show(rows))
    common.report("advice", figures(rows), options)


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean and the largest regret of each world, in points."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(row["world"] for row in rows):
        known = [row["regret"] for row in rows if row["world"] == name and row["regret"] is not None]
        found[name] = (
            {"budgets": len(known), "mean_regret": float(np.mean(known)), "largest_regret": max(known)} if known else {}
        )
    return {"regret": found}


if __name__ == "__main__":
    main()
