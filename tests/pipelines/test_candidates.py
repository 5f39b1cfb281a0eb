"""A labelled run is a candidate of its method only where the label changes what is tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superbatch.pipelines.compare.candidates import candidates
from superbatch.pipelines.compare.nodes import collect_runs
from tests.reporting.synthetic import write_run

METHODS = {
    "uniform": {"selection": {"method": "uniform"}},
    "jest": {"selection": {"method": "joint", "filter_ratio": 0.8}},
    "aced": {"selection": {"method": "joint"}, "reference": "reference_large", "distill": {"weight": 1.0}},
}


def of(*labelled: dict[str, Any], common: dict[str, Any] | None = None) -> dict[str, str]:
    """The method of each label, in a grid of these entries."""
    grid = {"set": common or {}, "runs": [{"steps": [4], "seeds": [0, 1]} | entry for entry in labelled]}
    return {name.partition("-")[0]: method for name, method in candidates(grid, {}, METHODS).items()}


@pytest.mark.parametrize(
    ("method", "change", "own"),
    [
        ("jest", {"training.optimizer.learning_rate": 0.0005, "training.evaluate_every": 2}, True),
        ("jest", {"selection.gain": 3.0}, True),
        ("aced", {"distill.weight": 4.0}, True),
        ("jest", {"training.batch_size": 32}, False),
        ("jest", {"selection.method": "independent"}, False),
        ("jest", {"selection.criterion": "easy_reference"}, False),
        ("jest", {"pool.keep_share": 0.5}, False),
        ("jest", {"pool.curated_by": "dedup"}, False),
        ("jest", {"model.pretrained": "weights"}, False),
        ("aced", {"reference": "reference"}, False),
        ("aced", {"distill.teacher": "reference_small"}, False),
    ],
)
def test_tuned_settings_alone_make_a_candidate(method: str, change: dict[str, Any], own: bool) -> None:
    found = of({"method": method}, {"method": method, "label": "other", "set": change})
    assert found == {method: method, "other": method if own else "other"}


def test_labels_are_compared_with_the_methods_own_runs() -> None:
    """Those of the grid, or as the grid would make them; the length and the ratio are kept apart anyway."""
    lower = {"training.optimizer.learning_rate": 0.0005}
    assert of({"method": "uniform", "label": "a", "set": lower}, {"method": "uniform", "label": "b"}) == {
        "a": "uniform",
        "b": "uniform",
    }
    small = {"training.batch_size": 32}
    entries = ({"method": "jest", "label": "longer", "steps": 8, "filter_ratio": 0.5},)
    assert of(*entries, common=small) == {"longer": "jest"}
    assert of({"method": "jest", "set": small}, {"method": "jest", "label": "b32", "set": small})["b32"] == "jest"


def test_labels_that_differ_in_tuned_settings_share_the_plainest() -> None:
    small = {"training.batch_size": 32}
    lower = small | {"training.optimizer.learning_rate": 0.0005}
    found = of({"method": "jest", "label": "b32_low", "set": lower}, {"method": "jest", "label": "b32", "set": small})
    assert found == {"b32_low": "b32", "b32": "b32"}


def test_a_grid_records_each_run_under_the_method_that_it_is_a_candidate_of(tmp_path: Path) -> None:
    grid = {
        "runs": [
            {"method": "uniform", "steps": 4},
            {"method": "uniform", "label": "low", "steps": 4, "set": {"training.optimizer.learning_rate": 0.0005}},
            {"method": "uniform", "label": "b8", "steps": 4, "set": {"training.batch_size": 8}},
        ]
    }
    names = {"uniform-T4-s0": 16, "low-T4-s0": 16, "b8-T4-s0": 8}
    folders = [write_run(tmp_path, "uniform", 4, b=b, name=name) for name, b in names.items()]
    edges = [folder / part for folder in folders for part in ("training", "evaluation")]
    rows, _ = collect_runs((), grid, {}, {}, METHODS["uniform"], *edges)
    assert [row["method"] for row in rows] == ["uniform"] * 3
    assert [row["outcome"]["method"] for row in rows] == ["uniform", "uniform", "b8"]
