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


def test_a_model_is_measured_again_on_other_evaluation_sets_in_the_same_folder(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, value = Namespace(model=Namespace(to=lambda device: None)), 0.5

    def write(evaluator, model, split: str, out: Path, **about) -> None:
        (out / "a.json").write_text(json.dumps({"metrics": {"knn": value}}))

    def measured(sets: str) -> dict[str, float]:
        monkeypatch.setattr(script, "load_evaluation_sets", lambda folder: [Namespace(name="a", fingerprint=sets)])
        return world.measured(script.Made(tmp_path, tmp_path, 1, 1.0, 1.0))

    monkeypatch.setattr(script, "read_metadata", lambda model: {"weights_sha256": "w"})
    monkeypatch.setattr(script, "load_measured", lambda model: clip)
    monkeypatch.setattr(script, "evaluate_to_files", write)
    monkeypatch.setattr(script.Evaluator, "for_model", lambda *_: Namespace(device="cpu"))
    world = script.World({"evaluate": {}}, None, tmp_path / "evaluation", tmp_path)
    assert measured("first") == {"a/knn": 0.5}
    value = 0.75
    assert measured("first") == {"a/knn": 0.5} and measured("second") == {"a/knn": 0.75}


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
