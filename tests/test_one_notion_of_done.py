"""Kedro, DVC and the stamps agree on what is done: whichever made it, on whichever machine, whatever the times of change are."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.dvc_project import change, contents, dvc, finished_project, git, models, ran
from tests.forked_kedro import forked_kedro
from tests.project import UNREPORTED, copy_of

PARAMETERS = "conf/base/parameters.yml"
MADE_ANEW = ("08_reporting", ".stages", "06_models/.state")  # the report always is; working folders are no artefacts
OTHER = "report.title=Other,audit.examples=3,ingest.pool.expect.rows.min=3,reference.training.fresh=true,learner.training.fresh=true"
JEST = (
    "simweb",
    "pool set",
    "curated set",
    "evaluation sets",
    "reference",
    "reference check",
    "pool features",
    "curated features",
)
JEST += ("jest", "uniform", "reference evaluation", "jest evaluation", "uniform evaluation")


def kedro(project: Path, *arguments: str) -> str:
    done = forked_kedro(project, "run", *arguments, check=True)
    return done.stdout + done.stderr


def up_to_date(said: str) -> set[str]:
    """Names of what the stages say they found done."""
    words = re.sub(r"\s+", " ", said)
    return {name for name in JEST if f"{name}: up to date" in words}


def files(project: Path) -> dict[str, tuple[int, int]]:
    """Each file of the artefacts, by inode and time of change: what was written again, even with the same bytes, differs."""
    data = project / "data"
    found = (path for path in data.rglob("*") if path.is_file() and path.name != ".gitignore")
    named = {path.relative_to(data).as_posix(): path.stat() for path in found}
    return {name: (s.st_ino, s.st_mtime_ns) for name, s in named.items() if not name.startswith(MADE_ANEW)}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose chain `kedro run` made, then `dvc repro` looked at; see `finished_project`."""
    return copy_of("finished", finished_project, tmp_path_factory) / "project"


@pytest.fixture
def project(first: Path) -> Path:
    """The project as it was committed."""
    git(first, "checkout", "--quiet", "conf", "dvc.lock")
    dvc(first, "checkout", "--force")
    return first


def assert_nothing_is_made(project: Path, *, report: bool = False) -> None:
    """Run the chain, by default without its report, and see that no artefact is written."""
    before = files(project)
    assert up_to_date(kedro(project, "--pipeline=jest", *([] if report else UNREPORTED))) == set(JEST)
    assert files(project) == before


def test_repro_takes_what_kedro_made(first: Path) -> None:
    said = (first.parent / "repro.txt").read_text()
    before, after = json.loads((first.parent / "models.json").read_text()), models(first)
    assert len(ran(said)) > 10 and up_to_date(said) == set(JEST)
    assert {name: after.pop(name, "") for name in before} == before
    assert after and all("filtered" in name for name in after), "what DVC itself had to make"
    assert not [path for path in (first / "data/.stages/published").iterdir() if path.is_dir()], "that would take room"


def test_kedro_takes_what_dvc_has_and_dvc_sees_no_change(project: Path) -> None:
    assert_nothing_is_made(project)
    assert "up to date" in dvc(project, "status")


def test_nothing_is_made_after_a_pull_into_a_clone(project: Path, tmp_path: Path) -> None:
    git(project, "clone", "--quiet", str(project), str(tmp_path / "clone"))
    dvc(tmp_path / "clone", "remote", "modify", "beside", "url", str(project.parent / "superbatch-store"))
    dvc(tmp_path / "clone", "pull")
    assert_nothing_is_made(tmp_path / "clone", report=True)


def test_nothing_is_made_in_a_copied_folder_or_after_touch(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "data", tmp_path / "copy" / "data", copy_function=shutil.copyfile)
    for name in ("conf", "src"):
        shutil.copytree(project / name, tmp_path / "copy" / name)
    shutil.copy(project / "pyproject.toml", tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "data" / ".stages")
    assert_nothing_is_made(tmp_path / "copy")
    for path in (tmp_path / "copy" / "data").rglob("*"):
        path.touch()
    assert_nothing_is_made(tmp_path / "copy")


@pytest.mark.slow
def test_nothing_is_made_after_a_checkout_of_other_data_and_back(project: Path) -> None:
    """And DVC takes what `kedro run` made of other settings: committed without running it."""
    before = models(project)
    change(project / PARAMETERS, {"simweb": {"pool_pairs": 300}})
    kedro(project, "--pipelines=simweb,ingest")
    assert models(project) != before
    dvc(project, "commit", "--force", "simweb", "ingest")
    assert "up to date" in dvc(project, "status", "simweb", "ingest")
    other = models(project)
    git(project, "stash")
    dvc(project, "checkout", "--force")
    assert models(project) == before
    assert_nothing_is_made(project)
    git(project, "stash", "pop")
    dvc(project, "checkout", "--force", "simweb", "ingest")
    assert models(project) == other
    assert {"simweb", "pool set", "curated set"} <= up_to_date(kedro(project, "--pipelines=simweb,ingest"))
    assert models(project) == other


@pytest.mark.slow  # tests/datasets/test_aside.py has the same for each data set by itself
@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_no_run_writes_into_a_linked_cache(project: Path, kind: str) -> None:
    dvc(project, "config", "--local", "cache.type", kind)
    dvc(project, "checkout", "--force", "--relink")
    cache = project / ".dvc" / "cache" / "files"
    page, before = project / "data" / "08_reporting" / "report.html", contents(cache)
    assert page.is_symlink() if kind == "symlink" else os.stat(page).st_nlink > 1
    kedro(project, "--pipelines=jest,audit", f"--params={OTHER}")
    assert not page.is_symlink() and "Other" in page.read_text()
    assert contents(cache) == before
    dvc(project, "config", "--local", "--unset", "cache.type")
    dvc(project, "checkout", "--force", "--relink")
