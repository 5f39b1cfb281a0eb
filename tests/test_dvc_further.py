"""The further stages, in benchmarks/**/dvc.yaml, are no part of the project until .dvcignore switches them on (docs/dvc.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, plan_repro

from tests.dvc_project import dvc_project
from tests.project import PROJECT

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own

METHODS = yaml.safe_load((PROJECT / "conf/base/parameters_methods.yml").read_text())["methods"]
OWN = {"simweb", "ingest", "reference", "check", "embed", "evaluate-reference", "report", "audit"}
OWN |= {f"{stage}@{method}" for stage in ("learner", "evaluate") for method in METHODS}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = dvc_project(tmp_path / "project")
    monkeypatch.chdir(made)
    return made


def switch_on(project: Path, *names: str) -> None:
    with open(project / ".dvcignore", "a") as file:
        file.writelines(f"!{name}\n" for name in names)


def planned(project: Path, target: str = "dvc.yaml") -> set[str]:
    """Stages that `dvc repro` goes through, with the files of those that are not the project's own."""
    with Repo(str(project)) as repo:
        return {stage.addressing for stage in plan_repro(repo.index.graph, collect_stages(repo, [target]))}


def test_repro_goes_through_the_projects_own_stages_only(project: Path) -> None:
    assert (project / "benchmarks" / "acid" / "dvc.yaml").is_file()
    assert planned(project) == OWN


def test_what_is_on_is_made_too_where_the_report_shows_it(project: Path) -> None:
    on = [f"benchmarks/{name}dvc.yaml" for name in ("", "icons/", "export/", "jest_pp/")]
    switch_on(project, *on)
    jest_pp = {f"{on[-1]}:{name}" for name in ("bootstrap", "jest_pp", "evaluate-reference_pp", "evaluate-jest_pp")}
    assert planned(project) - OWN == jest_pp
    for file in on:
        assert {name.partition(":")[0] for name in planned(project, file) - OWN} == {file}
