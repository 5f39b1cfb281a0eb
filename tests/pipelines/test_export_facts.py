"""What a model card tells of a run, out of its records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superbatch.pipelines.export.facts import _cost, _data, _limits, _method, _report, _results, _results_notes
from superbatch.reporting.runs import Run
from superbatch.reporting.sections.chosen import _criterion as chosen_by
from tests.manifests import write_made_up
from tests.reporting.synthetic import write_reference, write_run, write_test

TOP1 = "classification/top1"
TOWER = {"vision_cfg": {"image_size": 32}}


def test_a_method_is_told_by_its_settings(tmp_path: Path) -> None:
    jest = Run(write_run(tmp_path, "jest", f=0.8, b=16, flexi={"low": {}}))
    first, chosen, low = _method(jest)
    assert first.startswith("200 steps of 16 samples, seed 0")
    assert chosen.startswith("Each batch was chosen out of 80 candidates: ")
    assert low == "A part of each batch was trained in a low view."
    assert len(_method(Run(write_run(tmp_path, "uniform")))) == 1, "nothing was chosen"


def test_a_method_with_its_own_score_is_told_by_that(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "jest", f=0.8, b=16)
    file = folder / "training" / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"score": "brevity"}))
    run = Run(folder)
    assert _method(run)[1].endswith("joint selection by brevity.")
    assert chosen_by(run) == "brevity, the method's own score"


def test_results_have_their_intervals_and_what_was_gained(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, "jest"))
    rows = {row[0]: row for row in _results(run)}
    assert rows["classification/top1"][2].startswith("[") and rows["classification/top1"][3] == "500"
    assert "headline" not in rows, "a mean over sets is no measurement of its own"
    assert _report(run, TOP1) is None and len(_results_notes(run, None)) == 1, "nothing to hold it against"
    write_run(tmp_path, "uniform")
    write_run(tmp_path, "uniform", steps=400)
    write_reference(tmp_path)
    report = _report(run, TOP1)
    assert report is not None
    assert sorted(one.name for one in report.sources.runs) == ["jest-f0.8-T200-s0", "reference", "uniform-f0-T200-s0"]
    assert any("After 200 steps" in line and "uniform" in line for line in _results_notes(run, report))


def test_the_card_compares_in_the_metric_of_the_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has evaluation sets of their own has no classification/top1."""
    caplog.set_level("INFO")
    for method, right in (("jest", 0.9), ("uniform", 0.3)):
        evaluation = write_run(tmp_path, method, name=method, test=False) / "evaluation"
        evaluation.mkdir()
        result = {"split": "test", "main": right, "num_images": 40, "num_classes": 4, "data": "mine"}
        text = json.dumps({**result, "metrics": {"top1": right}, "confidence": {"top1": [right - 0.1, right + 0.1]}})
        (evaluation / "mine.json").write_text(text)
    run = Run(tmp_path / "jest", "jest")
    for metric in ("headline", "mine/top1"):
        report = _report(run, metric)
        assert report is not None and "jest (f = 0.8) reaches 90.0 %" in " ".join(_results_notes(run, report))
    assert not caplog.messages
    assert _report(run, "other/top1") is None and "no evaluated set has 'other/top1'" in caplog.text


def test_a_uniform_run_that_was_tested_on_other_data_is_left_out(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, "jest"))
    uniform = write_run(tmp_path, "uniform")
    assert _report(run, TOP1) is not None
    write_test(uniform, 0.3, data="another")
    assert _report(run, TOP1) is None


def test_a_test_set_is_as_large_as_it_was_when_it_was_measured(tmp_path: Path) -> None:
    pool = write_made_up(tmp_path / "pool", [1, 2], "shards")
    run = Run(write_run(tmp_path / "runs", "jest", sets=[pool.fingerprint]))
    assert _data(run, {"pool": pool}) == [
        ("pool", "2", "trained on"),
        ("classification, test", "500", "measured on"),
        ("retrieval, test", "", "measured on"),
    ]


def test_a_run_that_was_not_evaluated_says_so(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, "jest", test=False))
    assert _results(run) == [] and _results_notes(run, _report(run, TOP1)) == ["It was not evaluated on a test split."]


def test_limits_name_a_weak_reference_and_a_text_tower_that_is_none(tmp_path: Path) -> None:
    pool, run = write_made_up(tmp_path / "pool", [1, 2], "shards"), Run(write_run(tmp_path / "runs", "jest"))
    lines = _limits(run, TOWER, True, pool, None)
    assert lines[0].startswith("It sees images at 32 pixels") and lines[-1].startswith("Nothing was measured beyond")
    assert len(lines) == 2
    run.record["reference_check"] = {"verdict": "would_harm", "line": "it would harm: AUC 0.51"}
    lines = _limits(run, TOWER, False, pool, None)
    assert "Its text tower was never trained: it embeds images alone." in lines
    assert "The reference check: it would harm: AUC 0.51." in lines


def test_cost_has_what_is_charged_only_where_something_is(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, "jest"))
    run.record["flops"] = {"as_executed_total": 4.72e12, "charged_total": 9e12}
    rows = dict(_cost(run))
    assert rows["learner and scoring, as executed"] == "4.72 TFLOPs" and "9 TFLOPs" in rows.values()
    run.record["flops"]["charged_total"] = 4.72e12
    assert sum("FLOPs" in value for value in dict(_cost(run)).values()) == 1
