from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import write_run

from superbatch.errors import UserError
from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.findings import at_equal_steps
from superbatch.reporting.trust import checks


def test_the_report_finds_its_main_run(report: Report) -> None:
    assert report.main.name == "jest-f0.8-T400-s0"
    named = Report(Sources(report.sources.runs, main="uniform-f0-T800-s1"))
    assert named.main.method == "uniform" and at_equal_steps(named, "uniform") is None
    with pytest.raises(UserError, match="no run is called 'other'"):
        _ = Report(Sources(report.sources.runs, main="other")).main
    with pytest.raises(UserError, match="no run was found"):
        Report(Sources([]))


def test_of_a_grid_the_report_takes_what_validation_prefers(tmp_path: Path) -> None:
    """By its name the lowest f would be first."""
    for f, top1 in ((0.5, 0.2), (0.8, 0.4), (0.9, 0.3)):
        path = write_run(tmp_path, "jest", f=f) / "training" / "run.json"
        record = json.loads(path.read_text())
        record["final"]["classification/top1"] = top1
        path.write_text(json.dumps(record))
    assert Report(Sources(find_runs(tmp_path))).main.filter_ratio == 0.8


def test_runs_on_classes_are_not_held_against_those_on_pairs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two kinds of uniform runs are two data sets: their mean would be nobody's."""
    caplog.set_level("INFO")
    labels = {"labels": {"classnames": "0" * 16, "by": "cls", "smoothing": 0.1}}
    for method in ("uniform", "jest"):
        write_run(tmp_path, method)
    write_run(tmp_path, "uniform", name="classify", **labels)
    write_run(tmp_path, "independent", name="classact", **labels)
    runs = find_runs(tmp_path)
    report = Report(Sources(runs, main="jest-f0.8-T200-s0"))
    assert [run.name for run in report.sources.runs] == ["jest-f0.8-T200-s0", "uniform-f0-T200-s0"]
    assert (
        caplog.messages[-1] == "report: shows runs that train on image-text pairs; leaves out 2 that train on classes"
    )
    assert {run.name for run in Report(Sources(runs, main="classact")).sources.runs} == {"classact", "classify"}


def test_runs_on_images_alone_are_shown_by_what_labelled_images_teach(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They have no zero-shot accuracy; on frozen features all kinds of models may be compared, but for two kinds of baselines."""
    caplog.set_level("INFO")
    for name, more in (
        ("uniform", {}),
        ("jest", {}),
        ("classify", {"labels": {"by": "cls"}}),
        ("moclr", {"moclr": {}}),
    ):
        path = write_run(tmp_path, "jest" if name == "jest" else "uniform", name=name, **more)
        file = path / "evaluation" / "classification.json"
        result = json.loads(file.read_text())
        result["metrics"] = ({} if name == "moclr" else result["metrics"]) | {"linear_probe": 0.4, "knn": 0.3}
        file.write_text(json.dumps(result))
    record = json.loads((path / "training" / "run.json").read_text())  # of moclr, which came last
    (path / "training" / "run.json").write_text(json.dumps(record | {"final": {}}))
    (path / "training" / "evaluations.parquet").unlink()
    runs = find_runs(tmp_path)
    assert {run.name: run.kind for run in runs} == {
        "uniform": "pairs", "jest": "pairs", "classify": "classes", "moclr": "images",
    }  # fmt: skip
    assert {run.name: run.role for run in runs}["moclr"] == "simple"
    shown = Report(Sources(runs, main="moclr", metric="classification/top1"))
    assert shown.metric == "classification/linear_probe"
    assert {run.name for run in shown.sources.runs} == {"uniform", "jest", "moclr"}
    assert "report: compares by classification/linear_probe, because moclr was trained on images alone" in caplog.text
    by = lambda main, metric: {run.name for run in Report(Sources(runs, main=main, metric=metric)).sources.runs}  # noqa: E731
    assert by("jest", "classification/knn") == {"uniform", "jest", "moclr"}
    assert by("jest", "classification/top1") == {"uniform", "jest"}
    assert by("classify", "classification/linear_probe") == {"classify", "moclr"}


def test_runs_from_given_weights_are_not_held_against_those_from_random_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    given = {"model": {"pretrained": "a" * 64}}
    for method in ("uniform", "jest"):
        write_run(tmp_path, method)
    write_run(tmp_path, "jest", name="jest_on-f0.8-T200-s0", **given)
    runs = find_runs(tmp_path)
    assert [run.name for run in Report(Sources(runs)).sources.runs] == ["jest-f0.8-T200-s0", "uniform-f0-T200-s0"]
    assert caplog.messages[-1] == (
        "report: shows runs that start from random weights; leaves out 1 that start from given ones (`model.pretrained`)"
    )
    tuned = Report(Sources(runs, main="jest_on-f0.8-T200-s0"))
    assert [run.name for run in tuned.sources.runs] == ["jest_on-f0.8-T200-s0"]
    missing = next(check for check in checks(tuned) if check.question == "Was uniform run from the same weights?")
    assert "set: {model.pretrained: <the same weights>}" in missing.runs[0]
    write_run(tmp_path, "uniform", name="uniform_on-T200-s0", **given)
    both = Report(Sources(find_runs(tmp_path), main="jest_on-f0.8-T200-s0"))
    assert {run.name for run in both.sources.runs} == {"jest_on-f0.8-T200-s0", "uniform_on-T200-s0"}
    assert at_equal_steps(both, "uniform") is not None
