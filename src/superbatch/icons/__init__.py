"""icons: the real pool. `make(sets, settings, out)` renders the drawings of many design teams with the names that they gave them."""

from __future__ import annotations

from superbatch.icons.making import make

__all__ = ["make"]
