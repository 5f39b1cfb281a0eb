"""simweb: a simulated web crawl, the embedded default data. `render(settings, out)` writes all of it."""

from __future__ import annotations

from superbatch.simweb.render import render

__all__ = ["render"]
