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
from tests.project import copy_of


@dataclass(frozen=True)
class World:
    """Directories of a synthetic project."""

    runs: Path
    manifest: Path
    truth: Path
    features: Path


def write_world(root: Path) -> None:
    """Uniform at four lengths, jest at three, a filter; two seeds; a weak reference."""
    manifest, truth = synthetic.write_set(root, rows=600)
    kinds = kinds_of_rows(truth, manifest)
    lengths = {"uniform": (50, 200, 400, 800), "filtered": (100, 200, 400), "jest": (50, 100, 400)}
    for method, steps in lengths.items():
        for length in steps:
            for seed in range(2):
                synthetic.write_run(root / "runs", method, length, seed, b=8, rows=600, kinds=kinds, noise=0.003)
    synthetic.write_check(synthetic.write_reference(root / "runs", 0.195))
    synthetic.write_features(root, kinds)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """See `write_world`."""
    root = copy_of("synthetic", write_world, tmp_path_factory)
    return World(root / "runs", root / "pool", root / "truth.parquet", root / "features")


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
    folder = copy_of("page", lambda folder: write_page(report, folder / "deep" / "report.html"), tmp_path_factory)
    return folder / "deep" / "report.html"
