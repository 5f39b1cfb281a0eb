"""The stage `curate` by Kedro's commands: from a pool to a learner by a decision and its audit, and what is not done twice."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from superbatch import pipeline_registry
from superbatch.errors import UserError
from superbatch.options import AdviseSettings
from superbatch.pipelines.advise.candidates import probe_settings
from superbatch.pipelines.curate.nodes import decide_rows
from tests.forked_kedro import forked_kedro, ready_project
from tests.project import ONE_THREAD, copy_of

BY = "jest.learner.pool.curated_by=clean,learner.training.batch_size=16,audit.decision=clean"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of("ready", ready_project, tmp_path_factory) / "project"


def run(project: Path, stages: str, *more: str, check: bool = True):
    params = ",".join(["simweb.pool_pairs=400", ONE_THREAD, "curate.device=cpu", *more])
    return forked_kedro(project, "run", *stages.split(), "--env=quick", f"--params={params}", check=check)


@pytest.mark.slow
def test_a_learner_by_a_decision_and_its_audit(project: Path) -> None:
    missing = run(project, "--pipelines=learner --namespaces=jest", BY, check=False)
    assert missing.returncode == 1 and "kedro run --pipelines=curate" in missing.stderr
    run(project, "--pipelines=curate")
    again = run(project, "--pipelines=curate")
    assert "pool scores: up to date" in again.stderr and "pool decisions: up to date" in again.stderr
    other = run(project, "--pipelines=curate", "curate.hash_bits=1")
    assert "pool scores: up to date" not in other.stderr
    run(project, "--pipelines=curate")
    data = project / "data" / "quick"
    told = json.loads((data / "03_primary/pool/decisions/decisions.json").read_text())["clean"]
    assert 0 < told["kept"] < told["rows"] == told["kept"] + sum(told["left_out"].values())
    run(project, "--pipelines=learner --namespaces=jest", BY)
    record = json.loads((data / "07_model_output/jest/training/run.json").read_text())
    assert record["plan"]["rows"] == told["kept"] and record["settings"]["kept_rows"] == told["digest"]
    run(project, "--pipelines=audit", BY)
    rows = pd.read_parquet(data / "08_reporting/audit/rows.parquet")
    assert rows["left_out_by"].value_counts().to_dict() == {k: n for k, n in told["left_out"].items() if n}
    assert (rows.loc[rows["left_out_by"].notna(), "verdict"] == "unseen").all(), "a run never draws what it is without"


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    rule = {"name": "mine", "uids_in": str(tmp_path / "none.npy")}
    with pytest.raises(UserError, match=r"none.npy: no such list of uids; correct the path"):
        decide_rows(Path("tests"), tmp_path, {"decide": {"clean": [rule]}}, {})


def test_an_advice_tries_no_method_by_a_decision() -> None:
    with pytest.raises(UserError, match="mine draws from what a decision keeps, but an advice does not run curate"):
        probe_settings("mine", {}, {"pool": {"curated_by": "clean"}}, AdviseSettings())


def test_the_audit_reads_decisions_where_it_is_asked_to_or_its_run_draws_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_one = {"learner": {"pool": {"curated_by": "clean"}}}
    for known, reads in (
        ({"audit": {"run": "jest"}}, False),
        ({"audit": {"run": "jest", "decision": "clean"}}, True),
        ({"audit": {"run": "mine"}, "mine": by_one}, True),
    ):
        monkeypatch.setattr(pipeline_registry, "_parameters", known)
        (judge,) = [node for node in pipeline_registry.register_pipelines()["audit"].nodes if node.name == "judge_rows"]
        assert ("pool.decisions" in judge.inputs) == reads, known
