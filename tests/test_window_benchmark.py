"""benchmarks/window.py in small: the sorted pool is the same pool, and each method is measured on both."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from superbatch.data.manifest import read_manifest
from tests.project import PROJECT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module("window")


@pytest.mark.slow
def test_a_sorted_pool_has_the_same_rows(script, tmp_path: Path) -> None:
    simweb = script.parameters("quick")["simweb"]
    pool, _, _ = script.quick_sets(simweb, tmp_path)
    made = read_manifest(script.by_caption(pool, tmp_path / "stages"))
    plain = read_manifest(pool)
    captions = [one[0] for one in made.column("captions").to_pylist()]
    assert captions == sorted(captions) and made.fingerprint != plain.fingerprint
    assert sorted(made.column("key").to_pylist()) == sorted(plain.column("key").to_pylist())


@pytest.mark.slow
def test_the_quick_table(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["window.py", "--quick", "--threads=1", "--json", str(tmp_path / "a.json")])
    script.main()
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [(row["pool"], row["window"]) for row in rows] == [
        ("as packed", 128),
        ("as packed", 0),
        ("sorted by caption", 128),
    ]
    assert all(0 <= value <= 1 for row in rows for value in row["top-1"])
    assert "all rows" in capsys.readouterr().out
