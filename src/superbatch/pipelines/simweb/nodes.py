"""Nodes of the stage `simweb`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged
from superbatch.config import IngestSettings, Storage, read
from superbatch.options import SimwebSettings
from superbatch.pipelines.sources import render_if_used

FORMAT = 1  # raised when the same settings render other bytes


def render_simweb(settings: dict[str, Any], ingest: dict[str, Any], storage: dict[str, Any]) -> Staged:
    """Render the simulated web crawl, if `ingest` reads it: pool, curated set, evaluation sets and the truth about each pair.

    Args:
        settings: `params:simweb`.
        ingest: `params:ingest`; tells whether any set lies in `01_raw/simweb`.
        storage: `params:storage`.
    """
    simweb, stages = read(SimwebSettings, settings, "simweb"), Path(read(Storage, storage, "storage").stages)

    def write(out: Path) -> None:
        from superbatch.simweb import render

        render(simweb, out)

    mark = fingerprint(["simweb", FORMAT, {k: v for k, v in vars(simweb).items() if k != "jobs"}])
    return render_if_used("simweb", mark, read(IngestSettings, ingest, "ingest"), stages, write)
