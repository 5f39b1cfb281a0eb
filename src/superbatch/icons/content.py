"""Telling a drawing that was published again: by its outline, not by its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from itertools import islice

# What decides the shape: path data, points, and the positions and sizes of simple shapes. Colors, groups, names and
# transformations don't count.
_SHAPE = re.compile(r'\s(d|points|cx|cy|r|rx|ry|x|y|x1|x2|y1|y2|width|height)="([^"]*)"')
_TOKEN = re.compile(r"[A-Za-df-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")

_START_TOKENS = 6


def outline_digest(body: str) -> bytes:
    """Return 16 bytes that are equal for drawings of the same path data, however it is spaced, coloured or grouped.

    Numbers count to two decimals; a body without any shape stands for itself.

    Args:
        body: what stands inside the <svg> element.
    """
    shapes = _SHAPE.findall(body)
    text = ";".join(f"{name} {_plain(value)}" for name, value in shapes) if shapes else body
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Outlines:
    """The outlines of some drawings: `body in outlines` tells whether one of them has this body's.

    Args:
        bodies: of the drawings.
    """

    def __init__(self, bodies: Iterable[str]) -> None:
        known = list(bodies)
        self._starts = frozenset(map(_start, known))
        self._digests = frozenset(map(outline_digest, known))

    def __contains__(self, body: str) -> bool:
        """Whether the outline is among them; most that are not begin otherwise, which costs little to see."""
        return _start(body) in self._starts and outline_digest(body) in self._digests

    def __len__(self) -> int:
        """Return how many different outlines there are."""
        return len(self._digests)


def _start(body: str) -> str:
    """Return the first few tokens of the outline: equal for equal outlines."""
    first = _SHAPE.search(body)
    return f"{first[1]} {_plain(first[2], _START_TOKENS)}" if first else body


def _plain(value: str, tokens: int | None = None) -> str:
    found = (match[0] for match in islice(_TOKEN.finditer(value), tokens))
    return " ".join(token if token.isalpha() else f"{float(token) + 0.0:.2f}" for token in found)
