from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import synthetic

from superbatch.reporting.curves import AXES, COLUMNS, curves, first_crossing, mean_curves
from superbatch.reporting.runs import Run


def test_costs_stand_beside_values(tmp_path: Path) -> None:
    run = Run(synthetic.write_run(tmp_path, "jest", 20, b=16, rows=100))
    frame = curves([run])
    assert list(frame.columns) == COLUMNS and list(frame["step"]) == list(range(0, 21, 2))
    start, middle = frame.iloc[0], frame[frame["step"] == 10].iloc[0]
    assert (start["samples"], start["seconds"], start["flops_as_executed"]) == (0, 0, 0)
    assert start["flops_charged"] == run.one_off_flops > 0
    assert middle["samples"] == 160 and middle["samples_scored"] == 800
    assert middle["seconds"] == pytest.approx(10 * 0.059)
    assert middle["flops_charged"] == run.one_off_flops + 10 * 16 * synthetic.FORWARD * 8
    assert frame["value"].iloc[-1] == run.validation["classification/top1"]


def test_means_over_seeds(tmp_path: Path) -> None:
    runs = [Run(synthetic.write_run(tmp_path, "jest", 20, seed)) for seed in range(3)]
    frame = curves(runs)
    mean = mean_curves(frame)
    assert len(mean) == 11 and (mean["seeds"] == 3).all()
    at = frame[frame["step"] == 20]["value"]
    last = mean[mean["step"] == 20].iloc[0]
    assert last["value"] == pytest.approx(at.mean()) and last["low"] == at.min() and last["high"] == at.max()


def test_runs_without_evaluations_or_ledger_are_left_out(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20)
    (path / "training" / "evaluations.parquet").unlink()
    assert curves([Run(path)]).empty and mean_curves(curves([Run(path)])).empty
    assert curves([Run(synthetic.write_run(tmp_path, "uniform", 20))], metric="retrieval/other").empty
    assert set(AXES) <= set(mean_curves(curves([])).columns)


def test_first_crossing_by_hand() -> None:
    points = pd.DataFrame({"step": [0, 10, 20, 30], "value": [0.1, 0.2, 0.4, 0.3]})
    assert first_crossing(points, 0.3) == pytest.approx(15)
    assert first_crossing(points, 0.2) == pytest.approx(10)
    assert first_crossing(points, 0.05) == 0
    assert first_crossing(points, 0.5) is None


def test_a_mean_is_of_the_same_runs_all_along(tmp_path: Path) -> None:
    """One seed was evaluated at twice as many steps; it ends above the others."""
    frame = curves([Run(synthetic.write_run(tmp_path, "jest", 20, seed, noise=0.0)) for seed in range(3)])
    apart = frame.assign(value=frame["value"] + 0.3 * (frame["seed"] == 0))
    mean = mean_curves(apart[(apart["seed"] == 0) | (apart["step"] % 4 == 0)])
    assert list(mean["step"]) == list(range(0, 21, 4)) and (mean["seeds"] == 3).all()
    assert mean["value"].is_monotonic_increasing
