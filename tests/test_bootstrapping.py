"""benchmarks/bootstrapping.py in small: a row of the first reference, a row a share, gains over the first."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from tests.project import PROJECT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module("bootstrapping")


def test_cells_are_values_and_gains_in_points(script) -> None:
    def row(share: float, chosen: int, *values: float) -> dict:
        reference, jest = ({"top-1": values[at], "R@1": values[at + 1]} for at in (0, 2))
        return {
            "share": share,
            "chosen": chosen,
            "recaptioned": 2 * bool(share),
            "reference": reference,
            "learners": {"jest": jest},
        }

    first, second = row(0.0, 0, 0.31, 0.02, 0.4, 0.03), row(0.1, 3_998, 0.42, 0.015, 0.45, 0.03)
    assert script.cells(first, first) == ["0", "0", "31.0", "2.0", "40.0", "3.0"]
    assert script.cells(second, first) == ["0.1", "4,000", "42.0 (+11.0)", "1.5 (-0.5)", "45.0 (+5.0)", "3.0 (+0.0)"]


@pytest.mark.slow
def test_the_quick_curve(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bootstrapping.py", "--quick", "--threads=1", "--json", str(tmp_path / "a.json")])
    script.main()
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [(row["share"], row["chosen"]) for row in rows] == [(0.0, 0), (0.1, 40)]
    assert all(set(row["learners"]) == {"jest"} and 0 <= row["reference"]["top-1"] <= 1 for row in rows)
    assert "reference top-1 %" in capsys.readouterr().out
