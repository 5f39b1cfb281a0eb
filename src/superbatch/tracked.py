"""What trackers are told around a command: which are on, which trainings they follow, the results at its end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol

    from superbatch.options import TrackingSettings


def tracking_settings(catalog: CatalogProtocol) -> TrackingSettings:
    """Return which trackers are told of this command; their folder is beside the report unless it is set."""
    from superbatch.config import Storage, read
    from superbatch.options import TrackingSettings

    given = {key: catalog.load(f"params:{key}") for key in ("tracking", "storage") if f"params:{key}" in catalog}
    settings = read(TrackingSettings, given.get("tracking"), "tracking")
    if settings.folder is not None or not settings.wanted:
        return settings
    docs = Path(read(Storage, given.get("storage"), "storage").data_docs)
    return replace(settings, folder=str(docs.parent / "tracking"))


def check_trackers(catalog: CatalogProtocol) -> None:
    """Check that the trackers which are on are installed; those that failed in an earlier session have another chance.

    Raises:
        UserError: one that is not.
    """
    wanted = tracking_settings(catalog).wanted
    if wanted:
        from superbatch.tracking import require_trackers, tracking_of

        require_trackers(wanted)
        tracking_of.cache_clear()


def follow_trainings(catalog: CatalogProtocol) -> None:
    """Let the trackers follow the trainings of the node that runs next, if any are on."""
    from superbatch.training.following import follow_with

    settings = tracking_settings(catalog)
    if not settings.wanted:
        follow_with(None)  # an earlier session in the same notebook may have set some
        return
    from superbatch.tracking import tracking_of

    follow_with(tracking_of(settings))


def send_to_trackers(made: set[str], catalog: CatalogProtocol) -> None:
    """Send results and the report's figures to the trackers, as far as they don't have them."""
    settings = tracking_settings(catalog)
    if settings.wanted:
        from superbatch.tracking import send_found, tracking_of

        outputs = Path(catalog["reference.training"]._filepath).parents[1]
        states = Path(catalog.load("params:storage")["state"])
        files = [Path(catalog[name]._filepath) for name in made if name.startswith("report.")]
        figures = {file.stem: file for file in sorted(files) if file.suffix == ".png"}
        send_found(tracking_of(settings), sorted(outputs.glob("*")), states, figures)
