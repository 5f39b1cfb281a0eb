"""Synthetic runs, made once for the room's tests."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.page import write_page
from superbatch.reporting.purity import kinds_of_rows


@dataclass(frozen=True)
class World:
    """Directories of a synthetic project."""

    runs: Path
    manifest: Path
    truth: Path
    features: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Uniform at four lengths, jest at three, a filter; two seeds; a weak reference."""
    root = tmp_path_factory.mktemp("project")
    manifest, truth = synthetic.write_set(root, rows=600)
    kinds = kinds_of_rows(truth, manifest)
    lengths = {"uniform": (50, 200, 400, 800), "filtered": (100, 200, 400), "jest": (50, 100, 400)}
    for method, steps in lengths.items():
        for length in steps:
            for seed in range(2):
                synthetic.write_run(root / "runs", method, length, seed, b=8, rows=600, kinds=kinds, noise=0.003)
    synthetic.write_check(synthetic.write_reference(root / "runs", 0.195))
    return World(root / "runs", manifest, truth, synthetic.write_features(root, kinds))


@pytest.fixture(scope="session")
def report(world: World) -> Report:
    """The full report over the synthetic project."""
    sources = Sources(
        find_runs(world.runs),
        manifest=world.manifest,
        truth=world.truth,
        features=world.features,
        pixels=synthetic.pixels,
        images=synthetic.shown_images(),
        command="kedro run --pipeline=jest",
        fingerprints={"pool": "0" * 16},
    )
    return Report(sources)


@pytest.fixture(scope="session")
def page_file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full report as a page."""
    path = tmp_path_factory.mktemp("page") / "deep" / "report.html"
    write_page(report, path)
    return path
