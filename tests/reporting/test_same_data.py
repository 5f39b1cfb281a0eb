"""Runs on other pools and other test data are left out of a comparison, with a line that says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import pixels, write_check, write_features, write_reference, write_run, write_set, write_test

from superbatch.reporting import Report, Run, Sources, find_runs
from superbatch.reporting.purity import kinds_of_rows
from superbatch.reporting.sections.changed import changed
from superbatch.reporting.sections.chosen import chosen
from superbatch.reporting.sections.picked import picked
from superbatch.reporting.sections.reproduce import reproduce
from superbatch.reporting.summary import metrics
from superbatch.reporting.templating import render

ENVIRONMENT = "kedro run --pipeline=jest --env=mine"
MEAN = "headline"


def write_result(run: Path, name: str, value: float, data: str | None) -> None:
    result = {"split": "test", "main": value, "num_images": 40, "data": data, "metrics": {"top1": value}}
    (run / "evaluation").mkdir(exist_ok=True)
    (run / "evaluation" / f"{name}.json").write_text(json.dumps(result))


def shown(root: Path, main: str, metric: str = "mine/top1") -> list[str]:
    report = Report(Sources(find_runs(root), main=main, metric=metric, command=ENVIRONMENT))
    return [run.name for run in report.sources.runs]


def test_a_pool_is_what_a_learner_drew_from(tmp_path: Path) -> None:
    assert Run(write_run(tmp_path, "jest", sets=["pool", "curated"])).pool == "pool"
    assert Run(write_run(tmp_path, "uniform")).pool is None
    assert Run(write_run(tmp_path, "uniform", name="reference", sets=["curated"])).pool is None


def test_seeds_on_another_pool_are_no_seeds_of_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for seed, sets in enumerate((["new"], ["old"], ["old"])):
        write_run(tmp_path, "uniform", seed=seed, sets=sets)
    write_run(tmp_path, "jest", sets=["new"])
    report = Report(Sources(find_runs(tmp_path), main="jest-f0.8-T200-s0", fingerprints={"pool": "new"}))
    assert list(report.table.set_index("method").loc["uniform", "seeds":"seeds"]) == [1]
    assert caplog.messages == [
        "report: shows runs that were trained on the pool of jest-f0.8-T200-s0; leaves out 2 of another pool "
        "(uniform-f0-T200-s1, uniform-f0-T200-s2); to train them on this one: `kedro run --pipelines=compare`"
    ]


def test_a_run_on_a_pool_that_is_gone_is_the_one_to_train_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for name, pool in (("jest", "old"), ("uniform", "new")):
        write_run(tmp_path, name, name=name, sets=[pool])
    Report(Sources(find_runs(tmp_path), main="jest", fingerprints={"pool": "new"}, command=ENVIRONMENT))
    first, second = caplog.messages
    assert first.startswith("report: jest was trained on another pool than the one that is ingested")
    assert first.endswith("`kedro run --pipeline=jest --env=mine`") and second.endswith("of another pool (uniform)")


def test_references_added_curated_pairs_and_runs_that_do_not_say_stay(tmp_path: Path) -> None:
    write_run(tmp_path, "jest", name="jest", sets=["pool"])
    write_run(tmp_path, "pool_and_curated", name="pool_and_curated", sets=["pool", "curated"])
    write_run(tmp_path, "uniform", name="reference", sets=["curated"])
    write_run(tmp_path, "uniform", name="uniform")
    every = ["jest", "pool_and_curated", "reference", "uniform"]
    assert all(shown(tmp_path, main, "classification/top1") == every for main in every)


def test_a_set_with_new_content_is_another_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for name, data in (("uniform", "new"), ("jest", "old"), ("filtered", "new"), ("independent", None)):
        write_result(write_run(tmp_path, name, name=name, test=False), "mine", 0.3, data)
    write_run(tmp_path, "flexi_jest", name="flexi_jest", test=False)
    assert shown(tmp_path, "uniform") == ["filtered", "flexi_jest", "independent", "uniform"]
    assert caplog.messages == [
        "report: shows runs that were tested on the same data as uniform; leaves out 1 that were not (jest); to test all on the same: "
        "`kedro run --pipelines=evaluate --namespaces=uniform,jest --env=mine`"
    ]


def test_a_mean_over_other_sets_is_another_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for seed, name in enumerate(("photos", "photos", "mine")):
        write_result(write_run(tmp_path, "uniform", seed=seed, test=False), name, 0.3, f"{name} data")
    assert shown(tmp_path, "uniform-f0-T200-s0", MEAN) == ["uniform-f0-T200-s0", "uniform-f0-T200-s1"]
    assert caplog.messages[-1].endswith("to test all on the same: `kedro run --pipelines=compare --env=mine`")
    write_result(tmp_path / "uniform-f0-T200-s0", "further", 0.3, "more data")
    assert shown(tmp_path, "uniform-f0-T200-s0", "photos/top1")[:2] == ["uniform-f0-T200-s0", "uniform-f0-T200-s1"]
    assert shown(tmp_path, "uniform-f0-T200-s0", MEAN) == ["uniform-f0-T200-s0"]


def test_a_reference_of_pairs_stays_beside_runs_on_classes(tmp_path: Path) -> None:
    """They are tested on fewer sets: retrieval is left out."""
    write_result(write_run(tmp_path, "uniform", name="classify", test=False, labels={"by": "cls"}), "mine", 0.3, "data")
    reference = write_run(tmp_path, "uniform", name="reference", test=False)
    for name in ("mine", "photos"):
        write_result(reference, name, 0.3, "data")
    assert shown(tmp_path, "classify", MEAN) == ["classify", "reference"]


def test_a_reference_that_was_tested_elsewhere_keeps_its_check(tmp_path: Path) -> None:
    write_run(tmp_path, "jest", name="jest")
    reference = write_reference(tmp_path)
    write_test(reference, 0.2, data="another")
    write_check(reference)
    report = Report(Sources(find_runs(tmp_path)))
    assert [run.name for run in report.sources.runs] == ["jest"]
    assert report.reference is not None and report.reference_check is not None


def test_nothing_is_shown_by_the_rows_of_another_pool(tmp_path: Path) -> None:
    """More rows than the pool has, too: its shards may be gone."""
    manifest, truth = write_set(tmp_path, rows=100)
    features = write_features(tmp_path, kinds_of_rows(truth, manifest))
    write_run(tmp_path / "runs", "jest", 20, name="jest", rows=600, sets=["old"])

    def none(rows: np.ndarray) -> np.ndarray:
        assert rows.max() < 100, "a row that the pool has not"
        return pixels(rows)

    known = {"manifest": manifest, "truth": truth, "features": features, "pixels": none, "data_docs": "docs.html"}
    more = {"search": "search.html", "judged": {"results": {}, "failures": {}, "warnings": {}}, "advice": "Train it."}
    report = Report(Sources(find_runs(tmp_path / "runs"), fingerprints={"pool": "new"}, **known, **more))
    sections = {"chosen": chosen(report), "changed": changed(report), "picked": picked(report), "pictures": {}}
    page = render("report/picked.html.j2", run="jest", **sections)
    assert (
        page.count("jest was trained on another pool than the one that is ingested")
        == page.count('class="missing"')
        == 1
    )
    assert report.shelves == [] and report.picked == [] and report.kinds is None and report.standing is None
    assert (report.sources.search, report.sources.advice, reproduce(report).judgement) == (None, "", "")
    assert reproduce(report).facts["fingerprint of pool"] == "old", "its own"
    assert not any(name.startswith("picks.") for name in metrics(report))
