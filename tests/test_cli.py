"""`kedro run` as a user meets it: both spellings, and every mistake one line and exit code 1."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from kedro.io import DatasetError

from superbatch.cli import one_line_errors, viz_is_missing
from superbatch.commands import run_command
from superbatch.errors import UserError
from superbatch.given import split_params
from superbatch.mistakes import told
from superbatch.nested import entries_of
from tests.forked_kedro import forked_kedro
from tests.project import command, copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


def kedro(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return command(project, "kedro", *arguments, check=False, **environment)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--pipelines=jst"], "--pipelines=jst: no such pipeline; did you mean jest? known: "),
        (
            ["--pipeline=embed"],
            "data/02_intermediate/curated: not there yet, or not finished (and 3 more); run `kedro run --pipelines=simweb,ingest,reference,check` first",
        ),
        (
            ["--pipelines=learner", "--namespaces=jest", "--params=jest.learner.selction.gain=3"],
            "jest.learner.selction: unknown parameter; did you",
        ),
        (
            ["--pipeline=simweb", "--params=learner.selection.method=joint,learner.selection.filter_ratio=0.0"],
            "learner.selection.filter_ratio: f = 0",
        ),
        (
            ["--pipeline=ingest", "--params=ingest.pool.shards=nowhere/*.tar"],
            "ingest.pool.shards: nowhere/*.tar: no such shard; correct the path",
        ),
        (["--pipelines=learner", "--namespaces=jets"], "--namespaces=jets: not in this pipeline; did you mean jest?"),
        (
            ["--pipelines=simweb", "--namespaces=foo"],
            "--namespaces=foo: not in this pipeline; `kedro registry describe jest` lists",
        ),
        (["--nodes=jest.trian"], "jest.trian: no such node in this pipeline; did you mean jest.train?"),
        (["--tags=trianing"], "--tags and the like: no node of this pipeline is chosen by them all; tags are alone, "),
        (["--runner=Sequential"], "--runner=Sequential: no such runner; did you mean SequentialRunner? known: "),
        (
            ["--pipeline=search", "--params=search.runs=[jest,uniform],search.tpo=3"],
            "search.tpo: unknown parameter; did you mean top?",
        ),
        (["--params=search.top"], "--params: 'search.top' is no key=value; write key=value, with commas between, "),
        (["--params=search.query=?"], "--params: Incompatible key type 'NoneType' full_key: search.query"),
        (
            ["--params=search.runs=[jest,uniform],search.runs.x=1"],
            "--params: invalid literal for int() with base 10: 'x'; ",
        ),
        (["--params=search.runs=[jest"], "--params: ] is missing in 'search.runs=[jest'; write key=value, "),
    ],
)
def test_a_mistake_is_one_line(project: Path, arguments: list[str], line: str) -> None:
    done = forked_kedro(project, "run", *arguments)
    assert done.returncode == 1
    said = (done.stdout + done.stderr).strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith(f"Error: {line}")


def test_a_locale_that_is_not_utf8(project: Path) -> None:
    """In a process of its own: Python decides how it reads text when it starts."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = kedro(project, "run", "--pipeline=simweb", **ascii_only)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: LC_ALL: text is ANSI_X3.4-1968 in this locale, and ")
    assert done.stderr.endswith("; set LC_ALL=C.UTF-8, or PYTHONUTF8=1\n")


def test_traceback_on_request(project: Path) -> None:
    assert "Traceback" in forked_kedro(project, "run", "--pipeline=embed", SUPERBATCH_TRACEBACK="1").stderr


def test_a_broken_yaml_is_one_line(project: Path) -> None:
    broken = project / "conf" / "local" / "parameters_broken.yml"
    broken.write_text("learner: [\n")
    try:
        done = kedro(project, "run", "--pipeline=simweb")  # a process of its own: as fresh as a user's
    finally:
        broken.unlink()
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "parameters_broken.yml" in done.stderr
    assert "Traceback" not in done.stderr


def test_both_spellings_work_from_a_sub_folder_without_a_warning(project: Path) -> None:
    """With shards elsewhere nothing is rendered, so that the stage is quick. One is a process of its own, the other is forked."""
    elsewhere = "ingest.pool.shards=a.tar,ingest.curated.shards=b.tar,ingest.evaluation.classification.root=c,ingest.evaluation.retrieval.root=d"
    for run, spelling in ((kedro, "--pipeline"), (forked_kedro, "--pipelines")):
        done = run(project / "data", "run", spelling, "simweb", "--params", elsewhere)
        assert done.returncode == 0, done.stderr
        assert "deprecated" not in (done.stdout + done.stderr).lower()
        assert (project / "data" / "01_raw" / "simweb" / "README.txt").is_file()


def test_help_names_upstreams_options(project: Path) -> None:
    said = forked_kedro(project, "run", "--help").stdout
    for option in (
        "--pipeline",
        "--pipelines",
        "--namespaces",
        "--params",
        "--tags",
        "--from-nodes",
        "--env",
        "--traceback",
    ):
        assert option in said


def wrapped(inner: Exception) -> Exception:
    try:
        try:
            raise inner
        except Exception as error:
            raise DatasetError("Failed while loading data from data set x.\nmore") from error
    except DatasetError as outer:
        return outer


def test_a_user_error_is_found_where_kedro_wrapped_it() -> None:
    assert told(wrapped(UserError("a.tar", "is cut short", "fetch it again"))) == "a.tar: is cut short; fetch it again"
    assert told(wrapped(OSError("disk"))) == "Failed while loading data from data set x. more"
    inside = f"{Path.cwd()}/data/a.tar"
    assert (
        told(UserError(inside, f"is cut short ('{inside}')", "see /tmp/x"))
        == "data/a.tar: is cut short ('data/a.tar'); see /tmp/x"
    )
    assert told(RuntimeError("a bug")) is None
    assert told(ValueError("a bug")) is None


def test_bugs_keep_their_traceback_and_ctrl_c_says_how_to_go_on() -> None:
    with pytest.raises(RuntimeError), one_line_errors(traceback=False):
        raise RuntimeError("a bug")
    with pytest.raises(UserError), one_line_errors(traceback=True):
        raise UserError("a", "b")
    with pytest.raises(click.ClickException) as stopped, one_line_errors(traceback=False):
        raise KeyboardInterrupt
    assert stopped.value.exit_code == 130
    assert "same command again" in stopped.value.message


@pytest.mark.parametrize(
    ("given", "found"), [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_waiting_threads_sleep_unless_the_environment_says_otherwise(given, found) -> None:
    """Set before torch is loaded, which reads it then."""
    code = "import os, sys, superbatch.settings; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    plain = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    made = subprocess.run([sys.executable, "-c", code], env=plain | given, capture_output=True, text=True, check=True)
    assert made.stdout.split() == [found, "False"]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a=1, b=2 ,", ["a=1", "b=2"]),
        ("a=[x,y],b={c: 1, d: [2,3]}", ["a=[x,y]", "b={c: 1, d: [2,3]}"]),
        ("a='x, [y',b=\"z]\"", ["a='x, [y'", 'b="z]"']),
        ("a=the cat's,b=it", ["a=the cat's", "b=it"]),
        ('a="x \\"y, z\\", \\\\",b=1', ['a="x \\"y, z\\", \\\\"', "b=1"]),
        ("a=p/{0..3}.tar,b=q/0[01].tar", ["a=p/{0..3}.tar", "b=q/0[01].tar"]),
        ("", []),
    ],
)
def test_params_are_split_at_commas_outside_of_brackets_and_quotes(text: str, entries: list[str]) -> None:
    assert entries_of(text) == entries


def test_a_list_and_a_text_with_commas_go_through_params_and_come_back_in_the_command() -> None:
    given = {"search": {"runs": ["jest", "uniform"], "query": "a cat, on a mat"}, "report": {"title": "Mine"}}
    command_line = run_command({"runtime_params": given})
    (params,) = (word for word in shlex.split(command_line) if word.startswith("--params="))
    nothing: Any = None
    assert split_params(nothing, nothing, params.removeprefix("--params=")) == given


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"search:\n\ttop: 3\n", ", line 2: found character '\\t' that cannot start any token; indent with spaces"),
        (b"search: {top: 3}\nsearch: {top: 4}\n", ", line 2: found duplicate key search; keep one of the two"),
        (
            b"search:\n  top: 3\n query: x\n",
            ", line 3: expected <block end>, but found '<block mapping start>'; see to",
        ),
        ("report: {title: Gr\xfc\xdfe}\n".encode("latin-1"), ": is not UTF-8 (byte 19); save it as UTF-8"),
        (b"- a\n- b\n", ": holds no keys; write `key: value`, a key a line"),
    ],
)
def test_a_file_of_parameters_that_can_not_be_read_is_named_with_its_line(
    project: Path, content: bytes, line: str
) -> None:
    file = project / "conf" / "quick" / "parameters_mine.yml"
    file.write_bytes(content)
    try:
        done = forked_kedro(project, "run", "--env=quick")
    finally:
        file.unlink()
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"Error: conf/quick/parameters_mine.yml{line}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_kedro_viz_without_its_package() -> None:
    done = CliRunner().invoke(viz_is_missing(), ["run", "--port=4000"])
    line = "kedro viz: needs the package kedro-viz, which is not installed; run `pip install 'superbatch[viz]'`"
    assert done.exit_code == 1 and done.output == f"Error: {line}\n"


def test_a_key_in_two_files_of_one_environment(project: Path) -> None:
    files = [project / "conf" / "quick" / f"parameters_{name}.yml" for name in ("mine", "yours")]
    for file in files:
        file.write_text("search: {top: 3}\n")
    try:
        done = forked_kedro(project, "run", "--env=quick")
    finally:
        for file in files:
            file.unlink()
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: Duplicate keys found in ") and "search.top" in done.stderr
