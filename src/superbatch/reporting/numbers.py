"""Shares as people read them: percentages and points, one decimal, or two significant digits where they are small."""

from __future__ import annotations

import math

NONE = "–"
ZERO = 5e-4  # per cent; less in size is shown as 0.0, without a sign


def percent(share: float) -> str:
    """A share in [0, 1] as a number of per cent: `34.0`, `0.52`, `0.069`; a dash where it is not known."""
    return _shown(100 * share, "")


def points(difference: float) -> str:
    """A difference of two shares in points, with its sign: `+4.8`, `-0.26`; one that is nothing has no sign."""
    return _shown(100 * difference, "+")


def bounds(low: float, high: float, form: str = "percent") -> str:
    """An interval in brackets, of shares or (`form="points"`) of differences; empty where it is not known."""
    if not math.isfinite(low):
        return ""
    shown = points if form == "points" else percent
    return f"[{shown(low)}, {shown(high)}]"


def _shown(value: float, sign: str) -> str:
    if not math.isfinite(value):
        return NONE
    if abs(value) < ZERO:
        return "0.0"
    small = abs(value) < 1
    return f"{value:{sign}.2g}" if small else f"{value:{sign}.1f}"
