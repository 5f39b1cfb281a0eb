"""benchmarks/few_first.py: rows join by their keys, and the probe knows rows of the same names from rows of any."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superbatch.data.fields import Source, Stored
from superbatch.data.order import Order, growth_of
from superbatch.options import TrainingSettings
from tests.project import PROJECT

ROWS, STEPS = 1_000, 20


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module("few_first")


@dataclass(frozen=True)
class Made:
    """What of a job decides where its rows come from."""

    training: TrainingSettings
    source: Source
    identity: dict[str, Any]


def test_rows_of_the_lowest_keys_join_first(script) -> None:
    key_N = np.random.default_rng(0).permutation(ROWS)
    source = Source({"image": Stored(lambda rows: rows, ROWS)})
    job = script.joined(Made(TrainingSettings(seed=3), source, {}), "mine", key_N)
    order = Order(3, ROWS, 10, growth=growth_of(0.05, 0.5, STEPS))
    first, later, all_of_them = (key_N[job.source.manifest_rows(order.rows(step))] for step in (0, 9, 10))
    assert first.max() < 50 <= later.max(), "a twentieth at first, and more and more"
    assert len(np.unique(all_of_them)) == 10 and sorted(job.source.rows) == list(range(ROWS))
    assert job.identity["joins"][0] == "mine"


@pytest.mark.slow
def test_the_quick_tables(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--probe"]):
        monkeypatch.setattr(
            sys, "argv", ["few_first.py", "--quick", "--threads=1", "--json", str(tmp_path / "a.json"), *more]
        )
        script.main()
        rows = json.loads((tmp_path / "a.json").read_text())["rows"]
        assert [row["order"] for row in rows] == ["rows", "captions"]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("inside", "outside", "different names"))
