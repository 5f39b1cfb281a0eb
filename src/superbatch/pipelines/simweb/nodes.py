"""Nodes of the stage `simweb`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged, build_once, find_stage
from superbatch.config import IngestSettings, Storage, read
from superbatch.options import SimwebSettings

FORMAT = 1  # raised when the same settings render other bytes
UNUSED = "The shards settings of `ingest` point elsewhere, so nothing was rendered here.\n"


def render_simweb(settings: dict[str, Any], ingest: dict[str, Any], storage: dict[str, Any]) -> Staged:
    """Render the simulated web crawl, if `ingest` reads it: pool, curated set, evaluation sets and the truth about each pair.

    Args:
        settings: `params:simweb`.
        ingest: `params:ingest`; tells whether any set lies in a folder called simweb.
        storage: `params:storage`.
    """
    simweb, stages = read(SimwebSettings, settings, "simweb"), Path(read(Storage, storage, "storage").stages)
    name = fingerprint(["simweb", FORMAT, {k: v for k, v in vars(simweb).items() if k != "jobs"}])
    if not is_used(read(IngestSettings, ingest, "ingest")):
        kept = find_stage(name, stages)  # rendered earlier under the same settings: it may stay
        return kept or build_once("simweb", fingerprint("simweb is not used"), stages, lambda out: _write_unused(out))

    def write(out: Path) -> None:
        from superbatch.simweb import render

        render(simweb, out)

    return build_once("simweb", name, stages, write)


def is_used(ingest: IngestSettings) -> bool:
    """Tell whether any set is read from a folder called simweb."""
    specs = [
        shards
        for one in (ingest.pool, ingest.curated)
        for shards in ([one.shards] if isinstance(one.shards, str) else one.shards)
    ]
    return any("simweb" in Path(spec).parts for spec in [*specs, *(one.root for one in ingest.evaluation.values())])


def _write_unused(out: Path) -> None:
    (out / "README.txt").write_text(UNUSED)
