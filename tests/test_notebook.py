"""The notebooks: they run offline, and the committed copies show what they made."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from superbatch.config import check_parameters
from superbatch.nested import merge
from tests.forked_kedro import started_project
from tests.parameters import quick_parameters
from tests.project import copy_of

nbformat = pytest.importorskip("nbformat")

FOLDER = Path(__file__).parents[1] / "notebooks"
PICTURES = {"one_jest_step": 7, "own_data": 1, "reading_a_run": 4}
NOWHERE = "http://127.0.0.1:9"  # a proxy that refuses: whoever asks the network fails
every_notebook = pytest.mark.parametrize("name", PICTURES)


def read(name: str):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def pictures(notebook) -> int:
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


def printed(notebook) -> str:
    return "\n".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    )


def code_of(notebook) -> str:
    """The Python of all cells, without IPython's own lines."""
    lines = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code").splitlines()
    return "\n".join(line for line in lines if not line.startswith("%"))


def test_every_notebook_is_looked_at() -> None:
    assert {file.stem for file in FOLDER.glob("*.ipynb")} == set(PICTURES)


@every_notebook
def test_the_committed_copy_can_be_read_on_a_web_page(name: str) -> None:
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 600_000
    committed = read(name)
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), (
        "run it from top to bottom before committing"
    )
    assert pictures(committed) == PICTURES[name]
    assert not any(
        output["output_type"] == "error" or output.get("name") == "stderr" for cell in code for output in cell.outputs
    )


@every_notebook
def test_no_output_tells_of_the_machine_that_made_it(name: str) -> None:
    shown = json.dumps([cell.get("outputs", []) for cell in read(name).cells])
    assert not re.search(r"/(home|root|tmp|work|usr|Users|var)/|file://|site-packages", shown)


@every_notebook
def test_it_uses_public_names_only(name: str) -> None:
    tree = ast.parse(code_of(read(name)))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {part for node in imported for part in [*node.module.split("."), *(alias.name for alias in node.names)]}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not [name for name in names | used if name.startswith("_")]


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: str):
    """Run a notebook in a folder, offline and on one thread, with some of its text changed."""
    from nbclient import NotebookClient

    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, NOWHERE)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = read(name)
    for cell in notebook.cells:
        cell.pop("outputs", None) if cell.cell_type != "code" else cell.update(outputs=[], execution_count=None)
        for old, new in changes.items():
            cell.source = cell.source.replace(old, new)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert pictures(notebook) == PICTURES[name]
    return notebook


@pytest.mark.slow
def test_one_jest_step_runs_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(executed("one_jest_step", tmp_path, monkeypatch))
    assert "chunk sizes: (8, 8, 8, 8, 8, 8, 8, 8)" in text
    assert "a JEST step costs 2.67 uniform steps (as executed)" in text
    assert not list(tmp_path.iterdir()), "it cleans up after itself"


@pytest.mark.slow
def test_own_data_finds_the_mistakes_and_writes_settings_that_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(executed("own_data", tmp_path, monkeypatch))
    assert "pool: 956 rows, 4 rejected" in text
    assert all(code in text for code in ("image_truncated", "image_corrupt", "image_gif", "caption_empty"))
    settings = yaml.safe_load(text[text.index("ingest:\n") :])
    assert settings["report"] == {"metric": "mydata/top1"}
    check_parameters(merge(quick_parameters({}), settings))
    assert not list(tmp_path.iterdir()), "it cleans up after itself"


@pytest.mark.slow
def test_reading_a_run_in_a_project_that_init_made(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of("started", started_project, tmp_path_factory) / "project" / "src"
    notebook = executed("reading_a_run", folder, monkeypatch, **{'ENV = "local"': 'ENV = "quick"'})
    assert f"{10 * 32:,} picks of " in printed(notebook)
