"""The package that each tracker needs, and how to make one; none is imported before it is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path

from superbatch.extras import require_packages
from superbatch.tracking.tracker import Tracker

PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "dvclive": "dvclive"}


def require_trackers(trackers: Iterable[str]) -> None:
    """Refuse trackers whose package is not installed.

    Raises:
        UserError: the first of them, and how to install it.
    """
    for name in trackers:
        require_packages(f"tracking.{name}", "trackers", PACKAGES[name], otherwise="set it to false")


def make_tracker(name: str, folder: Path) -> Tracker:
    """Make a tracker, importing its package.

    Args:
        name: of the tracker. folder: of all trackers.
    """
    made: Tracker = importlib.import_module(f"superbatch.tracking.to_{name}").make(folder / name)
    return made
