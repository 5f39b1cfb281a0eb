"""benchmarks/advice.py: winners by hand, and that the rules as they are still say what is on record."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import pytest

from tests.project import PROJECT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module("advice")


def test_a_value_is_recorded_between_two_lengths_or_beyond_the_longest(script: ModuleType) -> None:
    known = [script.Point("a", 100, 1.0, 10.0), script.Point("a", 300, 3.0, 20.0), script.Point("b", 100, 9.0, 99.0)]
    assert script.value_at(known, "a", 100, "steps") == (10.0, "")
    assert script.value_at(known, "a", 200, "steps") == (15.0, "~")
    assert script.value_at(known, "a", 9.0, "charged") == (20.0, ">")
    assert script.value_at(known, "a", 99, "steps") is None and script.value_at(known, "c", 100, "steps") is None


def test_a_grids_points_are_means_of_seeds_without_the_variants(script: ModuleType) -> None:
    def row(label: str, steps: int, value: float, method: str = "safe") -> dict:
        flops, test = {"charged_total": 2e12}, {"classification/top1": value}
        return {"method": method, "label": label, "plan": {"steps": steps}, "flops": flops, "test": test}

    rows = [row("safe", 10, 0.1), row("safe", 10, 0.3), row("safe15", 10, 0.9), row("safe_slow", 20, 0.5)]
    rows += [row("reference", 5, 0.4, "reference")]
    found = {(point.method, point.steps): round(point.value) for point in script.grid_points(rows)}
    assert found == {("safe", 10): 20, ("safe", 20): 50}


def test_the_rules_still_say_what_is_on_record(script: ModuleType) -> None:
    recorded = json.loads(script.RESULTS.read_text())
    assert {"simweb", "icons"} <= recorded["measured"].keys()
    rows = [
        script.outcome(name, *one)
        for name, found in sorted(recorded["measured"].items())
        for one in script.decided(found, script.WORLDS[name])
    ]
    assert json.loads(json.dumps(rows)) == recorded["rows"], (
        "run benchmarks/advice.py --record, and change docs/choosing.md"
    )
    long = [row for row in rows if row["uniform"] is not None and row["value"] is not None and row["world"] != "emoji"]
    level = {"phrased": 1.0}  # half a point below there, which three seeds do not tell from level
    assert long and all(row["value"] >= row["uniform"] - level.get(row["world"], 0.0) for row in long), (
        "never worse than uniform's recorded runs"
    )
