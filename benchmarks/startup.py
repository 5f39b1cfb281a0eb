"""How long a newcomer waits: `kedro --help`, and `kedro run --pipeline=jest` on the embedded default in a fresh project, stage by stage.

    python benchmarks/startup.py [--quick | --icons [--package FILE]] [--json FILE] [--threads N]

Figures (DESIGN.md, "Numbers to hold"): kedro_help_s, the median of several starts; main_job_s, the whole chain from nothing, and
second_run_s, the same command again. --quick takes conf/quick, and says so in the names: quick_job_s. --icons takes conf/icons: icons_s, what
`make icons` takes from an empty folder, without installing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, interleaved, median, parser, report, table

KEDRO = str(Path(sys.executable).with_name("kedro"))
DONE = "Completed node: "


def fresh_project(folder: Path) -> Path:
    """Make a project without data: the configuration of this one, without what is local."""
    shutil.copytree(ROOT / "conf", folder / "conf", ignore=lambda _, names: [name for name in names if name == "local"])
    for name in ("conf/local", "src", "data"):
        (folder / name).mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder)
    return folder


def environment(threads: int) -> dict[str, str]:
    """Return the environment of the commands: no telemetry, as many threads as asked for."""
    return {
        **os.environ,
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "OMP_NUM_THREADS": str(threads),
        "COLUMNS": "120",
    }


def help_seconds(project: Path, threads: int, repeats: int) -> float:
    """Return the median time of `kedro --help`."""

    def call() -> None:
        subprocess.run([KEDRO, "--help"], cwd=project, env=environment(threads), check=True, capture_output=True)

    return median(interleaved({"help": call}, repeats)["help"])


def run_seconds(project: Path, threads: int, arguments: list[str]) -> tuple[float, dict[str, float]]:
    """Run the chain; returns its time in seconds and each node's (the first one's includes the start)."""
    nodes: dict[str, float] = {}
    start = last = time.perf_counter()
    command = [KEDRO, "run", "--pipeline=jest", *arguments]
    log: list[str] = []
    with subprocess.Popen(
        command, cwd=project, env=environment(threads), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            log.append(line)
            if DONE in line:
                now = time.perf_counter()
                nodes[line.split(DONE)[1].strip()] = now - last
                last = now
    if process.returncode:
        sys.exit("".join(log[-20:]) + f"{' '.join(command)} failed")
    return time.perf_counter() - start, nodes


def command_line() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--icons", action="store_true", help="the real pool: up to 15 minutes on two cores")
    made.add_argument("--package", type=Path, metavar="FILE", help="for --icons, what `npm pack` fetched: no npm then")
    options = made.parse_args()
    if options.quick and options.icons:
        made.error("--quick and --icons are two environments: give one of them")
    return options


def main() -> None:
    """Measure, print the table and the closing line."""
    options = command_line()
    job = "icons" if options.icons else "quick" if options.quick else ""
    arguments = [f"--env={job}"] if job else []
    arguments += [f"--params=icons.package={options.package.resolve()}"] if options.package else []
    arguments += [f"--params=learner.training.seed={options.seed}"] if options.seed else []
    with tempfile.TemporaryDirectory() as folder:
        project = fresh_project(Path(folder))
        help_s = help_seconds(project, options.threads, 3 if options.quick else 9)
        first, nodes = run_seconds(project, options.threads, arguments)
        second, again = run_seconds(project, options.threads, arguments)
    rows = [[name, f"{seconds:.1f}", f"{again[name]:.1f}"] for name, seconds in nodes.items()]
    rows += [["all", f"{first:.1f}", f"{second:.1f}"], ["kedro --help", f"{help_s:.2f}", ""]]
    print(table(["node", "first run, s", "second run, s"], rows))
    figure = {"icons": "icons_s", "quick": "quick_job_s"}.get(job, "main_job_s")
    figures = {figure: round(first, 1), "second_run_s": round(second, 1), "kedro_help_s": round(help_s, 3)}
    report("startup", figures, options)


if __name__ == "__main__":
    main()
