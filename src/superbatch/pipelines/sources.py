"""Stages that make data: each fills the folder of its name, and runs where `ingest` reads from there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged, build_once, find_stage
from superbatch.config import IngestSettings
from superbatch.stores.address import is_address

SOURCES = ("simweb", "icons")
RAW = "01_raw"  # the catalog's folder of what they make
UNUSED = "The shards settings of `ingest` point elsewhere, so nothing was rendered here.\n"


def used_sources(ingest: IngestSettings) -> tuple[str, ...]:
    """List the sources that any set is read from: `01_raw/<source>` is on the way to it, where the catalog has what they make."""
    specs = [
        shards
        for one in (ingest.pool, ingest.curated)
        for shards in ([one.shards] if isinstance(one.shards, str) else one.shards)
    ]
    roots = [one.root for one in ingest.evaluation.values()]
    return tuple(source for source in SOURCES if any(_reads(spec, source) for spec in (*specs, *roots)))


def is_rendered(spec: str) -> bool:
    """Whether a source makes what a shards setting or a root names."""
    return any(_reads(spec, source) for source in SOURCES)


def _reads(spec: str, source: str) -> bool:
    return not is_address(spec) and (RAW, source) in pairwise(Path(spec).parts)


def render_if_used(
    source: str, mark: str, ingest: IngestSettings, stages: Path, write: Callable[[Path], None]
) -> Staged:
    """Build a source's directory once, if `ingest` reads from it; else one that only says so.

    Args:
        source: its name.
        mark: fingerprint of its settings and inputs.
        ingest: where the sets are.
        stages: the staging folder.
        write: fills an empty directory.
    """
    if source in used_sources(ingest):
        return build_once(source, mark, stages, write)
    kept = find_stage(mark, stages)  # rendered earlier under the same settings: it may stay
    return kept or build_once(source, fingerprint(f"{source} is not used"), stages, _write_unused)


def _write_unused(out: Path) -> None:
    (out / "README.txt").write_text(UNUSED)
