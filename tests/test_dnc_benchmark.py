"""benchmarks/dnc.py in small: what it trains for the same operations and seconds, and its table."""

from __future__ import annotations

import importlib
import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from tests.project import PROJECT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module("dnc")


def test_moclr_gets_as_many_steps_as_the_same_operations_and_seconds_pay_for(script) -> None:
    class World:
        def moclr(self, seed: int, steps: int):
            return script.Made(Path(), Path(), steps, 2.0 * steps, 3.0 * steps)

        def dnc(self, base, seed: int, start: str):
            assert (base.steps, seed) == (100, 4)
            return script.Made(Path(), Path(), 100, 500.0, 1_200.0)

    options = Namespace(steps=100, starts=["base", "scratch"], rivals=["operations", "seconds"])
    found = script.runs_of(World(), 4, options)
    assert {name: made.steps for name, made in found.items()} == {
        "moclr, the base": 100,
        "dnc, experts from base": 100,
        "dnc, experts from scratch": 100,
        "moclr, the same operations": 250,
        "moclr, the same seconds": 400,
    }


def test_cells_are_means_over_seeds(script) -> None:
    rows = [
        {"run": "a", "seed": seed, "steps": 1_500, "tflop": 1.0 + seed, "seconds": 10.4, "set/knn": value}
        for seed, value in enumerate((0.5, 0.6))
    ]
    assert script.cells(rows, "a", ["set/knn"]) == ["a", "1,500", "1.50", "10", "55.0 ± 7.1"]
    assert script.cells(rows[:1], "a", ["set/knn"])[-1] == "50.0"


@pytest.mark.slow
def test_the_quick_table(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dnc.py", "--quick", "--threads=1", "--json", str(tmp_path / "a.json")])
    script.main()
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    base, dnc, operations, _ = rows
    assert (
        base["steps"] == 4
        and operations["tflop"] == pytest.approx(dnc["tflop"], rel=0.1)
        and dnc["tflop"] > 2 * base["tflop"]
    )
    assert "classification/knn %" in capsys.readouterr().out
