from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import synthetic

from superbatch.errors import UserError
from superbatch.reporting.runs import Run, choose_metric, find_runs, flat_metrics, metric_title, runs_frame


def test_finds_nested_runs_and_reads_nothing_yet(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, "uniform", 20)
    synthetic.write_run(tmp_path / "compare" / "first", "jest", 20)
    synthetic.write_reference(tmp_path)
    (tmp_path / "junk" / "evaluation").mkdir(parents=True)
    runs = find_runs(tmp_path)
    assert [run.name for run in runs] == ["compare/first/jest-f0.8-T20-s0", "reference", "uniform-f0-T20-s0"]
    assert all("ledger" not in vars(run) and "picks" not in vars(run) for run in runs)


def test_roles_come_from_settings(tmp_path: Path) -> None:
    roles = {
        method: Run(synthetic.write_run(tmp_path, method, 20)).role
        for method in ("uniform", "filtered", "warm_start", "pool_and_curated", "jest")
    }
    assert roles == {
        "uniform": "uniform",
        "filtered": "simple",
        "warm_start": "simple",
        "pool_and_curated": "simple",
        "jest": "selecting",
    }
    reference = synthetic.write_reference(tmp_path)
    assert (
        find_runs(tmp_path)[[r.name for r in find_runs(tmp_path)].index("reference")].role == "reference"
        and reference.exists()
    )


def test_filter_over_which_one_selects_is_not_simple(tmp_path: Path) -> None:
    assert Run(synthetic.write_run(tmp_path, "jest", 20, pool={"keep_share": 0.5})).role == "selecting"


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("jest", "jest"),
        ("flexi_jest-f0.8-T100-s0", "flexi_jest"),
        ("jest-f0.95-T7-s12-lr0.01", "jest"),
        ("uniform-T500-s1", "uniform"),
        ("filtered_30-T5-s0", "filtered_30"),
    ],
)
def test_method_is_read_off_the_name_where_only_the_kind_was_recorded(tmp_path: Path, name: str, method: str) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20, name=name)
    record = json.loads((path / "training" / "run.json").read_text()) | {"method": "joint"}
    (path / "training" / "run.json").write_text(json.dumps(record))
    assert Run(path).method == method


def test_configuration_ignores_seed_threads_and_fingerprints(tmp_path: Path) -> None:
    one = Run(synthetic.write_run(tmp_path, "jest", 20, 0, model={"config": "tiny", "weights": "a" * 16}))
    two = Run(synthetic.write_run(tmp_path, "jest", 20, 1, model={"config": "tiny", "weights": "b" * 16}))
    other = Run(synthetic.write_run(tmp_path, "jest", 20, 2, model={"config": "small"}))
    assert one.configuration == two.configuration != other.configuration


def test_costs_count_and_charge(tmp_path: Path) -> None:
    run = Run(synthetic.write_run(tmp_path, "jest", 20, b=16, rows=100))
    totals, forward = run.totals(), synthetic.FORWARD
    assert totals["flops_as_executed"] == 20 * 16 * forward * (3 + 5)
    assert totals["flops_paper"] == 20 * 16 * forward * (2 + 5)
    assert totals["flops_charged"] == totals["flops_as_executed"] + 2e9 + 100 * forward
    assert totals["seconds"] == pytest.approx(20 * 0.059)
    assert run.ledger is not None and list(run.ledger["step"][:2]) == [1, 2]  # steps are counted when they are done


def test_incomplete_runs_are_known(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20)
    assert Run(path).complete
    ledger = pd.read_parquet(path / "training" / "ledger.parquet")
    ledger[:10].to_parquet(path / "training" / "ledger.parquet")
    assert not Run(path).complete
    constant = {"optimizer": {"schedule": "constant"}}
    assert not Run(synthetic.write_run(tmp_path, "jest", 30, training=constant)).complete


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


def test_metrics_are_flattened() -> None:
    nested = {"split": "test", "num_images": 5, "metrics": {"top1": 0.5, "deep": {"x": 1}}, "per_class": [1, 2]}
    assert flat_metrics(nested, "classification") == {"classification/top1": 0.5, "classification/deep/x": 1.0}
    assert flat_metrics({"classification/top1": 0.25, "note": "text", "flag": True}) == {"classification/top1": 0.25}


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20)
    (path / "training" / "ledger.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"ledger\.parquet.*can't be read"):
        _ = Run(path).ledger
    (path / "training" / "run.json").write_text("[]")
    with pytest.raises(UserError, match=r"run\.json.*not a JSON object"):
        _ = Run(path).record


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


def test_metric_titles() -> None:
    names = ["classification/top1", "emoji/text_to_image_r1", "headline", "birds/mean_per_class"]
    assert [metric_title(name) for name in names] == [
        "top-1",
        "text to image R@1 on emoji",
        "headline",
        "mean per class on birds",
    ]
