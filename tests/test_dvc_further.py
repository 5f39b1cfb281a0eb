"""The further stages, in benchmarks/**/dvc.yaml, are no part of the project until .dvcignore switches them on (docs/dvc.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, plan_repro

from tests.dvc_project import commit, dvc, dvc_done, dvc_project, git
from tests.project import PROJECT
from tests.test_dvc_yaml import stages, written

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own

METHODS = yaml.safe_load((PROJECT / "conf/base/parameters_methods.yml").read_text())["methods"]
ACID = "benchmarks/acid/dvc.yaml"
ALL = [file.relative_to(PROJECT).as_posix() for file in PROJECT.glob("benchmarks/**/dvc.yaml")]
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
    assert (project / ACID).is_file()
    assert planned(project) == OWN


def test_what_is_on_is_made_too_where_the_report_shows_it(project: Path) -> None:
    on = [f"benchmarks/{name}dvc.yaml" for name in ("", "icons/", "export/", "jest_pp/")]
    switch_on(project, *on)
    jest_pp = {f"{on[-1]}:{name}" for name in ("bootstrap", "jest_pp", "evaluate-reference_pp", "evaluate-jest_pp")}
    assert planned(project) - OWN == jest_pp
    for file in on:
        assert {name.partition(":")[0] for name in planned(project, file) - OWN} == {file}


def test_a_dry_repro_without_data_ends_as_the_docs_tell(project: Path) -> None:
    """Where DVC has learnt better, the sentence goes."""
    done = dvc_done(project, "repro", "--dry", check=False)
    (told,) = re.findall(r"`dvc repro --dry` ends with `(.+?)`", (PROJECT / "docs" / "dvc.md").read_text())
    assert done.returncode and told in done.stderr


def make(project: Path, *files: str) -> None:
    """Let stages be done, each with a few bytes in its outs; DVC records them without running anything."""
    for out in {out for file in files for _, stage in stages(project / file, METHODS) for out in written(stage)}:
        path = project / out if Path(out).suffix else project / out / "some"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    dvc(project, "commit", "--force", *files)


def test_the_chart_has_the_projects_own_stages_only(project: Path) -> None:
    assert set(re.findall(r'\["(.+)"\]', dvc(project, "dag", "--md"))) == OWN


def test_status_and_checkout_miss_nothing_that_nobody_asked_for(project: Path) -> None:
    """A pull into a clone neither: tests/test_dvc_repro.py."""
    make(project, "dvc.yaml")
    assert dvc(project, "status").strip() == "Data and pipelines are up to date."
    dvc(project, "checkout")
    switch_on(project, ACID)
    assert dvc_done(project, "checkout", check=False).returncode, "on, and not made yet"
    dvc(project, "checkout", "dvc.yaml")  # as docs/dvc.md tells


@pytest.mark.slow
def test_what_is_on_and_made_is_shared(project: Path) -> None:
    switch_on(project, *ALL)
    make(project, "dvc.yaml", *ALL)
    dvc(project, "checkout")
    commit(project)
    dvc(project, "push")
    clone = project.parent / "clone"
    git(project.parent, "clone", "--quiet", str(project), str(clone))
    dvc(clone, "pull")
    dvc(clone, "checkout")
    assert {path.name for path in (clone / "data/06_models").iterdir()} >= {"aced", "classact", "dnc", "jest_pp"}
