"""The notebook that walks through one JEST step: it runs offline, and the committed copy shows what it made."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "one_jest_step.ipynb"
PICTURES = 7
NOWHERE = "http://127.0.0.1:9"  # a proxy that refuses: whoever asks the network fails


def pictures(notebook) -> int:
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


def printed(notebook) -> str:
    return "\n".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    )


@pytest.fixture
def committed():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_committed_copy_can_be_read_on_a_web_page(committed) -> None:
    assert NOTEBOOK.stat().st_size < 600_000
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), (
        "run it from top to bottom before committing"
    )
    assert pictures(committed) == PICTURES
    assert not any(
        output["output_type"] == "error" or output.get("name") == "stderr" for cell in code for output in cell.outputs
    )


def test_it_uses_public_names_only(committed) -> None:
    tree = ast.parse("\n".join(cell.source for cell in committed.cells if cell.cell_type == "code"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {part for node in imported for part in [*node.module.split("."), *(alias.name for alias in node.names)]}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not [name for name in names | used if name.startswith("_")]


@pytest.mark.slow
def test_it_runs_offline_and_makes_its_pictures(tmp_path, monkeypatch) -> None:
    from nbclient import NotebookClient

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    copy = Path(shutil.copy(NOTEBOOK, tmp_path))
    notebook = nbformat.read(copy, as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None) if cell.cell_type != "code" else cell.update(outputs=[], execution_count=None)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert pictures(notebook) == PICTURES
    text = printed(notebook)
    assert "chunk sizes: (8, 8, 8, 8, 8, 8, 8, 8)" in text
    assert "a JEST step costs 2.67 uniform steps (as executed)" in text
    assert list(tmp_path.iterdir()) == [copy], "it cleans up after itself"
