"""Where the outputs of the running node will be published, as the catalog says; a hook passes it on.

With it a node sees that its output stands there already, wherever it came from: an earlier run, `dvc pull`, a copied folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path

_places: ContextVar[tuple[Path, ...]] = ContextVar("places", default=())


def set_places(places: Iterable[Path]) -> None:
    """Say where the outputs of the node that runs next belong."""
    _places.set(tuple(places))


def places() -> tuple[Path, ...]:
    """Return where this node's outputs belong; empty if no hook said so (a node called as a function)."""
    return _places.get()
