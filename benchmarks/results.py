"""What selection is worth: the recorded runs of `compare`, steps and FLOPs to target, and how to make any run again.

    python benchmarks/results.py                       the table, from benchmarks/results/compare.json
    python benchmarks/results.py --record              take over the last `kedro run --pipelines=compare`
    python benchmarks/results.py --run --only RUN      make one run anew and compare its digests with the recorded ones

The last line is one line of JSON: `steps_to_target.<method>` (against uniform), `steps_to_target_best_simple.<method>`,
`flops_to_target.<method>` (the paper's accounting), `flops_to_target_charged.<method>`; 0 means not reached.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import common
import pandas as pd

from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.reporting.cells import readable, target_table, to_text
from superbatch.reporting.comparison import compare
from superbatch.reporting.tables import final_table
from superbatch.reporting.tuning import choices, tuned

RECORDED = common.ROOT / "benchmarks" / "results" / "compare.json"
LATEST = common.ROOT / "data" / "08_reporting" / "compare.json"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument(
        "--record", action="store_true", help="copy the outcome of the last compare to benchmarks/results"
    )
    made.add_argument("--run", action="store_true", help="make the runs named by --only anew")
    made.add_argument("--only", metavar="RUN", action="append", default=[], help="a run's name; may be repeated")
    made.add_argument("--file", type=Path, default=RECORDED, help="another record than benchmarks/results/compare.json")
    made.add_argument("--plot", type=Path, metavar="PNG", help="draw accuracy against schedule length there")
    return made.parse_args()


def main() -> None:
    """Print the recorded outcome, or make runs again."""
    options = arguments()
    if options.record:
        shutil.copy(LATEST, options.file)
    rows = read_json(options.file)
    if options.plot:
        draw(rows, options.plot)
    figures = again(rows, options.only) if options.run else outcome(rows, options.only)
    options.seed = sorted({row["seed"] for row in rows})
    common.report("results", figures, options)


def outcome(rows: list[dict[str, Any]], only: list[str]) -> dict[str, Any]:
    """Print each run, then steps to target; returns the figures."""
    shown = [row for row in rows if not only or row["run"] in only]
    cells = [
        [row["run"], f"{100 * row['outcome']['value']:.2f}", row["commit"], row["run_hash"]]
        + [row["digests"]["picks"][:12], row["digests"]["weights"][:12]]
        for row in shown
    ]
    print(common.table(["run", "test top-1 %", "commit", "run hash", "picks", "weights"], cells), end="\n\n")
    frame = finals(rows)
    comparison = compare(frame)
    print(to_text(readable(final_table(frame, comparison))), end="\n\n")
    print(to_text(target_table(comparison)), end="\n\n")
    print(*comparison.notes, choices(tuned(frame)), sep="\n")
    return comparison.numbers()


def finals(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the outcomes under their methods' names: labelled runs are candidates of their method."""
    return pd.DataFrame([row["outcome"] | {"method": row["method"]} for row in rows])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw each method's final accuracy against the length of its schedules."""
    from superbatch.reporting.figures import png, schedule_figure

    frame = finals(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(schedule_figure(tuned(frame), compare(frame)), transparent=False))


def again(rows: list[dict[str, Any]], only: list[str]) -> dict[str, Any]:
    """Make runs anew with `kedro run` and say whether picks and weights are the recorded ones, bit for bit."""
    known = {row["run"]: row for row in rows}
    unknown = [name for name in only if name not in known]
    if unknown or not only:
        raise UserError(
            "--only", f"{unknown[0]!r} is not recorded" if unknown else "names no run", f"known: {', '.join(known)}"
        )
    same = {}
    for name in only:
        kedro = [str(Path(sys.executable).with_name("kedro")), "run", "--pipelines=compare", f"--namespaces={name}"]
        subprocess.run([*kedro, "--params=learner.training.fresh=true"], cwd=common.ROOT, check=True)
        made = read_json(common.ROOT / "data" / "07_model_output" / name / "training" / "run.json")
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
