"""`superbatch init`: what it lays out, what it refuses, and that the project it makes runs as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import kedro
import pytest
import yaml
from click.testing import CliRunner
from kedro.config import OmegaConfigLoader

from superbatch import entry
from superbatch.config import IngestSettings, check_parameters, read
from superbatch.doctor.project import check_project
from superbatch.errors import UserError
from superbatch.hooks import ProjectHooks
from superbatch.pipelines.sources import used_sources
from superbatch.settings import CONFIG_LOADER_ARGS
from superbatch.starter import make_project
from superbatch.starter.making import CONF
from tests.forked_kedro import forked_kedro, started_project
from tests.project import BIN, PROJECT, copy_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "my photos"
    make_project(folder)
    return folder


def test_its_configuration_is_this_projects(made: Path) -> None:
    ours = {file.relative_to(PROJECT) for pattern in CONF for file in (PROJECT / "conf").glob(pattern)}
    assert {Path("conf/base/catalog.yml"), Path("conf/quick/parameters.yml"), Path("conf/models/tiny.json")} <= ours
    assert all((made / file).read_text() == (PROJECT / file).read_text() for file in ours)
    assert not (made / "conf" / "icons").exists()


def test_kedro_takes_it_for_a_project_of_the_installed_package(made: Path) -> None:
    about = tomllib.loads((made / "pyproject.toml").read_text())["tool"]["kedro"]
    assert (about["package_name"], about["project_name"]) == ("superbatch", "my photos")
    assert about["kedro_init_version"] == kedro.__version__ and (made / "src").is_dir()
    assert not [file for file in made.rglob("*") if file.is_file() and "{{" in file.read_text()]


@pytest.mark.parametrize("above", ["a[1]", "{x,y}", "x}", "{x"])
def test_a_folder_that_kedro_takes_for_a_pattern(made: Path, tmp_path: Path, above: str) -> None:
    """Told by init, by doctor, and by any command in a project that was moved there."""
    line = f"{tmp_path / above / 'mine'}: the path has brackets or braces, which Kedro takes for patterns; use a folder"
    with pytest.raises(UserError, match=re.escape(line)):
        make_project(tmp_path / above / "mine")
    assert not (tmp_path / above).exists()
    moved = Path(shutil.copytree(made, tmp_path / above / "mine"))
    (found,) = check_project(moved)
    assert found.status == "missing" and f"{found.found}; {found.remedy}".startswith(line)
    with pytest.raises(UserError, match=re.escape(line)):
        ProjectHooks().after_context_created(SimpleNamespace(project_path=moved))


def test_odd_signs_that_kedro_can_take(tmp_path: Path) -> None:
    assert make_project(tmp_path / "x] q[ (1) #2 %20" / "mine")


@pytest.mark.parametrize(("env", "sources"), [("local", ("simweb",)), ("quick", ("simweb",)), ("mydata", ())])
def test_every_environment_of_it_is_valid(made: Path, env: str, sources: tuple[str, ...]) -> None:
    settings = dict(CONFIG_LOADER_ARGS)
    parameters = OmegaConfigLoader(str(made / "conf"), env=env, **settings)["parameters"]
    check_parameters(parameters)
    assert used_sources(read(IngestSettings, parameters["ingest"], "ingest")) == sources


def test_what_is_commented_out_is_valid_too(made: Path) -> None:
    text = (made / "conf" / "mydata" / "parameters.yml").read_text()
    blocks = [line[2:] for line in text.splitlines() if line.startswith(("# learner:", "# reference:", "#   "))]
    given = [line for line in blocks if line.lstrip().startswith(("learner", "reference", "model", "training"))]
    found = yaml.safe_load("\n".join(given))
    assert found.keys() == {"learner", "reference"}
    base = OmegaConfigLoader(str(made / "conf"), env="mydata", **dict(CONFIG_LOADER_ARGS))["parameters"]
    check_parameters({**base, **{key: {**base[key], **found[key]} for key in found}})


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    done = CliRunner().invoke(entry.superbatch, ["init", str(tmp_path)])
    assert done.exit_code == 1
    assert done.output == f"Error: {tmp_path}: is not empty; name a new folder; nothing was written\n"
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(UserError, match="is a file"):
        make_project(tmp_path / "kept")
    with pytest.raises(UserError, match=r"can't be written to \(Not a directory\)"):
        make_project(tmp_path / "kept" / "new", "new")


def test_a_name_that_would_break_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--name"):
        make_project(tmp_path / "new", 'a "quoted" name')
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(entry.superbatch, ["init", "birds", "--name", "Birds of Ohio"])
    assert done.exit_code == 0 and "cd birds" in done.output and "make mydata" in done.output
    assert 'project_name = "Birds of Ohio"' in (tmp_path / "birds" / "pyproject.toml").read_text()
    assert (tmp_path / "birds" / "README.md").read_text().startswith("# Birds of Ohio\n")
    (tmp_path / "empty").mkdir()
    make_project(tmp_path / "empty")  # an empty folder will do


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MAKEFLAGS": ""}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_short_commands(made: Path) -> None:
    python = str(BIN / "python")
    help_text = make(made, f"PYTHON={python}").stdout
    assert all(f"make {name}" in help_text for name in ("doctor", "jest", "quick", "mydata"))
    line = make(made, "-n", "jest", f"PYTHON={python}").stdout.splitlines()[-1]
    assert line == f"{python} -m superbatch run --pipeline=jest"
    refused = make(made, "jest", "PYTHON=/no/python")
    assert refused.returncode != 0 and refused.stdout.startswith("/no/python has no superbatch: activate")


@pytest.mark.slow
def test_its_chain_runs_and_ends_with_a_report(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = copy_of("started", started_project, tmp_path_factory) / "project"
    page = (project / "data" / "quick" / "08_reporting" / "report.html").read_text()
    assert "uniform" in page and "jest" in page
    done = forked_kedro(project, "run", "--pipeline=jest", "--env=mydata")
    assert done.returncode == 1
    said = (done.stdout + done.stderr).splitlines()[-1]
    assert re.match(r"Error: ingest.(\w+).shards: data/01_raw/mydata/\1/\*.tar: no such shard; correct the path", said)
