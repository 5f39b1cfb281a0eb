"""The main run against uniform, metric by metric, in words and as a table: on the console and on the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic

from superbatch.evaluation.intervals import packed
from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.by_metric import Rivalry, by_metric, metric_cells, metric_text
from superbatch.reporting.intervals import Difference
from superbatch.reporting.sections.gained import gained
from superbatch.reporting.summary import console_text

IMAGES = 400


def write_results(run: Path, better: float) -> None:
    """Write results with hits of every kind: by image, by text, by draw; `better` moves all of them."""
    rng = np.random.default_rng(0)  # the same images are hard for both runs
    hard, texts = rng.random(IMAGES), rng.random(2 * IMAGES)
    top1, draws = hard < 0.3 + better, [rng.random(IMAGES) < 0.4 + better for _ in range(2)]
    hits = {"top1": packed(top1), "few_shot_5": [packed(one) for one in draws], "knn": packed(hard < 0.5 + better)}
    values = {"top1": top1.mean(), "few_shot_5": np.mean(draws), "knn": (hard < 0.5 + better).mean(), "top5": 0.9}
    more = {"hits": hits, "metrics": {name: float(value) for name, value in values.items()}}
    synthetic.write_test(run, float(top1.mean()), IMAGES, **more)
    both = {"image_to_text_r1": hard < 0.2 + better, "text_to_image_r1": texts < 0.25 - better}
    result = {"split": "test", "num_images": IMAGES, "texts_an_image": 2, "data": "pairs", "main": 0.2}
    result["metrics"] = {name: float(one.mean()) for name, one in both.items()}
    result["hits"] = {name: packed(one) for name, one in both.items()}
    (run / "evaluation" / "pairs.json").write_text(json.dumps(result))


@pytest.fixture
def compared(tmp_path: Path) -> Report:
    for method, better in (("uniform", 0.0), ("jest", 0.05)):
        write_results(synthetic.write_run(tmp_path, method, 100, test=False, b=8, rows=200), better)
    return Report(Sources(find_runs(tmp_path), main="jest-f0.8-T100-s0"))


def test_every_metric_in_a_sentence(compared: Report) -> None:
    found = {one.metric: one for one in by_metric(compared)}
    assert list(found) == [
        "classification/top1", "classification/few_shot_5", "classification/knn",
        "pairs/image_to_text_r1", "pairs/text_to_image_r1",
    ]  # fmt: skip
    top1 = found["classification/top1"]
    assert top1.difference.over == "images" and top1.difference.low > 0
    low, high = (f"{100 * bound:.1f}" for bound in (top1.difference.low, top1.difference.high))
    expected = f"jest (f = 0.8) ahead of uniform by {100 * (top1.own - top1.other):.1f} [{low}, {high}]"
    assert top1.sentence() == expected
    assert "jest (f = 0.8) behind uniform by " in found["pairs/text_to_image_r1"].sentence()
    for one in found.values():
        assert one.difference.low < one.own - one.other < one.difference.high


def test_the_paired_interval_is_narrower_than_the_shares_own(compared: Report) -> None:
    first = by_metric(compared)[0].difference
    assert first.high - first.low < 0.06, "unpaired, shares of 400 images differ by 0.13 of interval"


def test_on_the_console_and_on_the_page(compared: Report) -> None:
    sentences = [one.sentence() for one in by_metric(compared)]
    text, shown = console_text(compared), gained(compared, [])
    assert [row[-1] for row in shown.by_metric.rows] == sentences and "bootstrap" in shown.about_metrics
    assert all(sentence in text for sentence in sentences)
    assert "5-shot" in text and "k-NN" in text and "image to text R@1 on pairs" in text
    assert "intervals: paired bootstrap over the test images; one seed." in text


def test_several_seeds_are_paired_by_seed(report: Report) -> None:
    found = by_metric(report)
    assert {one.difference.over for one in found} == {"seeds"} and "top-1" in metric_cells(found).iloc[0, 0]
    assert any("Student's t over seeds (n = 2)" in line for line in metric_text(report))


def test_results_that_do_not_say_which_images_were_right(compared: Report) -> None:
    for run in compared.sources.runs:
        del run.tested["classification"]["hits"]
    found = by_metric(compared)
    assert "not paired if" in metric_text(compared)[-1]
    assert {one.metric for one in found if one.difference.paired} == {
        "pairs/image_to_text_r1",
        "pairs/text_to_image_r1",
    }


def test_nothing_to_compare(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, "uniform", 100, b=8, rows=200)
    alone = Report(Sources(find_runs(tmp_path)))
    assert by_metric(alone) == [] and metric_text(alone) == [] and metric_cells([]).empty


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Difference(0.031, 0.02, 0.042, 1, "images"), "jest ahead of uniform by 3.1 [2.0, 4.2]"),
        (Difference(-0.031, -0.042, -0.02, 1, "images"), "jest behind uniform by 3.1 [2.0, 4.2]"),
        (Difference(0.01, -0.02, 0.042, 1, "images"), "jest not clearly different from uniform: +1.0 [-2.0, +4.2]"),
        (Difference(0.01, np.nan, np.nan, 1, ""), "jest against uniform: +1.0"),
    ],
)
def test_the_words(found: Difference, said: str) -> None:
    assert Rivalry("classification/top1", "jest", "uniform", 0.3, 0.27, found).sentence() == said
