"""How pictures are fitted to a model's input: here always the centre square, resized bicubic; in open_clip as `preprocess_cfg` says."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

log = logging.getLogger(__name__)
OURS = {
    "resize_mode": "shortest",
    "interpolation": "bicubic",
}  # as open_clip names it, and has it where nothing is said


def fitted_otherwise(config: dict[str, Any]) -> dict[str, str]:
    """Return what an open_clip configuration says of fitting pictures that is not as here, by key."""
    given = config.get("preprocess_cfg") or {}
    return {key: str(given[key]) for key, ours in OURS.items() if given.get(key, ours) != ours}


def as_trained(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a model that was trained here: it says of pictures what the model saw; no key is added."""
    changed = {key: OURS[key] for key in fitted_otherwise(config)}
    return {**config, "preprocess_cfg": {**config["preprocess_cfg"], **changed}} if changed else config


def warn_of_fitting(where: str, config: dict[str, Any]) -> None:
    """Say in a line, once a process, that a model which was trained elsewhere sees other pixels here."""
    found = " and ".join(f"{key} {value}" for key, value in fitted_otherwise(config).items())
    if found:
        _warn(where, found)


@cache
def _warn(where: str, found: str) -> None:
    log.warning(
        "%s: says %s, and is shown the centre square here, resized bicubic; its embeddings are not those of open_clip",
        where,
        found,
    )
