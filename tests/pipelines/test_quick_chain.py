"""The main job in miniature, as a user runs it: `kedro run --pipeline=jest --env=quick` in a fresh project, twice."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.project import command, copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def first(project: Path) -> subprocess.CompletedProcess[str]:
    return command(project, "kedro", "run", "--pipeline=jest", "--env=quick")


@pytest.fixture(scope="module")
def data(project: Path, first: subprocess.CompletedProcess[str]) -> Path:
    return project / "data" / "quick"


def test_ends_with_a_table_and_the_reports_place(first: subprocess.CompletedProcess[str]) -> None:
    lines = first.stdout.strip().splitlines()
    assert lines[-1] == "Report: data/quick/08_reporting/report.html"
    for method in ("jest", "uniform", "reference"):
        assert any(line.startswith(method) for line in lines), first.stdout


def test_every_stage_leaves_its_files(data: Path) -> None:
    for name in (
        "01_raw/simweb/pool",
        "02_intermediate/pool/manifest.parquet",
        "02_intermediate/pool/expectations.json",
        "04_feature/pool",
    ):
        assert (data / name).exists(), name
    for run in ("reference", "jest", "uniform"):
        assert (data / "06_models" / run / "open_clip_model.safetensors").is_file()
        assert (
            json.loads((data / "07_model_output" / run / "training" / "run.json").read_text())["status"] == "finished"
        )
        assert {path.stem for path in (data / "07_model_output" / run / "evaluation").glob("*.json")} == {
            "classification",
            "retrieval",
        }


def test_the_report_compares(data: Path) -> None:
    reporting = data / "08_reporting"
    rows = list(csv.DictReader((reporting / "table.csv").open()))
    assert {row["method"] for row in rows} >= {"jest", "uniform"}
    page = (reporting / "report.html").read_text()
    assert not re.search(r"""(src|href)=["']?https?:""", page), "the page must open offline"
    for figure in ("accuracy_by_steps", "accuracy_by_samples", "accuracy_by_flops", "accuracy_by_seconds", "purity"):
        assert (reporting / f"{figure}.png").stat().st_size > 1_000


def test_nothing_is_left_over(data: Path) -> None:
    assert not list(data.rglob("*.tmp"))
    assert not list(data.rglob("*.old"))


def test_a_second_run_finds_everything_up_to_date(project: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*.safetensors")}
    again = command(project, "kedro", "run", "--pipelines=jest", "--env=quick")
    assert before == {path: path.stat().st_mtime_ns for path in data.rglob("*.safetensors")}
    for what in ("simweb", "pool set", "pool features", "jest", "uniform", "reference"):
        assert re.search(rf"\b{what}: up to date", again.stderr), what


def test_a_changed_parameter_trains_anew_and_only_that(project: Path, data: Path) -> None:
    done = command(
        project,
        "kedro",
        "run",
        "--pipelines=learner",
        "--env=quick",
        "--namespaces=uniform,jest",
        "--params=jest.learner.selection.gain=7",
    )
    assert re.search(r"jest: run hash \w+ starts afresh", done.stderr)
    assert "uniform: up to date" in done.stderr
