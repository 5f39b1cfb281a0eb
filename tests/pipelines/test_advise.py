"""The stage `advise`: the whole of it by one command, what it refuses, and what of a run's records it goes by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from superbatch import pipeline_registry
from superbatch.config import check_parameters
from superbatch.errors import UserError
from superbatch.options import AdviseSettings, BudgetSettings
from superbatch.pipelines.advise.candidates import probe_override, probe_settings
from superbatch.reporting.advice.measured import Measured
from superbatch.reporting.advice.rules import advise
from tests.forked_kedro import forked_kedro, ready_project
from tests.project import ONE_THREAD, PROJECT, copy_of, copy_project


@pytest.fixture(scope="module")
def parameters() -> dict:
    found: dict = {}
    for file in (PROJECT / "conf" / "base").glob("parameters*.yml"):
        found |= yaml.safe_load(file.read_text())
    return found


def test_the_chain_ends_in_an_advice_and_trains_no_run(monkeypatch: pytest.MonkeyPatch, parameters: dict) -> None:
    monkeypatch.setattr(pipeline_registry, "_parameters", parameters)
    chain = pipeline_registry.register_pipelines()["advise"]
    order = [node.name for node in chain.nodes]
    assert order[-1] == "advise" and order.index("check_candidates") < order.index("reference.train")
    probes = {name for name in order if name.startswith("probe_")}
    assert probes == {f"probe_{name}" for name in parameters["advise"]["candidates"]}
    assert not {name for name in chain.all_outputs() if name.endswith(".checkpoint")} - {"reference.checkpoint"}


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"candidates": ["uniform", "jset"]}, "advise.candidates: 'jset' is not a method; did you mean jest?"),
        ({"candidates": []}, "advise.candidates: [] has too few entries; use a list of 1 or more"),
        ({"candidates": ["safe", "safe"]}, "advise.candidates: safe is named twice; name each once"),
        ({"budget": {"steps": 0}}, "advise.budget.steps: 0 is too small; use 1 or more, or leave it out"),
        ({"budget": {"tflop": 0}}, "advise.budget.tflop: 0 is too small; use more than 0, or leave it out"),
        ({"probe": 0}, "advise.probe: 0 is too small; use 1 or more"),
        (
            {"budget": {"steps": 5, "tflop": 1.0}},
            "advise.budget: has steps and tflop, which may contradict each other; give one of the two",
        ),
        ({"budgets": {}}, "advise.budgets: unknown parameter; did you mean budget?"),
    ],
)
def test_what_it_refuses_is_one_line(parameters: dict, block: dict, line: str) -> None:
    with pytest.raises(UserError) as refused:
        check_parameters(parameters | {"advise": block})
    assert str(refused.value) == line


def test_a_candidate_by_another_reference_is_refused(parameters: dict) -> None:
    with pytest.raises(UserError, match="aced uses reference_large, but an advice only has the first reference"):
        probe_settings("aced", parameters["learner"], parameters["aced"]["learner"], AdviseSettings())


def test_a_probe_is_no_longer_than_the_budget(parameters: dict) -> None:
    short = AdviseSettings(budget=BudgetSettings(steps=300), seed=3)
    override = {"training": {"steps": 9_000, "loss": "softmax"}}
    assert probe_override("mine", override, short) == {"training": {"steps": 300, "seed": 3, "loss": "softmax"}}
    assert probe_override("mine", None, AdviseSettings(budget=BudgetSettings(tflop=0.1)))["training"]["steps"] == 600


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of("ready", ready_project, tmp_path_factory) / "project"


SMALL = "simweb.pool_pairs=400,reference.training.steps=2,reference.training.evaluate_every=2"


def run(project: Path, *more: str):
    params = ",".join([SMALL, ONE_THREAD, "advise.probe=4,learner.training.batch_size=16", *more])
    return forked_kedro(project, "run", "--pipeline=advise", "--env=quick", f"--params={params}")


@pytest.mark.slow
def test_one_command_gives_an_advice_and_a_second_trains_nothing(project: Path) -> None:
    done = run(project)
    reporting = project / "data" / "quick" / "08_reporting"
    assert done.stdout.strip().splitlines()[-1] == "Advise: data/quick/08_reporting/advice.md", done.stderr
    found = json.loads((reporting / "advice.json").read_text())
    assert [probe["name"] for probe in found["measured"]["probes"]] == [
        "uniform",
        "easy_reference",
        "adaptive_common",
    ]
    assert {probe["steps"] for probe in found["measured"]["probes"]} == {4}
    assert found["measured"]["steps"] == 10, "learner.training.steps"
    again = advise(Measured.of_record(found["measured"]))
    assert (again.preset, again.confidence) == (found["preset"], found["confidence"])
    assert f"advice: {found['line']}" in done.stderr
    told = (reporting / "advice.md").read_text()
    kept = f"{SMALL},{ONE_THREAD},learner.training.batch_size=16"
    assert f"kedro run --pipeline={found['preset']} --env=quick --params={kept},learner.training.steps=10" in told
    assert not list((project / "data/quick/07_model_output").glob("*probe*")), (
        "the report does not count probes as runs"
    )

    second = run(project, "advise.budget.tflop=1000")
    for name in ("uniform", "easy_reference", "adaptive_common"):
        assert f"probe of {name}: up to date" in second.stderr
    assert json.loads((reporting / "advice.json").read_text())["measured"]["tflop"] == 1000


def test_a_budget_of_nothing_ends_the_command_before_anything_runs(tmp_path: Path) -> None:
    done = run(copy_project(tmp_path / "project"), "advise.budget.steps=0")
    assert done.returncode == 1 and "Error: advise.budget.steps: 0 is too small" in done.stderr
    assert "Traceback" not in done.stderr and "Running node" not in done.stderr
