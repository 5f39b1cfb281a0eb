"""How methods, verdicts and kinds of pairs are called where people read them."""

from __future__ import annotations

import re

_SEED = re.compile(r"-s\d+$")


def label_of(method: str, filter_ratio: float) -> str:
    """How a method is called in tables and legends: with its filtering ratio where it selects."""
    return f"{method} (f = {filter_ratio:g})" if filter_ratio > 0 else method


def cell_of(run: str) -> str:
    """The name of a grid's run without its seed: equal for repeats of one configuration."""
    return _SEED.sub("", run)


def words(name: str) -> str:
    """How a verdict or a kind of pair is called where people read it."""
    return name.replace("_", " ")
