from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.families import method_names, tuned_words
from superbatch.reporting.finals import runs_frame
from superbatch.reporting.tuning import tuned


def write(root: Path, name: str, method: str, validation: float, test: float, seed: int = 0, **settings: Any) -> None:
    """A run as the learner records it (`method` is the kind of selection), with a learning rate and values of one's own."""
    rate = settings.pop("rate", 1e-3)
    optimizer = {"learning_rate": rate, "weight_decay": 1e-4, "schedule": "cosine"}
    training = {"batch_size": 16, "steps": 20, "seed": seed, "loss": "sigmoid", "optimizer": optimizer}
    path = synthetic.write_run(root, method, 20, seed, name=name, training=training, **settings)
    record = json.loads((path / "training" / "run.json").read_text())
    record |= {"method": "uniform" if method == "uniform" else "joint", "final": {"classification/top1": validation}}
    (path / "training" / "run.json").write_text(json.dumps(record))
    synthetic.write_test(path, test)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in range(3):
        write(tmp_path, f"uniform-T20-s{seed}", "uniform", 0.20, 0.30 + seed / 1000, seed)
        write(tmp_path, f"uniform_lr500u-T20-s{seed}", "uniform", 0.25, 0.24 + seed / 1000, seed, rate=5e-4)
        write(tmp_path, f"jest-f0.8-T20-s{seed}", "jest", 0.40, 0.41, seed)
    return tmp_path


def test_a_labelled_run_with_another_rate_is_a_candidate_of_its_method(runs: Path) -> None:
    """It was a method of its own, averaged into uniform's baseline; now validation chooses, and the table says of how many."""
    frame = tuned(runs_frame(find_runs(runs)))
    uniform = frame[frame["role"] == "uniform"]
    assert set(uniform["method"]) == {"uniform"} and list(uniform["run"]) == [
        f"uniform_lr500u-T20-s{s}" for s in range(3)
    ]
    report = Report(Sources(find_runs(runs)))
    assert report.comparison.uniform[0].horizon.target == pytest.approx(0.241)
    assert "lr 0.0005 (of 2)" in set(report.cells["setting"])


def test_the_report_says_what_was_chosen_of_what(runs: Path) -> None:
    from superbatch.reporting.findings import gains

    assert "Chosen by validation: uniform at 20 steps lr 0.0005 (not lr 0.001)." in gains(
        Report(Sources(find_runs(runs)))
    )


def test_what_is_not_tuned_keeps_methods_apart(tmp_path: Path) -> None:
    write(tmp_path, "jest-f0.8-T20-s0", "jest", 0.4, 0.4)
    write(tmp_path, "jest_k50-f0.8-T20-s0", "jest", 0.4, 0.4, pool={"keep_share": 0.5, "add_curated": False})
    write(tmp_path, "jest_k30-f0.8-T20-s0", "jest", 0.4, 0.4, pool={"keep_share": 0.3, "add_curated": False})
    easy = {"method": "joint", "filter_ratio": 0.8, "num_chunks": 16, "gain": 100.0, "criterion": "easy_reference"}
    write(tmp_path, "easy-f0.8-T20-s0", "jest", 0.4, 0.4, selection=easy)
    write(tmp_path, "easy_g1-f0.8-T20-s0", "jest", 0.4, 0.4, selection=easy | {"gain": 1.0})
    for clusters, balance in ((64, 0.5), (256, 1.0)):
        pool = {"keep_share": 0.3, "add_curated": False, "clusters": clusters, "balance": balance}
        write(tmp_path, f"level_c{clusters}-f0.8-T20-s0", "jest", 0.4, 0.4, pool=pool, kept_rows=f"{clusters:016x}")
    names = method_names(find_runs(tmp_path))
    assert {name.split("-")[0]: method for name, method in names.items()} == {
        "jest": "jest", "jest_k50": "jest_k30", "jest_k30": "jest_k30", "easy": "easy", "easy_g1": "easy",
        "level_c64": "level_c64", "level_c256": "level_c64",
    }  # fmt: skip


def test_a_labelled_main_run_finds_its_rivals(runs: Path) -> None:
    write(runs, "jest_lr2m-f0.8-T20-s0", "jest", 0.1, 0.1, rate=2e-3)
    report = Report(Sources(find_runs(runs), main="jest_lr2m-f0.8-T20-s0"))
    assert report.method == "jest" and report.outcome(report.comparison.uniform) is not None


def test_tuned_settings_in_words(runs: Path) -> None:
    pool = {"keep_share": 0.3, "clusters": 64, "balance": 0.5}
    write(runs, "balanced_filter-T20-s0", "uniform", 0.2, 0.2, pool=pool)
    words = {run.name: tuned_words(run) for run in find_runs(runs)}
    assert words["balanced_filter-T20-s0"][:2] == ["best 30 % of 64 clusters (balance 0.5)", "lr 0.001"]
    assert words["jest-f0.8-T20-s0"] == ["lr 0.001", "decay 0.0001", "gain 100"]
    assert words["uniform_lr500u-T20-s0"] == ["lr 0.0005", "decay 0.0001"]


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"final_filter_ratio": 0.0}, ["f to 0"]),
        ({"final_filter_ratio": 0.0, "falls_over": 0.3}, ["f to 0 over 30 %"]),
        ({"adapt": {"every": 50, "sample": 1000, "power": 2.0}}, ["power 2"]),
        ({"then": {"after": 0.5, "filter_ratio": 0.8, "criterion": "easy_learner"}}, ["then f 0.8 from 50 %"]),
        ({"then": {"after": 0.3, "filter_ratio": 0.8, "final_filter_ratio": 0.0}}, ["then f 0.8 to 0 from 30 %"]),
        ({"then": {"after": None, "filter_ratio": 0.8}}, ["then f 0.8 once outgrown"]),
    ],
)
def test_a_schedule_of_selection_in_words(tmp_path: Path, selection: dict[str, Any], words: list[str]) -> None:
    own = {"method": "joint", "filter_ratio": 0.95, "num_chunks": 16, "gain": 10.0, "criterion": "easy_reference"}
    write(tmp_path, "one-f0.95-T20-s0", "jest", 0.2, 0.2, selection=own | selection)
    assert tuned_words(find_runs(tmp_path)[0])[1:] == ["decay 0.0001", "gain 10", *words]


def test_a_run_from_given_weights_is_no_candidate_of_one_from_random_ones(runs: Path) -> None:
    """Whose cost it does not know: pooled with the others, the tuned model would be uniform's best, for 20 steps."""
    write(runs, "uniform_on-T20-s0", "uniform", 0.9, 0.9, model={"pretrained": "a" * 64})
    names = method_names(find_runs(runs))
    assert names["uniform_on-T20-s0"] == "uniform_on" and names["uniform-T20-s0"] == "uniform"
