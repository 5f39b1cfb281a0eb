"""The command `superbatch`: its own options, and Kedro's commands in a project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from superbatch import __version__, entry
from superbatch.starter.making import CONF
from tests.project import ENVIRONMENT, PROJECT

SITE = [path for path in sys.path if path.endswith("site-packages")]  # what is installed beside the library


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_its_own_options(arguments):
    done = CliRunner().invoke(entry.superbatch, arguments)
    assert done.exit_code == 0
    assert (__version__ if arguments == ["--version"] else "Kedro's commands too") in done.output


def test_outside_a_project_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(entry.superbatch, ["run", "--pipeline=jest"])
    assert done.exit_code == 1
    assert done.output == "Error: run: no project here or in a folder above; go to one first\n"


def test_a_command_with_a_slip_and_a_pipeline_in_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        CliRunner().invoke(entry.superbatch, ["doctr"]).output
        == "Error: doctr: no such command; did you mean doctor?\n"
    )
    monkeypatch.chdir(PROJECT)
    done = CliRunner().invoke(entry.superbatch, ["jest"])
    line = "Error: jest: is a pipeline, not a command; `superbatch run --pipeline=jest` runs it\n"
    assert (done.exit_code, done.output) == (1, line)


def test_other_commands_and_all_their_options_are_kedros(monkeypatch):
    given = []
    monkeypatch.setattr(entry, "kedro", given.append)
    for arguments in (["run", "--pipeline=jest", "--help"], ["registry", "list"], ["run", "-t", "x"]):
        assert CliRunner().invoke(entry.superbatch, arguments).exit_code == 0
    assert given == [["run", "--pipeline=jest", "--help"], ["registry", "list"], ["run", "-t", "x"]]


def test_a_command_of_its_own_comes_first(monkeypatch):
    monkeypatch.setitem(entry.superbatch.commands, "run", click.Command("run", callback=lambda: click.echo("own")))
    assert CliRunner().invoke(entry.superbatch, ["run"]).output == "own\n"


def test_the_version_stands_in_one_place():
    told = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert "version" not in told["project"] and "version" in told["project"]["dynamic"]
    assert told["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "superbatch.__version__"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git knows and is new."""
    place = tmp_path_factory.mktemp("wheel")
    copy = place / "copy"
    copy.mkdir()
    parts = ("pyproject.toml", "README.md", "LICENSE", "conf", "src")
    for name in run("git", "ls-files", "-co", "--exclude-standard", *parts, cwd=PROJECT).splitlines():
        if (PROJECT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, copy / name, follow_symlinks=False)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(place),
    ]
    run(*pip, str(copy), cwd=place)
    (found,) = place.glob("superbatch-*.whl")
    return found


def run(*command: str, cwd: Path) -> str:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_has_all_files_of_the_library(wheel):
    files = run("git", "ls-files", "-co", "--exclude-standard", "src/superbatch", cwd=PROJECT).splitlines()
    ours = {Path(file).relative_to("src").as_posix() for file in files if (PROJECT / file).is_file()}
    conf = [file for pattern in CONF for file in (PROJECT / "conf").glob(pattern)]  # a link here, files there
    ours |= {f"superbatch/starter/{file.relative_to(PROJECT)}" for file in conf}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("superbatch/")}
    assert packed == ours and "superbatch/py.typed" in packed
    assert wheel.name.startswith(f"superbatch-{__version__}-py3")


@pytest.mark.slow
def test_installed_it_gives_library_and_command(wheel, tmp_path):
    """In an environment of its own, which sees what else is installed here."""
    run(sys.executable, "-m", "venv", "--without-pip", "fresh", cwd=tmp_path)
    python = str(tmp_path / "fresh" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, str(wheel), cwd=tmp_path)
    (site,) = (tmp_path / "fresh" / "lib").glob("python*/site-packages")
    (site / "beside.pth").write_text("\n".join(SITE) + "\n")
    said = run(python, "-c", "import superbatch.selection, superbatch.tasks; print(superbatch.__file__)", cwd=tmp_path)
    assert Path(said.strip()) == site / "superbatch" / "__init__.py"
    for command in ([python, "-m", "superbatch"], [str(tmp_path / "fresh" / "bin" / "superbatch")]):
        assert run(*command, "--version", cwd=tmp_path) == f"superbatch, version {__version__}\n"
        assert "Usage: superbatch" in run(*command, "--help", cwd=tmp_path)
    run(python, "-m", "superbatch", "init", "mine", cwd=tmp_path)
    names = run(python, "-m", "superbatch", "registry", "list", cwd=tmp_path / "mine")
    assert "adaptive_self_paced" in names and str(site) not in names
