"""The stage `icons` through Kedro, on a tiny package of hand-made sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from superbatch.nested import merge
from tests.forked_kedro import Done, forked_kedro
from tests.icons.packages import TINY, write_folder
from tests.project import copy_project

RAW = "data/icons/01_raw/icons"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose environment `icons` has the tiny package."""
    folder = copy_project(tmp_path_factory.mktemp("icons") / "project")
    write_folder(folder / "sets")
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in TINY.items()}
    change(folder, {"icons": settings | {"package": "sets"}})
    return folder


def change(project: Path, changes: dict[str, object]) -> None:
    file = project / "conf/icons/parameters.yml"
    file.write_text(yaml.safe_dump(merge(yaml.safe_load(file.read_text()), changes)))


def run(project: Path, *arguments: str, **environment: str) -> Done:
    return forked_kedro(project, "run", "--env=icons", *arguments, **environment)


def test_the_stage_renders_once_whatever_the_package_is_called(project: Path) -> None:
    first = run(project, "--pipelines=icons")
    assert first.returncode == 0, first.stderr
    assert json.loads((project / RAW / "summary.json").read_text())["samples"]["pool"] > 20
    assert (project / RAW / "contact_sheet.png").is_file()
    assert list((project / RAW / "pool").glob("*.tar"))
    shutil.copytree(project / "sets", project / "moved")
    again = run(project, "--pipelines=icons", "--params=icons.package=moved,icons.jobs=2")
    assert "icons: up to date" in again.stderr, "its content counts"


@pytest.mark.parametrize(
    ("params", "line"),
    [
        (
            "icons.package=nowhere",
            "Error: nowhere: no such file or folder; name a folder, a .tgz, or a package as npm does",
        ),
        (
            "icons.package='@iconify/json@9.9.9'",
            "Error: icons.package: npm, which fetches @iconify/json@9.9.9, was not found;",
        ),
        ("icons.class_teams=50,icons.seed=1", "Error: icons.class_teams: 0 concepts are drawn by 50 teams or more"),
        ("icons.image_sise=8", "Error: icons.image_sise: unknown parameter; did you mean image_size?"),
    ],
)
def test_mistakes_are_one_line(project: Path, params: str, line: str, tmp_path: Path) -> None:
    done = run(project, "--pipelines=icons", f"--params={params}", PATH=str(tmp_path))
    assert done.returncode == 1
    assert line in done.stderr
    assert "Traceback" not in done.stderr


def test_in_the_base_environment_nothing_is_rendered(project: Path) -> None:
    done = forked_kedro(project, "run", "--pipelines=icons")
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in (project / "data/01_raw/icons").iterdir()) == ["README.txt", "stage.stamp"]
