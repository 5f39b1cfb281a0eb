from __future__ import annotations

from pathlib import Path
from typing import Any

from synthetic import write_reference, write_run

from superbatch.reporting import Report, Sources, find_runs, runs_frame
from superbatch.reporting.summary import console_text, grid_frame, grid_text, metrics


def test_metrics_are_finite_numbers_under_known_names(report: Report) -> None:
    found = metrics(report)
    assert found["steps_to_target.jest"] >= 2 and found["gain_at_equal_steps"] > 0
    assert found["picks.clean_share"] > 0.4 and all(isinstance(v, float) for v in found.values())


def test_console_text(report: Report) -> None:
    text = console_text(report)
    assert text.startswith("method") and "points [" in text and "ends below uniform" in text
    assert max(map(len, text.splitlines()[:5])) <= 130


def test_a_grid_of_two_kinds_of_starts_has_two_tables(tmp_path: Path) -> None:
    write_reference(tmp_path)
    for method in ("uniform", "jest"):
        write_run(tmp_path, method)
    assert "weights" not in grid_text(_rows(tmp_path), "headline")
    write_run(tmp_path, "uniform", name="uniform_on-T200-s0", model={"pretrained": "a" * 64})
    random, given = grid_text(_rows(tmp_path), "headline").split("\n\nFrom given weights (`model.pretrained`):\n")
    assert random.startswith("From random weights:\n") and "jest" in random and "uniform" in random
    assert "uniform" in given and "jest" not in given and "reference" in given


def _rows(root: Path) -> list[dict[str, object]]:
    """The outcomes of a grid, each run under its method's own name."""
    frame = runs_frame(find_runs(root))
    return [
        {"outcome": row | {"method": row["run"].split("-")[0].removesuffix("_on")}} for row in frame.to_dict("records")
    ]


def test_final_values_and_gains_are_of_one_split(tmp_path: Path) -> None:
    """A run that was not tested has validation values, which stand under no name of a test value."""
    write_run(tmp_path, "uniform")
    write_run(tmp_path, "filtered", test=False)
    write_run(tmp_path, "jest", name="tested")
    write_run(tmp_path, "independent", name="untested", test=False)
    tested, untested = (metrics(Report(Sources(find_runs(tmp_path), main=name))) for name in ("tested", "untested"))
    assert {"final", "final_uniform", "gain_at_equal_steps"} <= set(tested)
    assert "final_best_simple" not in tested and "gain_at_equal_steps_best_simple" not in tested
    assert "final" not in untested and "final_uniform" in untested
    assert "gain_at_equal_steps" not in untested and "gain_at_equal_steps_best_simple" in untested


def test_seeds_of_a_cell_stay_together_whichever_version_recorded_them(tmp_path: Path) -> None:
    """The configuration of the first seed has another fingerprint: an older version recorded fewer settings."""
    rows = _grid(tmp_path, {"uniform": 16, "jest": 16})
    rows[0]["outcome"]["configuration"] = "older"
    frame = grid_frame(rows)
    assert set(frame["configuration"]) == {"jest-f0.8-T200", "uniform-f0-T200"}
    (jest,) = (line.split() for line in grid_text(rows, "headline").splitlines() if line.startswith("jest"))
    assert jest[4:6] == ["200", "3"], "steps and seeds"


def test_a_grid_is_measured_against_uniform_of_the_usual_batch_size(tmp_path: Path) -> None:
    frame = grid_frame(_grid(tmp_path, {"uniform": 16, "jest": 16, "filtered": 64}))
    assert dict(zip(frame["method"], frame["alike"], strict=True)) == {"uniform": True, "jest": True, "filtered": False}


def _grid(root: Path, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """The rows of a grid of three seeds, by the methods' batch sizes."""
    for method, b in sizes.items():
        for seed in range(3):
            write_run(root, method, seed=seed, b=b)
    runs = find_runs(root)
    outcomes = runs_frame(runs).to_dict("records")
    return [{"plan": run.plan, "outcome": outcome} for run, outcome in zip(runs, outcomes, strict=True)]
