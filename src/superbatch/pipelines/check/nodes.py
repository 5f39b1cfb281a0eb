"""Nodes of the stage `check`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from superbatch.artifacts.places import places
from superbatch.artifacts.stamps import Staged, build_once, publish
from superbatch.config import Storage, read
from superbatch.errors import UserError
from superbatch.files import read_json, shown
from superbatch.options import CheckSettings

log = logging.getLogger(__name__)
FIGURE = "scores.png"
STOPS = {None: (), "would_harm": ("would_harm",), "unsure": ("would_harm", "unsure")}  # verdicts, by the setting


def check_reference(
    name: str, model: Path, training: Path, curated: Path, pool: Path, settings: dict[str, Any], storage: dict[str, Any]
) -> Staged:
    """Check the reference on held-out curated pairs and a sample of the pool; end the run here if the settings ask for it.

    Args:
        name: of the reference, bound by the pipeline.
        model, training: the reference's checkpoint and its records.
        curated, pool: the ingested sets.
        settings: `params:check` -> `options.CheckSettings`.
        storage: `params:storage` -> `config.Storage`.

    Returns:
        `check.json` (measures, verdict, remedy) and a figure of the scores.

    Raises:
        UserError: a verdict that is to stop the run; what was found is in its place then, too.
    """
    wanted, folders = read(CheckSettings, settings, "check"), read(Storage, storage, "storage")
    from superbatch.artifacts.atomic import write_json
    from superbatch.reporting.figures import check_figure, png
    from superbatch.tasks.check import CHECK, Checked, check

    checked = Checked.of(model, training, curated, pool)

    def write(out: Path) -> None:
        found = check(checked, wanted.device)
        write_json(out / CHECK, found)
        (out / FIGURE).write_bytes(png(check_figure(found), transparent=False))

    made = build_once(f"{name} check", checked.fingerprint, Path(folders.stages), write)
    found = read_json(made.path / CHECK)
    log.info("%s check: %s", name, found["sentence"])
    if found["verdict"] in STOPS[wanted.stop]:
        stop(made, found)
    return made


def stop(made: Staged, found: dict[str, Any]) -> None:
    """End the run, with the check in its place.

    Raises:
        UserError: always.
    """
    where = made.path
    for place in places():
        publish(made, place)
        where = place
    raise UserError("check.stop", f"{found['line']} ({shown(Path(where))})", found["remedy"])
