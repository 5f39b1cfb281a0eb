from __future__ import annotations

import json
from pathlib import Path

import pytest
import synthetic

from superbatch.errors import UserError
from superbatch.reporting.finals import check_metric, runs_frame
from superbatch.reporting.runs import Run, find_runs


def test_validation_stands_in_for_test_and_says_so(tmp_path: Path) -> None:
    runs = [
        Run(synthetic.write_run(tmp_path, "jest", 20, test=False)),
        Run(synthetic.write_run(tmp_path, "uniform", 20)),
    ]
    frame = runs_frame(runs).set_index("method")
    assert frame.loc["jest", "split"] == "validation" and frame.loc["jest", "value"] == frame.loc["jest", "validation"]
    assert frame.loc["uniform", "split"] == "test" and "test:retrieval/image_to_text_r1" in frame


def test_no_runs_give_an_empty_frame_with_columns(tmp_path: Path) -> None:
    assert find_runs(tmp_path) == [] and {"run", "value", "steps"} <= set(runs_frame([]).columns)


def test_a_metric_that_no_run_has_is_one_line_with_those_that_are_known(tmp_path: Path) -> None:
    runs = [Run(synthetic.write_run(tmp_path, "jest", 20))]
    check_metric(runs, "classification/top1")
    with pytest.raises(
        UserError, match=r"report.metric.*'birds/top1'.*classification/top1, .*retrieval/image_to_text_r1"
    ):
        check_metric(runs, "birds/top1")
    check_metric([], "birds/top1")  # nothing was evaluated: the report says so at its place


def test_the_headline_has_value_interval_and_chance(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20)
    (path / "evaluation" / "classification.json").unlink()
    for name, main in (("a", 0.2), ("b", 0.4)):
        recall = {"image_to_text_r1": main, "text_to_image_r1": main}
        bounds = {metric: [value - 0.1, value + 0.1] for metric, value in recall.items()}
        result = {"split": "test", "main": main, "metrics": recall, "confidence": bounds, "num_images": 50}
        (path / "evaluation" / f"{name}.json").write_text(json.dumps(result))
    (path / "evaluation" / "retrieval.json").unlink()
    (path / "evaluation" / "stage.json").write_text('{"fingerprint": "0"}')
    run = Run(path)
    row = runs_frame([run], "headline").iloc[0]
    assert "stage" not in run.results and row["value"] == pytest.approx(0.3) and row["chance"] == pytest.approx(0.02)
    assert (row["value_low"], row["value_high"]) == pytest.approx((0.2, 0.4))
