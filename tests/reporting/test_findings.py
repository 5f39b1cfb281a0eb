from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic

from superbatch.errors import UserError
from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.findings import gains
from superbatch.reporting.tiles import tiles
from superbatch.reporting.trust import cautions


def test_another_reference_than_the_run_s_is_said(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, "jest", 20, reference="a" * 64)
    synthetic.write_run(tmp_path, "uniform", 20, name="reference")
    assert any("a different reference" in line for line in cautions(Report(Sources(find_runs(tmp_path)))))


def test_another_metric_is_shown_if_there_is_one(report: Report) -> None:
    with pytest.raises(UserError, match="no evaluated set has 'birds/top1'"):
        Report(Sources(report.sources.runs, metric="birds/top1"))
    retrieval = Report(Sources(report.sources.runs, metric="retrieval/image_to_text_r1"))
    assert retrieval.title == "image to text R@1 on retrieval" and f"{retrieval.title} %" in retrieval.cells


def made(
    root: Path, values: dict[str, dict[int, float]], seeds: int = 3, spread: float = 0.002, **more: float
) -> Report:
    """A report over runs with test (and validation) values of one's own: method -> steps -> value."""
    for method, by_steps in values.items():
        for steps, value in by_steps.items():
            for seed in range(seeds):
                path = synthetic.write_run(root, method, steps, seed, b=4, rows=200)
                own = value + spread * (seed - (seeds - 1) / 2)
                record = json.loads((path / "training" / "run.json").read_text())
                record["final"] = {"classification/top1": own}
                (path / "training" / "run.json").write_text(json.dumps(record))
                synthetic.write_test(path, own)
    if "reference" in more:
        synthetic.write_reference(root, more["reference"])
    return Report(Sources(find_runs(root)))


def test_near_chance_there_is_one_sentence_and_one_on_seeds(tmp_path: Path) -> None:
    report = made(tmp_path, {"uniform": {10: 0.005}, "jest": {10: 0.007}}, seeds=1, reference=0.01)
    found = [*gains(report), *cautions(report)]
    assert len(found) == 2
    assert found[0].startswith("All runs are near chance (top-1 0.5 to 0.7 %, chance 0.5 %): nothing can be said")
    assert found[1].startswith("One seed (n = 1)")
    assert report.comparison.uniform == [] and "to target: steps" not in report.cells
    assert len(tiles(report)) == 1, "the value, and nothing that compares"


def test_values_level_within_their_intervals_are_not_called_gained(tmp_path: Path) -> None:
    report = made(tmp_path, {"uniform": {20: 0.30}, "jest": {20: 0.303}}, seeds=1)
    first = gains(report)[0]
    assert "no clear difference, +0.3 points [-5.4, +6.0] (n = 1 seed, interval over test images only)" in first
    assert not any("Along the run" in line for line in gains(report))
    assert "to target: steps" not in report.cells and "not certain" in dict(tiles(report))


def test_a_gain_has_its_interval_and_n(tmp_path: Path) -> None:
    report = made(tmp_path, {"uniform": {20: 0.30}, "jest": {20: 0.40}})
    assert "reaches 40.0 % on test, uniform 30.0 %: +10.0 points [+10.0, +10.0] (n = 3 seeds)." in gains(report)[0]


def test_the_best_method_is_named_though_the_report_is_about_jest(tmp_path: Path) -> None:
    values = {"uniform": {20: 0.30, 40: 0.30}, "jest": {20: 0.31}, "flexi_jest": {10: 0.35, 20: 0.40}}
    report = made(tmp_path, values)
    assert report.method == "jest"
    text = " ".join(gains(report))
    assert "The best of all is flexi_jest (f = 0.8) after 20 steps (40.0 %)" in text
    assert "flexi_jest (f = 0.8) reaches uniform's 30.0 % after 20 steps in 10 steps, 2 times fewer" in text


def test_it_is_said_when_the_filter_or_uniform_beats_all_selection(tmp_path: Path) -> None:
    values = {"uniform": {20: 0.30}, "filtered": {20: 0.50}, "jest": {20: 0.40}}
    assert any(
        line.startswith("filtered after 20 steps (50.0 %) beats all selection")
        for line in gains(made(tmp_path / "a", values))
    )
    values = {"uniform": {20: 0.30, 40: 0.45}, "jest": {20: 0.40}}
    assert any(
        line.startswith("uniform after 40 steps (45.0 %) beats all selection")
        for line in gains(made(tmp_path / "b", values))
    )
    values = {"uniform": {20: 0.30}, "filtered": {20: 0.40}, "jest": {20: 0.401}}
    report = made(tmp_path / "c", values, seeds=1)
    assert any(
        line.startswith("The best selection is not clearly different from the best run without one")
        for line in gains(report)
    )


def test_a_reference_far_below_uniform_is_a_warning(tmp_path: Path) -> None:
    report = made(tmp_path, {"uniform": {20: 0.40}, "jest": {20: 0.45}}, reference=0.24)
    assert any("FAR below uniform" in line for line in cautions(report))
    assert not any("reference" in line for line in gains(report))


def test_what_was_advised_is_the_last_of_the_gains_also_near_chance(tmp_path: Path) -> None:
    for values in ({"uniform": {10: 0.005}, "jest": {10: 0.007}}, {"uniform": {20: 0.2}, "jest": {20: 0.3}}):
        report = made(tmp_path / str(len(list(tmp_path.iterdir()))), values)
        assert not any("Advice" in line for line in gains(report))
        report.sources = replace(report.sources, advice="Advice: run safe.")
        assert gains(report)[-1] == "Advice: run safe."
