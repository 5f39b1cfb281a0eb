"""Sets of simweb for the reference map: a curated set of any size, and a whole world in small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import build_once
from superbatch.config import read
from superbatch.data.ingest import ingest
from superbatch.evaluation.store import SPLITS, ingest_evaluation_sets
from superbatch.options import SimwebSettings
from superbatch.simweb import render
from superbatch.simweb.clean import render_curated

SMALL = {"pool_pairs": 400, "curated_pairs": 140, "validation_images_per_class": 1, "test_images_per_class": 1}
SETS = ("classification", "retrieval")


def more_curated(simweb: dict[str, Any], pairs: int, work: Path) -> Path:
    """Render and ingest a curated set of so many pairs into a folder of its own; its first pairs are the default's.

    Args:
        simweb: `parameters["simweb"]`. work: the folder.

    Returns:
        The ingested set's directory.
    """
    settings = replace(read(SimwebSettings, simweb, "simweb"), curated_pairs=pairs)
    decides = {name: value for name, value in vars(settings).items() if name != "jobs"}
    stages = work / "stages"

    def write_shards(out: Path) -> None:
        render_curated(settings, out)

    shards = build_once("curated shards", fingerprint(["curated shards", decides]), stages, write_shards).path

    def write_set(out: Path) -> None:
        ingest(sorted(shards.glob("*.tar")), out)

    return build_once("curated set", fingerprint(["curated set", decides]), stages, write_set).path


def quick_sets(simweb: dict[str, Any], folder: Path) -> tuple[Path, Path, Path]:
    """Render and ingest a world of a few hundred pairs; returns the directories of pool, curated set and evaluation sets."""
    raw, out = folder / "raw", folder / "sets"
    render(replace(read(SimwebSettings, simweb, "simweb"), **SMALL), raw)
    for name in ("pool", "curated"):
        ingest(sorted((raw / name).glob("*.tar")), out / name)
    ingest_evaluation_sets({name: (raw / "evaluation" / name, SPLITS) for name in SETS}, out / "evaluation")
    return out / "pool", out / "curated", out / "evaluation"
