"""What `dvc plots` and `dvc metrics` compare: the chains' runs alone, deterministic, of bounded size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from superbatch.pipelines.report.plots import POINTS, final_values, loss_curve, plot_tables
from superbatch.reporting import Report, Run, Sources
from tests.reporting.synthetic import write_test


def write_run(root: Path, name: str, steps: int, tested: bool = True) -> Run:
    """A run directory with two evaluations, a loss that falls by one a step and a test result."""
    training = root / name / "training"
    training.mkdir(parents=True)
    (training / "run.json").write_text(
        '{"run": "%s", "method": "uniform", "status": "finished", "final": {"classification/top1": 0.25}}' % name  # noqa: UP031
    )
    done = list(range(1, steps + 1))
    columns = dict.fromkeys(
        ("samples_scored", "samples_trained", "flops_as_executed", "flops_paper", "seconds_train"), done
    )
    pd.DataFrame({"step": range(steps), "loss": [float(steps - step) for step in done]} | columns).to_parquet(
        training / "ledger.parquet"
    )
    pd.DataFrame(
        {"step": [0, steps], "name": "classification/top1", "value": [0.0, 0.25], "split": "validation"}
    ).to_parquet(training / "evaluations.parquet")
    if tested:
        write_test(root / name, 0.5)
    return Run(root / name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    root = tmp_path_factory.mktemp("runs")
    return Report(Sources([write_run(root, name, 4) for name in ("jest", "uniform", "uniform-T4-s0")]))


def test_tables_have_the_chains_runs_and_no_seconds(made: Report) -> None:
    tables = plot_tables(made)
    assert tables["plot_validation"].to_dict("list") == {
        "run": ["jest", "jest", "uniform", "uniform"], "step": [0, 4, 0, 4], "value": [0.0, 0.25, 0.0, 0.25],
    }  # fmt: skip
    assert tables["plot_loss"].to_dict("list") == {
        "run": ["jest"] * 4 + ["uniform"] * 4, "step": [1, 2, 3, 4] * 2, "loss": [3.0, 2.0, 1.0, 0.0] * 2,
    }  # fmt: skip


def test_metrics_say_where_each_method_ended(made: Report) -> None:
    assert final_values(made) == {"final.jest": 0.5, "final.uniform": 0.5}


def test_a_run_that_was_not_tested_has_no_final_value(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "jest", 4, tested=False), write_run(tmp_path, "uniform", 4)]
    assert final_values(Report(Sources(runs, main="jest"))) == {"final.uniform": 0.5}


def test_a_long_loss_is_averaged_over_spans(tmp_path: Path) -> None:
    curve = loss_curve(write_run(tmp_path, "jest", 3 * POINTS - 1))
    assert len(curve) == POINTS
    assert curve["step"].iloc[[0, -1]].tolist() == [3, 3 * POINTS - 1]
    assert curve["loss"].iloc[0] == 3 * POINTS - 3
