"""Sets for the reference map: a curated set in parts, one of any size for simweb, and a whole world in small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import build_once
from superbatch.config import read
from superbatch.curation.held_out import held_out_rows
from superbatch.data.ingest import ingest
from superbatch.data.manifest import MANIFEST_FILE, Manifest, read_manifest, write_manifest
from superbatch.errors import UserError
from superbatch.evaluation.store import SPLITS, ingest_evaluation_sets
from superbatch.options import SimwebSettings
from superbatch.simweb import render
from superbatch.simweb.clean import render_curated

SMALL = {"pool_pairs": 400, "curated_pairs": 140, "validation_images_per_class": 1, "test_images_per_class": 1}
SETS = ("classification", "retrieval")
UNSEEN, UNSEEN_SHARE = (
    1_000,
    0.4,
)  # curated pairs that no reference is trained on, and the share of the set that they are at most


def once(what: str, identity: list[Any], stages: Path, write: Callable[[Path], None]) -> Path:
    """Return the directory of an identity in a folder of such; `write` fills it unless it is there."""
    return build_once(what, fingerprint(identity), stages, write).path


@dataclass(frozen=True)
class Curated:
    """A curated set in parts: pairs that judge all references, and sets to train them on, each within the next.

    Attributes:
        directory: of the ingested set. stages: the folder for its parts. seed: of the order in which pairs are taken.
    """

    directory: Path
    stages: Path
    seed: int

    @cached_property
    def manifest(self) -> Manifest:
        """Of the whole set.

        Raises:
            UserError: its shards do not lie where they were ingested.
        """
        found = read_manifest(self.directory)
        shard = found.shard_path(next(iter(found.shard_sizes)))
        if not shard.is_file():
            raise UserError(str(shard), "no such shard", "run this in the folder in which the sets were ingested")
        return found

    @cached_property
    def unseen(self) -> np.ndarray:
        """Rows that no reference of the map is trained on: all are judged by them. int64, ascending."""
        digests = self.manifest.column("sha256").to_pylist()
        return held_out_rows(digests, min(UNSEEN, int(UNSEEN_SHARE * len(digests))))

    @cached_property
    def order(self) -> np.ndarray:
        """All other rows in a random order: a smaller set is the beginning of a larger one."""
        rest = np.setdiff1d(np.arange(len(self.manifest)), self.unseen)
        return np.random.default_rng(self.seed).permutation(rest)

    def sizes(self, wanted: list[int]) -> list[int]:
        """Return those of the sizes for which there are pairs, ascending.

        Raises:
            UserError: for none.
        """
        found = [size for size in sorted(set(wanted)) if size <= len(self.order)]
        if not found:
            judging, most = len(self.unseen), len(self.order)
            what = f"{min(wanted):,} pairs are more than the {most:,} beside the {judging:,} that judge"
            raise UserError("--pairs", what, "name smaller sets, or a larger curated set (--curated-pairs)")
        return found

    def subset(self, pairs: int) -> np.ndarray:
        """Return the rows of a set of so many pairs, ascending."""
        return np.sort(self.order[:pairs])

    def part(self, rows: np.ndarray) -> Path:
        """Return a directory with some rows, as if just these had been ingested."""

        def write(out: Path) -> None:
            table = pq.read_table(self.manifest.path).take(pa.array(rows))
            write_manifest(out / MANIFEST_FILE, table, self.manifest.shard_sizes)

        return once("curated pairs", ["rows", self.manifest.fingerprint, rows.tolist()], self.stages, write)


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

    shards = once("curated shards", ["curated shards", decides], stages, write_shards)

    def write_set(out: Path) -> None:
        ingest(sorted(shards.glob("*.tar")), out)

    return once("curated set", ["curated set", decides], stages, write_set)


def quick_sets(simweb: dict[str, Any], folder: Path) -> tuple[Path, Path, Path]:
    """Render and ingest a world of a few hundred pairs; returns the directories of pool, curated set and evaluation sets."""
    raw, out = folder / "raw", folder / "sets"
    render(replace(read(SimwebSettings, simweb, "simweb"), **SMALL), raw)
    for name in ("pool", "curated"):
        ingest(sorted((raw / name).glob("*.tar")), out / name)
    ingest_evaluation_sets({name: (raw / "evaluation" / name, SPLITS) for name in SETS}, out / "evaluation")
    return out / "pool", out / "curated", out / "evaluation"
