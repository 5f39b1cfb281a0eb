"""The page and the tables on what runs picked: of made-up runs, with truth and without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import World
from hypothesis import given
from hypothesis import strategies as st
from test_page import check

from superbatch.data.embeddings import EmbeddingCache
from superbatch.reporting import find_runs
from superbatch.reporting.alone import from_record
from superbatch.reporting.choices import Known
from superbatch.reporting.explained import by_method
from superbatch.reporting.figures.labels import spread_out
from superbatch.reporting.purity import kinds_of_rows
from superbatch.reporting.runs import Run
from superbatch.reporting.understanding import (
    Choices,
    choices_of,
    contrast_cells,
    part_cells,
    render,
    sentences,
    shown,
    summary_cells,
)

NAMES = ("jest-f0.8-T400-s0", "filtered-f0-T400-s0", "uniform-f0-T400-s0", "jest-f0.8-T50-s0")

WEIGHTS = pd.DataFrame({"batch_size": [64, 32_768], "own": [2.0, 2.0], "others": [1.0, 3.0]})


@pytest.fixture(scope="module")
def known(world: World) -> Known:
    scores = EmbeddingCache(world.features / "embeddings.arrow").pair_scores()
    concept = np.random.default_rng(0).integers(0, 9, len(scores))
    return Known(scores, concept, kinds_of_rows(world.truth, world.manifest) == "clean", concept % 5 - 1)


@pytest.fixture(scope="module")
def runs(world: World) -> dict[str, Run]:
    return {run.name: run for run in find_runs(world.runs)}


@pytest.fixture(scope="module")
def found(runs: dict[str, Run], known: Known) -> list[Choices]:
    made = []
    for name in NAMES:
        run = runs[name]
        assert run.picks is not None
        beside = from_record(run.picks, run.super_batch_size, 100.0, run.seed) if run.role == "selecting" else None
        made.append(choices_of(run, known, beside))
    return made


def test_the_summary_has_uniform_in_brackets_and_where_runs_ended(found: list[Choices], runs: dict[str, Run]) -> None:
    cells = summary_cells(found, runs["reference"]).set_index("run")
    assert list(cells.index) == [*NAMES, "the reference alone"]
    own, chance = found[0].whole.iloc[0], found[0].chance_whole.iloc[0]
    assert cells.loc[NAMES[0], "good pairs %"] == f"{100 * own['purity']:.1f} ({100 * chance['purity']:.1f})"
    assert own["purity"] > chance["purity"] + 0.1
    end = runs[NAMES[0]].test["classification/top1"]
    assert cells.loc[NAMES[0], "classification, end %"] == f"{100 * end:.1f}"
    assert cells.loc["the reference alone", "classification, end %"] == "19.5"
    assert (cells.loc["the reference alone", ["steps", "times each"]] == "–").all()


def test_tenths_and_the_same_scores_alone(found: list[Choices]) -> None:
    cells = part_cells(found[0])
    assert list(cells["steps"]) == [f"{40 * n}" for n in range(1, 11)] and "score" in cells
    assert "score" not in part_cells(found[1])
    beside = contrast_cells(found)
    assert list(beside["run"]) == [NAMES[0]] * 2 + [NAMES[3]] * 2 and list(beside["drawn"]) == ["joint", "alone"] * 2
    assert set(beside["how"]) == {"estimated"} and "concepts" in beside


def test_figures_show_one_length_and_no_uniform_run(found: list[Choices]) -> None:
    assert [one.run.name for one in shown(found)] == [NAMES[1], NAMES[0]]
    assert shown([found[2]]) == []


def test_sentences_say_what_is_known(found: list[Choices]) -> None:
    first, second = sentences(found[0])
    assert "% good pairs (pool: " in first and "equally frequent concepts" in first
    assert second.startswith(f"{NAMES[0]}: drawn one by one by the same scores, ") and "% good instead of" in second
    assert len(sentences(found[1])) == 1


def test_the_page_stands_alone_with_truth_and_without(found: list[Choices], known: Known, runs: dict[str, Run]) -> None:
    page = render("a <pool>", found, known, WEIGHTS, runs["reference"])
    checker = check(page)
    assert '<th scope="row">32,768</th><td>2.00</td><td>3.00</td><td>1.50</td>' in page
    assert "script" not in checker.tags and "a &lt;pool&gt;" in page
    assert page.count("<svg ") == 4, "two figures, each for both widths"
    assert "which the reference&#39;s score tells from bad ones" in page and "the true ones of the images" in page
    blind = Known(known.reference_R, known.concept_R)
    uniform = choices_of(found[2].run, blind)
    page = render("pool", [uniform], blind, WEIGHTS)
    check(page)
    assert "good pairs" not in page and "No run drew jointly." in page and "No run chose anything." in page


def test_a_run_that_was_not_tested_ends_on_validation(found: list[Choices], world: World) -> None:
    run = Run(found[0].run.path)
    run.results = {}
    cells = summary_cells([replace(found[0], run=run)])
    assert cells["top-1, end %"][0] == f"{100 * run.validation['classification/top1']:.1f}"


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.floats(0.1, 20))
def test_labels_stay_in_order_apart_and_around_their_lines(heights: list[float], apart: float) -> None:
    wanted = np.array(heights)
    found = spread_out(wanted, apart)
    ordered = found[np.argsort(wanted, kind="stable")]
    assert (np.diff(ordered) >= apart - 1e-6).all()
    assert found.mean() == pytest.approx(wanted.mean(), abs=1e-6)
    if (np.diff(np.sort(wanted)) >= apart).all():
        assert found == pytest.approx(wanted)


def test_a_method_is_the_mean_of_its_seeds(found: list[Choices]) -> None:
    one, other = found[0], found[2]
    two_seeds = by_method([one, replace(one, whole=one.whole.assign(distinct=one.whole["distinct"] + 10)), other])
    assert list(two_seeds["seeds"]) == [2, 1] and list(two_seeds["method"]) == ["jest", "uniform"]
    assert two_seeds["distinct"][0] == one.whole["distinct"].iloc[0] + 5
    assert two_seeds["end:classification"][0] == pytest.approx(100 * one.run.test["classification/top1"])
