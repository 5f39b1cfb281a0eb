from __future__ import annotations

import json
from pathlib import Path

import pytest
import synthetic

from superbatch.reporting.finals import choose_metric, runs_frame
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


def test_metric_falls_back_to_the_headline(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20)
    assert choose_metric([Run(path)]) == "classification/top1"
    (path / "evaluation" / "classification.json").unlink()
    record = json.loads((path / "training" / "run.json").read_text()) | {"final": {"headline": 0.3}}
    (path / "training" / "run.json").write_text(json.dumps(record))
    for name, main in (("a", 0.2), ("b", 0.4)):
        result = {"split": "test", "main": main, "metrics": {"image_to_text_r1": main, "text_to_image_r1": main}}
        (path / "evaluation" / f"{name}.json").write_text(json.dumps(result))
    (path / "evaluation" / "stage.json").write_text('{"fingerprint": "0"}')
    run = Run(path)
    assert choose_metric([run]) == "headline" and run.test["headline"] == pytest.approx(0.3)
    assert "stage" not in run.results and runs_frame([run], "headline")["value"][0] == pytest.approx(0.3)
