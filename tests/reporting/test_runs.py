from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic

from superbatch.errors import UserError
from superbatch.reporting.figures.picks import scores_figure
from superbatch.reporting.page import _plan as plan_of
from superbatch.reporting.runs import Run, find_runs
from superbatch.reporting.sections.chosen import _criterion as meaning_of_scores


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


def test_uniform_at_two_views_is_simple_and_no_repeat_of_uniform(tmp_path: Path) -> None:
    plain = Run(synthetic.write_run(tmp_path, "uniform", 20))
    flexi = Run(synthetic.write_run(tmp_path, "uniform", 20, name="flexi_uniform", flexi={"low_share": 0.5}))
    assert flexi.role == "simple" and plain.role == "uniform"
    assert flexi.family != plain.family and flexi.configuration != plain.configuration
    taught, more = (
        Run(synthetic.write_run(tmp_path, "uniform", 20, name=f"kd_{weight}", distill={"weight": weight}))
        for weight in (1, 4)
    )
    assert taught.role == "simple" and taught.family == more.family != plain.family, "the weight is tuned"
    assert taught.configuration != more.configuration


def test_a_run_that_was_renamed_is_a_repeat_under_its_present_name(tmp_path: Path) -> None:
    """It is found by its hash, and its record has the name that it was trained under."""
    runs = []
    for seed, label in enumerate(("jest", "jest_old")):
        runs.append(Run(synthetic.write_run(tmp_path, "jest", 20, seed=seed, name=f"{label}-T20-s{seed}")))
        runs[-1].record["method"] = "joint"  # as the engine writes it
    before, now = runs
    renamed = Run(now.path, "jest-T20-s1")
    renamed.record["method"] = "joint"
    assert now.method == "jest_old" and renamed.method == "jest"
    assert now.configuration != renamed.configuration == before.configuration


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


def test_steps_are_counted_when_they_are_done(tmp_path: Path) -> None:
    ledger = Run(synthetic.write_run(tmp_path, "jest", 20)).ledger
    assert ledger is not None and list(ledger["step"][:2]) == [1, 2]


def test_incomplete_runs_are_known(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20)
    assert Run(path).complete
    ledger = pd.read_parquet(path / "training" / "ledger.parquet")
    ledger[:10].to_parquet(path / "training" / "ledger.parquet")
    assert not Run(path).complete
    constant = {"optimizer": {"schedule": "constant"}}
    assert not Run(synthetic.write_run(tmp_path, "jest", 30, training=constant)).complete


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20)
    (path / "training" / "ledger.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"ledger\.parquet.*can't be read"):
        _ = Run(path).ledger
    for record in ("[]", "{}"):
        (path / "training" / "run.json").write_text(record)
        with pytest.raises(
            UserError, match=r"run\.json: is not a run's record; run the learner stage again, or delete"
        ):
            _ = Run(path).record


def test_a_run_whose_f_followed_the_learner_says_so(tmp_path: Path) -> None:
    adapt = {"every": 10, "sample": 100, "power": 1.0}
    rule = {"method": "joint", "criterion": "easy_reference", "filter_ratio": 0.8, "adapt": adapt}
    path = synthetic.write_run(tmp_path, "jest", 20, selection=rule)
    file = path / "training" / "evaluations.parquet"
    before = pd.read_parquet(file)
    measured = pd.DataFrame({"step": [0, 10], "name": "pool/right_pairs", "value": [0.0, 1.0], "split": "pool"})
    pd.concat([before, measured]).to_parquet(file)
    run = Run(path)
    assert run.looked_at(np.array([0, 9, 10, 19])).tolist() == [80, 80, 53, 53]  # 16 / 0.3
    said = (
        "at most B = 80 (f = 0.8), 53 (f = 0.70) at the end, when 30 % of the pool's pairs looked right to the learner"
    )
    assert f"out of super-batches of {said}" in plan_of(run)
    assert "pool/right_pairs" not in run.validation


def test_a_run_that_changed_its_rule_says_both(tmp_path: Path) -> None:
    then = {"after": 0.5, "criterion": "easy_learner", "filter_ratio": 0.5, "final_filter_ratio": None}
    rule = {"method": "joint", "criterion": "easy_reference", "filter_ratio": 0.8, "then": then}
    run = Run(synthetic.write_run(tmp_path, "jest", 20, selection=rule))
    assert run.looked_at(np.array([0, 9, 10, 19])).tolist() == [80, 80, 32, 32]
    said = "out of super-batches of B = 80 (easy_reference, f = 0.8), from step 10 on of B = 32 (easy_learner, f = 0.5)"
    assert said in plan_of(run)
    assert meaning_of_scores(run) == (
        "minus the reference's loss, high for what the reference finds easy, and from step 10 on minus the learner's loss, high for what the "
        "learner finds easy"
    )
    assert meaning_of_scores(Run(synthetic.write_run(tmp_path, "jest", 10))).startswith("learnability: ")
    figure = scores_figure(run, pd.DataFrame({"step": [0, 19], "again": [0.0, 0.1]}))
    assert "another criterion from step 10" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize("first", [0, 540])
def test_a_run_whose_last_steps_have_no_scores_is_drawn(tmp_path: Path, first: int) -> None:
    """As of one that takes all it looks at, from some step on or from the start."""
    path = synthetic.write_run(tmp_path, "jest", 600, rows=400, b=4)
    ledger = pd.read_parquet(path / "training" / "ledger.parquet")
    ledger.loc[first:, ["score_pick", "score_super_batch"]] = np.nan
    ledger.to_parquet(path / "training" / "ledger.parquet")
    ax = scores_figure(Run(path), pd.DataFrame({"step": [0, 599], "again": [0.0, 0.1]})).axes[0]
    assert [text.get_text() for text in ax.texts] == (["picked", "super-batch"] if first else [])
    assert all(530 < text.xy[0] < 540 for text in ax.texts), "a name stands where its line ends"  # type: ignore[attr-defined]
