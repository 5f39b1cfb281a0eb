"""Nodes of the stage `icons`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged
from superbatch.config import IngestSettings, Storage, read
from superbatch.options import IconsSettings
from superbatch.pipelines.sources import render_if_used, used_sources

FORMAT = 1  # raised when the same package and settings render other bytes
DECIDES_NOTHING = ("jobs", "package", "digest")  # of the settings; the package's own digest counts for the last two


def render_icons(settings: dict[str, Any], ingest: dict[str, Any], storage: dict[str, Any]) -> Staged:
    """Render the real pool, if `ingest` reads it: pool, curated set, evaluation sets, and a data card.

    Args:
        settings: `params:icons`.
        ingest: `params:ingest`; tells whether any set lies in `01_raw/icons`.
        storage: `params:storage`; a package that npm fetched stays in `stages`.
    """
    from superbatch.icons.package import fetch_package, package_digest, read_sets

    icons, stages = read(IconsSettings, settings, "icons"), Path(read(Storage, storage, "storage").stages)
    sets = read(IngestSettings, ingest, "ingest")

    def write(out: Path) -> None:
        from superbatch.icons import make
        from superbatch.icons.rendering import require_resvg

        require_resvg()  # before anything is fetched
        make(read_sets(fetch_package(icons.package, icons.digest, stages / "packages")), icons, out)

    decides = {name: value for name, value in vars(icons).items() if name not in DECIDES_NOTHING}
    package = package_digest(icons.package, icons.digest) if "icons" in used_sources(sets) else icons.digest
    return render_if_used("icons", fingerprint(["icons", FORMAT, package, decides]), sets, stages, write)
