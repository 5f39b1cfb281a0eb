"""The package that each tracker needs, and how to make one; none is imported before it is used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from superbatch.errors import UserError
from superbatch.tracking.tracker import Tracker

PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "dvclive": "dvclive"}


def require_packages(trackers: Iterable[str]) -> None:
    """Refuse trackers whose package is not installed.

    Raises:
        UserError: the first of them, and how to install it.
    """
    for name in trackers:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            remedy = "`pip install superbatch[trackers]`, or set it to false"
            raise UserError(f"tracking.{name}", f"the package {PACKAGES[name]} is not installed", remedy)


def make_tracker(name: str, folder: Path) -> Tracker:
    """Make a tracker, importing its package.

    Args:
        name: of the tracker. folder: of all trackers.
    """
    made: Tracker = importlib.import_module(f"superbatch.tracking.to_{name}").make(folder / name)
    return made
