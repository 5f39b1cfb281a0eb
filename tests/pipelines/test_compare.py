"""`compare` through the real command: each run is evaluated when it is trained, a grid ends with a table, a report comes after it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.forked_kedro import SMALL, Done, forked_kedro, ready_project
from tests.project import ONE_THREAD, PROJECT, copy_of

REFERENCE = (
    f"{SMALL},{ONE_THREAD},reference.training.steps=2,reference.training.evaluate_every=2"  # as `ready_project` made it
)
LEARNER = "learner.training.steps=2,learner.training.evaluate_every=2,learner.training.checkpoint_every=2"
MEASURED = (
    "evaluate.linear_probe=null"  # training it takes longer than the runs; tests/pipelines/test_quick_chain.py has it
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with everything that a run of the grid reads."""
    return copy_of("ready", ready_project, tmp_path_factory) / "project"


def run(project: Path, pipelines: str, grid: str = "", code: int = 0, common: dict[str, Any] | None = None) -> Done:
    """Run stages on the small data, with a grid of one's own (the entries' YAML, and what `set` holds)."""
    local = project / "conf" / "quick" / "parameters_grid.yml"
    local.write_text(f"compare:\n  set: {json.dumps(common or {})}\n  runs:\n{grid}" if grid else "")
    quick = project / "conf" / "quick" / "parameters.yml"
    quick.write_text(quick.read_text().split("\ncompare:")[0] + "\n")
    done = forked_kedro(
        project, "run", f"--pipelines={pipelines}", "--env=quick", f"--params={REFERENCE},{LEARNER},{MEASURED}"
    )
    assert done.returncode == code, done
    return done


def test_a_stopped_grid_has_test_values_of_what_was_finished(project: Path) -> None:
    grid = "    - {method: uniform, label: a, steps: 2}\n"
    grid += "    - {method: uniform, label: b, steps: 3, set: {training.resume_from: nowhere}}\n"
    assert "training.resume_from: nowhere" in run(project, "compare", grid, code=1).stderr
    results = project / "data/quick/07_model_output/a-T2-s0/evaluation/classification.json"
    assert "top1" in json.loads(results.read_text())["metrics"]


def test_what_a_later_run_would_refuse_is_said_before_the_first_is_trained(project: Path) -> None:
    grid = "    - {method: uniform, label: first, steps: 2}\n"
    grid += "    - {method: uniform, label: large, steps: 2, set: {training.batch_size: 4000}}\n"
    said = run(project, "compare", grid, code=1).stderr
    assert said.startswith("Error: large-T2-s0: super-batch: B = 4,000 rows are more than the ")
    assert not (project / "data/quick/07_model_output/first-T2-s0").exists()


def test_a_grid_alone_ends_with_its_table_and_the_way_to_the_report(project: Path) -> None:
    """Runs that differ in tuned settings are recorded under their method."""
    rate = "{training.optimizer.learning_rate: 0.0005}"
    grid = (
        f"    - {{method: uniform, steps: 2}}\n    - {{method: uniform, label: uniform_low, steps: 2, set: {rate}}}\n"
    )
    said = run(project, "compare", f"{grid}    - {{method: jest, steps: 3}}\n").stdout
    table = [line.split()[0] for line in said.splitlines() if line.startswith(("uniform", "jest"))]
    assert set(table) == {"uniform", "jest"}
    assert said.strip().endswith("For the report: kedro run --pipelines=report --env=quick")
    rows = json.loads((project / "data/quick/08_reporting/compare.json").read_text())
    assert [row["outcome"]["method"] for row in rows] == ["reference", "uniform", "uniform", "jest"]


@pytest.mark.slow  # tests/pipelines/test_registry.py has the order, and the report of a chain is in test_quick_chain.py
def test_a_report_beside_a_grid_shows_its_new_runs(project: Path) -> None:
    run(project, "compare,report", "    - {method: uniform, steps: 5}\n")
    assert "uniform-T5-s0" in (project / "data/quick/08_reporting/report.html").read_text()


@pytest.mark.slow
def test_own_data_mds_grid_runs(project: Path) -> None:
    """With two schedules of a few steps and one seed; else as it stands there."""
    page = (PROJECT / "docs" / "own_data.md").read_text()
    (block,) = re.findall(r"^```yaml\n(compare:.*?)^```", page, re.MULTILINE | re.DOTALL)
    grid = yaml.safe_load(block)["compare"]
    names = {entry.get("label", entry["method"]) for entry in grid["runs"]}
    assert {entry["method"] for entry in grid["runs"]} == {"uniform", "filtered", "jest", "easy_reference"}
    for entry in grid["runs"]:
        entry.update(seeds=[0], steps=[2, 3])
    run(project, "compare", "".join(f"    - {json.dumps(entry)}\n" for entry in grid["runs"]), common=grid["set"])
    rows = json.loads((project / "data/quick/08_reporting/compare.json").read_text())
    assert {row["label"] for row in rows} == names | {"reference"}
    assert {row["outcome"]["method"] for row in rows} == {"reference", "uniform", "filtered", "jest", "easy_reference"}
    record = json.loads((project / "data/quick/07_model_output/uniform-T2-s0/training/run.json").read_text())
    assert record["settings"]["training"]["evaluate_every"] == grid["set"]["training.evaluate_every"]
