"""The documentation site: every page is in its navigation, and it builds without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PROJECT = Path(__file__).parents[1]
CONFIG = PROJECT / "mkdocs.yml"


def hooks() -> Any:
    spec = importlib.util.spec_from_file_location("docs_hooks", PROJECT / "docs" / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(markdown: str, page: str, repo_url: str = "") -> str:
    found = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    return hooks().on_page_markdown(markdown, page=found, config=SimpleNamespace(repo_url=repo_url))


def test_every_page_is_in_the_navigation_once() -> None:
    nav = CONFIG.read_text().partition("\nnav:\n")[2]
    pages = re.findall(r"[\w/]+\.md", nav)
    there = [page.relative_to(PROJECT / "docs").as_posix() for page in (PROJECT / "docs").rglob("*.md")]
    assert sorted(pages) == sorted(there)


def test_links_out_of_docs_go_to_the_repository_or_keep_their_words() -> None:
    link = "See [the settings](../conf/README.md#keys) and [a page](results.md)."
    assert shown(link, "dvc.md") == "See the settings and [a page](results.md)."
    address = "https://example.org/them/superbatch"
    assert f"[the settings]({address}/blob/HEAD/conf/README.md#keys)" in shown(link, "dvc.md", f"{address}/")


def test_links_between_pages_stay() -> None:
    link = "[a run](../library.md#in-a-script)"
    assert shown(link, "api/index.md", "https://example.org/them/superbatch") == link


@pytest.mark.extras
def test_the_site_builds_without_a_warning_and_asks_nobody_else(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", CONFIG, "--site-dir", tmp_path]
    made = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    start = (tmp_path / "index.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//[^\"]+\.(?:js|css|woff2?)", start)
    assert "select_jointly" in (tmp_path / "api" / "selection.html").read_text()
