"""What selection is worth: the recorded runs of `compare` on both pools, steps and FLOPs to target, and how to make any run again.

    python benchmarks/results.py                                    the tables, from benchmarks/results/compare_<pool>.json
    python benchmarks/results.py --pool icons --record [FILE]       take over the last `kedro run --pipelines=compare --env=icons`, or another
                                                                    project folder's compare.json
    python benchmarks/results.py --pool simweb --run --only RUN     make one run anew and compare its digests with the recorded ones

The last line is one line of JSON with a block for each pool: `steps_to_target` (against uniform), `steps_to_target_best_simple`,
`flops_to_target` (the paper's accounting), `flops_to_target_charged`; 0 means not reached. `retrieval_to_uniform` is the mean R@1 of both
directions over uniform's best, each at the schedule that validation chose. Each is given by method; a method that was run at several
filtering ratios by `<method>-f<f>` too, and its own name stands for the one that validation chose. `recommended` is the preset that README
recommends.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import common
import pandas as pd
import yaml

from superbatch.artifacts.atomic import write_json
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.nested import merge
from superbatch.pipelines.compare.candidates import candidates
from superbatch.pipelines.compare.grid import expand, methods_of
from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.best import best_cell
from superbatch.reporting.cells import readable, target_table, to_text
from superbatch.reporting.comparison import Comparison, compare
from superbatch.reporting.summary import grid_frame
from superbatch.reporting.tables import final_table
from superbatch.reporting.targets import ToTarget
from superbatch.reporting.tuning import choices, tuned

RECOMMENDED = "adaptive_common"  # tests/test_docs.py holds README against it
POOLS = {"simweb": "data", "icons": "data/icons"}  # where each pool's runs lie; the second is an environment too
R1 = ("image_to_text_r1", "text_to_image_r1")
METRICS = {
    "top-1 %": ("top1",),
    "1-shot": ("few_shot_1",),
    "2-shot": ("few_shot_2",),
    "5-shot": ("few_shot_5",),
    "linear probe": ("linear_probe",),
    "k-NN": ("knn",),
    "mean R@1": R1,
}  # columns of the first table, each the mean over a run's test metrics of such an ending


def recorded(pool: str) -> Path:
    """Where the outcomes of a pool's grid are kept."""
    return common.ROOT / "benchmarks" / "results" / f"compare_{pool}.json"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--pool", choices=POOLS, action="append", help="this pool alone; may be repeated")
    made.add_argument(
        "--record",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE",
        help="keep the outcome of the pool's last compare, or that of a compare.json elsewhere, beside what is recorded already",
    )
    made.add_argument("--run", action="store_true", help="make the runs named by --only anew")
    made.add_argument("--only", metavar="RUN", action="append", default=[], help="a run's name; may be repeated")
    made.add_argument("--plot", type=Path, metavar="PNG", help="draw accuracy against schedule length there (one pool)")
    options = made.parse_args()
    options.pool = options.pool or list(POOLS)
    if (options.record is not None or options.run or options.plot) and len(options.pool) > 1:
        made.error(f"name one pool for that: --pool {' or '.join(POOLS)}")
    return options


def main() -> None:
    """Print the recorded outcomes, or make runs again."""
    options, figures, seeds = arguments(), dict[str, Any](), set[int]()
    for pool in options.pool:
        if options.record is not None:
            source = (
                options.record if options.record.name else common.ROOT / POOLS[pool] / "08_reporting" / "compare.json"
            )
            write_json(recorded(pool), merged(pool, read_json(recorded(pool)), read_json(source)))
        rows = read_json(recorded(pool))
        seeds |= {row["seed"] for row in rows}
        if options.plot:
            draw(rows, options.plot)
        figures[pool] = again(pool, rows, options.only) if options.run else outcome(pool, rows, options.only)
    options.seed = sorted(seeds)
    common.report("results", figures, options)


def merged(pool: str, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lay new rows over the recorded ones, by run; runs that the pool's list in conf does not have (any more) are left out.

    So a long grid can be made in pieces, on several machines, and the record never has what its list can't make anew.
    """
    file = "base/parameters_compare.yml" if pool == "simweb" else f"{pool}/parameters.yml"
    listed = expand(yaml.safe_load((common.ROOT / "conf" / file).read_text())["compare"])
    rows = {row["run"]: row for row in [*old, *new]}
    return [rows[name] for name in ("reference", *(spec.name for spec in listed)) if name in rows]


def outcome(pool: str, rows: list[dict[str, Any]], only: list[str]) -> dict[str, Any]:
    """Print each run, then steps to target; returns the figures."""
    shown = [row for row in rows if not only or row["run"] in only]
    print(common.table([pool, *METRICS], [[row["run"], *side_by_side(row)] for row in shown]), end="\n\n")
    cells = [
        [row["run"], row["commit"], row["run_hash"], row["digests"]["picks"][:12], row["digests"]["weights"][:12]]
        for row in shown
    ]
    print(common.table([pool, "commit", "run hash", "picks", "weights"], cells), end="\n\n")
    frame = finals(rows)
    comparison = compare(frame)
    print(to_text(readable(final_table(frame, comparison))), end="\n\n")
    print(to_text(target_table(comparison)), end="\n\n")
    print(*comparison.notes, choices(tuned(frame)), sep="\n", end="\n\n")
    found = figures_of(comparison, tuned(frame)) | {"retrieval_to_uniform": retrieval_to_uniform(frame)}
    for by_method in found.values():
        if RECOMMENDED in by_method:
            by_method["recommended"] = by_method[RECOMMENDED]
    return found


def finals(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the outcomes with both splits' mean R@1, each under the name of the method that it is a candidate of.

    A labelled run is one of its method only where tuned settings alone differ (`compare.candidates`), as the lists in conf say.
    """
    recalls = {f"{split} r1": [mean_of(row[split], R1) for row in rows] for split in ("validation", "test")}
    own = candidates_in_conf() if any(row["label"] != row["method"] for row in rows) else {}
    methods = [row["method"] if row["label"] == row["method"] else own.get(row["run"], row["method"]) for row in rows]
    return grid_frame(rows).assign(method=methods, **recalls)


@cache
def candidates_in_conf() -> dict[str, str]:
    """Return the method that each labelled run of the lists in conf is a candidate of, by the run's name."""
    conf = common.ROOT / "conf"
    base: dict[str, Any] = {}
    for file in ("parameters.yml", "parameters_methods.yml", "parameters_compare.yml"):
        base |= yaml.safe_load((conf / "base" / file).read_text())
    found: dict[str, str] = {}
    for own in ({}, *(yaml.safe_load(file.read_text()) for file in sorted(conf.glob("*/parameters.yml")))):
        parameters = merge(base, own)
        specs = [spec for spec in expand(parameters["compare"]) if spec.label != spec.method]
        methods = {method: parameters[method]["learner"] for method in methods_of(specs)}
        if "compare" in own or not own:
            found |= candidates(parameters["compare"], parameters["learner"], methods)
    return found


def side_by_side(row: dict[str, Any]) -> list[str]:
    """Return a run's test metrics in per cent; a dash for what was not measured."""
    values = (mean_of(row["test"], endings) for endings in METRICS.values())
    return ["–" if value != value else f"{100 * value:.2f}" for value in values]


def mean_of(metrics: dict[str, float], endings: tuple[str, ...]) -> float:
    """Return the mean of the metrics of some names, over sets and directions; NaN where there is none."""
    values = [value for name, value in metrics.items() if name.rpartition("/")[2] in endings]
    return sum(values) / len(values) if values else float("nan")


def figures_of(comparison: Comparison, frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return steps and FLOPs to target by method."""
    simple, uniform = (list(_named(found, frame)) for found in (comparison.simple, comparison.uniform))
    return {
        "steps_to_target": {name: one.ratio for name, one in uniform},
        "steps_to_target_best_simple": {name: one.ratio for name, one in simple},
        "flops_to_target": {name: one.ratios.get("flops_paper", 0.0) for name, one in uniform},
        "flops_to_target_charged": {name: one.ratios.get("flops_charged", 0.0) for name, one in uniform},
    }


def _named(outcomes: list[ToTarget], frame: pd.DataFrame) -> Iterator[tuple[str, ToTarget]]:
    """Name outcomes by method: the ratio that validation chose by the bare name, each of several by `<method>-f<f>`."""
    for one in outcomes:
        best = best_cell(frame[frame["method"] == one.method])
        if best is not None and best["f"].iloc[0] == one.f:
            yield one.method, one
        if frame.loc[frame["method"] == one.method, "f"].nunique() > 1:
            yield f"{one.method}-f{one.f:g}", one


def retrieval_to_uniform(frame: pd.DataFrame) -> dict[str, float]:
    """Return mean R@1 on test over uniform's best: each method at the schedule that validation chose for the headline.

    uniform's best is its schedule with the best R@1 on validation, whichever that is.
    """
    frame = tuned(frame)
    uniform = uniform_of(frame)
    if uniform.empty or frame["test r1"].isna().all():
        return {}
    target = (
        uniform.groupby("steps")[["validation r1", "test r1"]].mean().nlargest(1, "validation r1")["test r1"].item()
    )
    rivals = frame[frame["role"].isin(["simple", "selecting"])]
    best = {str(method): best_cell(own) for method, own in rivals.groupby("method")}
    return {method: float(cell["test r1"].mean() / target) for method, cell in best.items() if cell is not None}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw each method's final accuracy against the length of its schedules."""
    from superbatch.reporting.figures import png, schedule_figure

    frame = finals(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(schedule_figure(tuned(frame), compare(frame)), transparent=False))


def again(pool: str, rows: list[dict[str, Any]], only: list[str]) -> dict[str, Any]:
    """Make runs anew with `kedro run` and say whether picks and weights are the recorded ones, bit for bit.

    Raises:
        UserError: no name, or one that is no recorded run of the grid. `reference` is recorded too, but `compare` does not train it.
    """
    known = {row["run"]: row for row in merged(pool, rows, []) if row["run"] != "reference"}
    unknown = [name for name in only if name not in known]
    if unknown or not only:
        what = f"{unknown[0]!r} is no recorded run of the grid" if unknown else "names no run"
        raise UserError("--only", what, f"known: {', '.join(known)}")
    same, environment = {}, [] if pool == "simweb" else [f"--env={pool}"]
    for name in only:
        kedro = [
            str(Path(sys.executable).with_name("kedro")),
            "run",
            "--pipelines=compare",
            f"--namespaces={name}",
            *environment,
        ]
        subprocess.run([*kedro, "--params=learner.training.fresh=true"], cwd=common.ROOT, check=True)
        made = read_json(common.ROOT / POOLS[pool] / "07_model_output" / name / "training" / "run.json")
        same[name] = made["digests"] == known[name]["digests"]
        print(
            f"{name}: {'bit-identical' if same[name] else 'differs'} (recorded on {known[name]['machine']}, now on {made['machine']})"
        )
    return {"same": same}


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"Error: {error}")
