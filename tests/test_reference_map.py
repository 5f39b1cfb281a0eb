"""benchmarks/reference_map.py: curated sets within each other, pairs that judge them all, rows that are made once, the table by hand."""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from superbatch.artifacts.atomic import write_json
from superbatch.data.manifest import read_manifest
from superbatch.errors import UserError
from tests.project import PROJECT

NAMES = ("reference_map", "reference_map_world", "reference_map_rows", "reference_map_sets")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "benchmarks"))
        yield {name.removeprefix("reference_map").lstrip("_"): importlib.import_module(name) for name in NAMES}


@pytest.fixture(scope="module")
def world(scripts: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory):
    """simweb with sixty curated pairs, 24 of which judge, and no pool."""
    work = tmp_path_factory.mktemp("map")
    parameters = scripts["world"].parameters("quick")
    directory = scripts["sets"].more_curated(parameters["simweb"], 60, work)
    curated = scripts["sets"].Curated(directory, work / "stages", 0)
    return scripts["world"].World("simweb", parameters, directory, curated, work, work, 0, 1)


@pytest.fixture(scope="module")
def curated(world):
    return world.curated


def images(directory: Path) -> list[bytes]:
    return read_manifest(directory).column("sha256").to_pylist()


# Sets


def test_curated_sets_lie_within_each_other_and_beside_the_pairs_that_judge(curated) -> None:
    assert curated.sizes([36, 10, 37, 10, 20]) == [10, 20, 36]
    subsets = [curated.subset(size) for size in (10, 20, 36)]
    assert [len(subset) for subset in subsets] == [10, 20, 36]
    assert set(subsets[0]) < set(subsets[1]) < set(subsets[2])
    assert sorted([*subsets[2], *curated.unseen]) == list(range(60))
    assert list(curated.subset(10)) == sorted(curated.subset(10))
    other = replace(curated, seed=1)
    assert list(other.subset(20)) != list(curated.subset(20))
    assert list(other.unseen) == list(curated.unseen), "all are judged by the same pairs, whatever the seed"
    with pytest.raises(UserError, match="50 pairs are more than the 36 beside the 24 that judge"):
        curated.sizes([50])


def test_a_part_is_a_set_of_its_own_with_the_images_of_its_rows(curated) -> None:
    rows = curated.subset(10)
    part, whole = read_manifest(curated.part(rows)), curated.manifest
    assert part.keys == [whole.keys[row] for row in rows]
    places = part.places
    assert list(places["offset"]) == [whole.places[row]["offset"] for row in rows]
    assert part.fingerprint not in (whole.fingerprint, read_manifest(curated.part(curated.subset(20))).fingerprint)


@pytest.mark.parametrize("imported", [False, True])
def test_every_reference_is_judged_by_the_pairs_that_none_has_seen(
    curated, scripts, tmp_path: Path, imported: bool
) -> None:
    seen = np.arange(0) if imported else curated.subset(20)[3:]
    write_json(tmp_path / "run.json", {"settings": {"imported_from": "x"} if imported else {"held_out": 3}})
    part = read_manifest(curated.part(np.union1d(curated.unseen, seen)))
    held, known = scripts["world"].Judged(tmp_path, tmp_path, part, part, len(curated.unseen)).split()
    digests, whole = images(part.path.parent), images(curated.directory)
    assert [digests[row] for row in held] == [whole[row] for row in curated.unseen]
    assert [digests[row] for row in known] == [whole[row] for row in seen]


def test_a_small_curated_set_has_a_smaller_batch(scripts) -> None:
    fitting = scripts["world"].fitting
    assert [fitting(128, rows) for rows in (500, 128, 90, 63, 1)] == [128, 128, 64, 32, 2]


# Settings


def test_the_methods_are_the_projects_own_and_safe_ends_uniformly(world) -> None:
    safe, easy = (world.settings(name, 50, 1e-3, 7) for name in ("safe", "easy_reference"))
    assert safe.selection == replace(easy.selection, final_filter_ratio=0.0, falls_over=0.3)
    assert [rule.sizes(64) for rule in safe.selection.rules] == [(1_280, 64)]
    assert (easy.training.steps, easy.training.seed, easy.training.threads) == (50, 7, 1)
    assert world.settings("filtered", 50, 5e-4, 0).training.optimizer.learning_rate == 5e-4
    with pytest.raises(UserError, match="no method 'jets'; did you mean jest"):
        world.settings("jets", 50, 1e-3, 0)


def test_rows_are_told_apart_by_what_decides_them(world, scripts) -> None:
    identity, settings = scripts[""].identity, world.settings("jest", 50, 1e-3, 0)
    others = [
        world.settings(*other) for other in [("jest", 50, 1e-3, 1), ("jest", 50, 5e-4, 0), ("independent", 50, 1e-3, 0)]
    ]
    assert identity(settings) not in map(identity, others)
    later = replace(settings, training=replace(settings.training, checkpoint_every=3, workers=2))
    assert identity(later) == identity(settings)


def test_a_world_has_two_references_a_size_and_those_that_are_imported(world, scripts) -> None:
    options = scripts[""].arguments(
        ["--world", "icons", "--pairs", "10", "30", "--reference-steps", "40", "--reference", "a/strong"]
    )
    found = [strength.label for strength in scripts[""].strengths(world, options)]
    sizes = ["10 pairs, 10 steps", "10 pairs, 40 steps", "30 pairs, 10 steps", "30 pairs, 40 steps"]
    assert found == [*sizes, "imported strong"]


def test_uniform_is_trained_once_a_seed_and_all_else_by_each_reference(world, scripts) -> None:
    options = scripts[""].arguments(
        ["--world", "simweb", "--methods", "uniform", "jest", "filtered", "--rate", "jest=0.002"]
    )
    found = list(scripts[""].learners(world, options, scripts[""].WORLDS["simweb"], ["weak", "strong"], seed=3))
    assert [(method, reference) for method, _, reference in found] == [
        ("uniform", None), ("jest", "weak"), ("filtered", "weak"), ("jest", "strong"), ("filtered", "strong")
    ]  # fmt: skip
    rates = {method: settings.training.optimizer.learning_rate for method, settings, _ in found}
    assert rates == {"uniform": 5e-4, "jest": 2e-3, "filtered": 5e-4}


# Rows


def row(
    reference: str | None, method: str | None, value: float, seed: int = 0, rate: float = 1e-3, good: float = 0.5
) -> dict[str, Any]:
    kind = "reference" if method is None else "learner"
    of = {
        "kind": kind,
        "world": "w",
        "pool": "p",
        "reference": reference,
        "method": method,
        "label": reference,
        "seed": seed,
    }
    learner = {} if method is None else {"settings": f"{seed} {rate}", "rate": rate, "steps": 50}
    return of | learner | {"test": {"headline": value, "a/top1": value}, "validation": {"headline": good}}


def judged(reference: str, recall: float, auc: float) -> dict[str, Any]:
    def near(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.01, "high": value + 0.01, "pairs": 500}

    check = {
        "pairs": {"held_out": 500, "training": 90, "pool": 9},
        "auc": {"pair": {"all": near(auc)}},
        "recall": {"held_out": near(recall), "training": near(0.9), "of": 64},
        "verdict": "unsure",
    }
    return row(reference, None, 0.2) | {"check": check}


def test_a_row_that_is_there_is_not_made_again(scripts, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, made = scripts["rows"].Rows(tmp_path / "deep" / "map.jsonl"), []

    def call() -> dict[str, Any]:
        made.append(1)
        return {"test": {"headline": 0.25}}

    asked = {name: value for name, value in row("r", "jest", 0).items() if name not in ("test", "validation")}
    for given in (asked, asked, asked | {"settings": "others"}, asked):
        scripts[""].make(rows, given, call)
    assert len(made) == len(rows.read()) == 2
    first = rows.read()[0]
    assert first["cpu_seconds"] >= 0 and first["commit"] and first["machine"]["cores"]
    assert capsys.readouterr().out.splitlines()[0] == "w, r, jest, seed 0: headline 25.0 %, 0 CPU s"


def test_other_evaluation_sets_are_other_rows_and_a_row_that_names_none_counts_for_any(scripts, tmp_path: Path) -> None:
    rows, one = scripts["rows"].Rows(tmp_path / "map.jsonl"), row("r", "jest", 0.3)
    rows.add(one | {"evaluation": "first"})
    assert rows.has(one | {"evaluation": "first"}) and not rows.has(one | {"evaluation": "second"})
    rows.add(one)
    assert rows.has(one | {"evaluation": "second"}) and len(rows.read()) == 2


def test_a_row_names_the_evaluation_sets_by_their_content(world, scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(content: str) -> str:
        monkeypatch.setattr(scripts["world"], "fingerprint_of_sets", lambda folder, split: f"{content} {split}")
        return scripts[""].about(replace(world), None)["evaluation"]

    assert name("old") == name("old") != name("new")


def test_a_table_is_of_the_same_evaluation_sets(scripts, recorded) -> None:
    """Recorded rows that name none are in every table of their pool."""
    new = [row(None, "uniform", 0.10, 0), judged("strong", 0.40, 0.9), row("strong", "jest", 0.20, 0)]
    new = [one | {"evaluation": "new"} for one in new]

    def bases(*rows: dict[str, Any]) -> list[float]:
        return [round(block.base, 1) for block in scripts["rows"].blocks(list(rows), "headline")]

    assert bases(*recorded) == [51.3]
    assert bases(*(one | {"evaluation": "old"} for one in recorded), *new) == [10.0, 51.3]
    assert bases(*recorded, *new) == [44.7], "seed 0 anew, the others as recorded"


def test_a_line_that_was_cut_short_is_made_anew_and_spoils_no_other(scripts, tmp_path: Path) -> None:
    rows = scripts["rows"].Rows(tmp_path / "map.jsonl")
    one, two = row("r", "jest", 0.3), row("r", "safe", 0.4)
    rows.add(one)
    rows.add(two)
    os.truncate(rows.path, rows.path.stat().st_size - 5)
    assert rows.read() == [one] and not rows.has(two)
    rows.add(two)
    scripts["rows"].Rows(rows.path).add(row("r", "safe", 0.5))
    assert [found["test"]["headline"] for found in rows.read()] == [0.3, 0.5], "of equal rows the later counts"


@pytest.fixture
def recorded() -> list[dict[str, Any]]:
    return [
        row(None, "uniform", 0.30, seed=0), row(None, "uniform", 0.34, seed=1), row(None, "uniform", 0.90, seed=2),
        judged("strong", 0.40, 0.9), judged("weak", 0.05, 0.6),
        row("strong", "filtered", 0.32, 0), row("strong", "filtered", 0.37, 1),
        row("strong", "jest", 0.40, 0, good=0.2), row("strong", "jest", 0.46, 1, good=0.2),
        row("strong", "jest", 0.99, 0, rate=2e-3, good=0.1), row("strong", "jest", 0.99, 1, rate=2e-3, good=0.1),
        row("weak", "jest", 0.20, 0),
    ]  # fmt: skip


def test_the_table_has_gains_by_equal_seeds_at_the_rate_that_validation_prefers(scripts, recorded) -> None:
    (block,) = scripts["rows"].blocks(recorded, "headline")
    assert [point.row["label"] for point in block.points] == ["weak", "strong"], "by strength"
    weak, strong = (point.gains for point in block.points)
    assert strong == {"filtered": pytest.approx((2.5, 0.0)), "jest": pytest.approx((11.0, 8.5))}
    assert weak["jest"][0] == pytest.approx(-10.0) and math.isnan(weak["jest"][1])
    lines = scripts["rows"].told(block).splitlines()
    assert lines[0].split() == [
        "w,",
        "50",
        "steps:",
        "headline",
        "own",
        "%",
        "AUC",
        "R@1",
        "in",
        "64",
        "%",
        "verdict",
        "filtered",
        "jest",
    ]
    assert [line.split() for line in lines[1:]] == [
        ["uniform", "51.3"],
        ["weak", "20.0", "0.60", "5", "would_harm", "–", "-10.0", "/", "–"],
        ["strong", "20.0", "0.90", "40", "helps", "+2.5", "+11.0", "/", "+8.5"],
    ]
    assert scripts["rows"].blocks(recorded, "r1") == [], "what was not measured has no table"


def test_the_figures_are_json_and_a_picture(scripts, recorded, tmp_path: Path) -> None:
    blocks = scripts["rows"].blocks(recorded, "top1")
    (found,) = json.loads(json.dumps([scripts["rows"].figures(block) for block in blocks]))
    assert found["steps"] == 50 and found["measure"] == "top1" and found["uniform"] == 51.333
    assert found["references"][0]["gains"] == {"jest": {"uniform": -10.0, "filter": None}}
    scripts["rows"].draw(blocks, tmp_path / "deep" / "map.png")
    assert (tmp_path / "deep" / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_whole_map_in_small(
    scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reference_map.py", "--quick", "--json", str(tmp_path / "map.json")])
    scripts[""].main()
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == json.loads((tmp_path / "map.json").read_text())
    measures = {block["measure"]: block["references"] for block in last["map"]["quick"]}
    assert set(measures) == {"headline", "top1", "r1"}
    for references in measures.values():
        others = len(scripts[""].METHODS) - 1  # all but uniform, which they are held against
        assert [len(one["gains"]) for one in references] == [others] * 2
        assert all(gain is not None for one in references for gains in one["gains"].values() for gain in gains.values())
