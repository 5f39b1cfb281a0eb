"""Signed distances of the shapes: negative inside, in units of the object's radius, exact or nearly so at the edge.

Formulas after Inigo Quilez, "2D distance functions" (iquilezles.org/articles/distfunctions2d). x, y: float32 of any one
shape, y upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Vertices = Sequence[tuple[float, float]]


def disc(x: Field, y: Field, radius: float) -> Field:
    """Distance to a disc around the origin."""
    distance: Field = np.sqrt(x * x + y * y) - np.float32(radius)
    return distance


def box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    """Distance to an upright rectangle around the origin."""
    dx, dy = np.abs(x) - np.float32(half_width), np.abs(y) - np.float32(half_height)
    outside = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
    distance: Field = outside + np.minimum(np.maximum(dx, dy), 0)
    return distance


def polygon(x: Field, y: Field, vertices: Vertices) -> Field:
    """Distance to a simple polygon, convex or not."""
    nearest = np.full_like(x, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(vertices, [*vertices[1:], vertices[0]], strict=True):
        ex, ey = np.float32(bx - ax), np.float32(by - ay)
        px, py = x - np.float32(ax), y - np.float32(ay)
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (px - ex * along) ** 2 + (py - ey * along) ** 2)
        if ey != 0:  # a ray to the right crosses this edge
            crosses = (y >= np.float32(min(ay, by))) & (y < np.float32(max(ay, by))) & (px < py * (ex / ey))
            inside ^= crosses
    return np.where(inside, -1, 1).astype(np.float32) * np.sqrt(nearest)


def _star_vertices(points: int = 5, outer: float = 1.0, inner: float = 0.42) -> Vertices:
    angles = np.pi / 2 + np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2 == 0, outer, inner)
    return [(float(r * np.cos(a)), float(r * np.sin(a)) - 0.06) for r, a in zip(radii, angles, strict=True)]


_STAR = _star_vertices()
_TRIANGLE = [(0.0, 0.88), (0.95, -0.74), (-0.95, -0.74)]
_ARROW = [(0.98, 0.0), (0.15, 0.74), (0.15, 0.27), (-0.95, 0.27), (-0.95, -0.27), (0.15, -0.27), (0.15, -0.74)]
_HOUSE = [
    (0.0, 0.95), (0.95, 0.14), (0.7, 0.14), (0.7, -0.85), (0.24, -0.85), (0.24, -0.25),
    (-0.24, -0.25), (-0.24, -0.85), (-0.7, -0.85), (-0.7, 0.14), (-0.95, 0.14),
]  # fmt: skip
_BOLT = [(0.25, 1.0), (-0.62, -0.1), (-0.08, -0.1), (-0.3, -1.0), (0.64, 0.24), (0.08, 0.24), (0.62, 1.0)]
_DROP_TIP = [(0.0, 0.98), (0.53, -0.07), (-0.53, -0.07)]


def _heart(x: Field, y: Field) -> Field:
    side = 0.56
    lifted = y + np.float32(0.12)
    square = box((x + lifted) * np.float32(0.70710678), (lifted - x) * np.float32(0.70710678), side, side)
    lobe = disc(np.abs(x) - np.float32(side * 0.70710678), lifted - np.float32(side * 0.70710678), side)
    return np.minimum(square, lobe)


def _diamond(x: Field, y: Field) -> Field:
    distance: Field = ((np.abs(x) / 0.66 + np.abs(y) / 0.98 - 1) / np.hypot(1 / 0.66, 1 / 0.98)).astype(np.float32)
    return distance


def _cross(x: Field, y: Field) -> Field:
    return np.minimum(box(x, y, 0.9, 0.29), box(x, y, 0.29, 0.9))


def _crescent(x: Field, y: Field) -> Field:
    return np.maximum(disc(x, y, 0.92), -disc(x - np.float32(0.46), y - np.float32(0.16), 0.74))


def _semicircle(x: Field, y: Field) -> Field:
    distance: Field = np.maximum(disc(x, y + np.float32(0.45), 0.95), -(y + np.float32(0.45)))
    return distance


def _drop(x: Field, y: Field) -> Field:
    return np.minimum(disc(x, y + np.float32(0.34), 0.6), polygon(x, y, _DROP_TIP))


# in the order of words.SHAPES
SHAPE_FIELDS: tuple[Callable[[Field, Field], Field], ...] = (
    lambda x, y: disc(x, y, 0.9),
    lambda x, y: box(x, y, 0.78, 0.78),
    lambda x, y: polygon(x, y, _TRIANGLE),
    lambda x, y: polygon(x, y, _STAR),
    _heart,
    _cross,
    lambda x, y: np.abs(disc(x, y, 0.7)) - np.float32(0.21),
    _diamond,
    _crescent,
    lambda x, y: polygon(x, y, _ARROW),
    _semicircle,
    _drop,
    lambda x, y: polygon(x, y, _HOUSE),
    lambda x, y: polygon(x, y, _BOLT),
)


def glyph_field(x: Field, y: Field, fields: NDArray[np.float32]) -> Field:
    """Distance to handwritten strokes, from ink heights sampled bilinearly.

    Args:
        x, y: float32[n, H, W], coordinates in radii.
        fields: float32[n, G, G], ink from 0 to 1 over the square [-1, 1], first row on top.
    """
    side = fields.shape[1]
    column = np.clip((x + 1) * np.float32(side / 2) - np.float32(0.5), 0, side - 1.001)
    row = np.clip((1 - y) * np.float32(side / 2) - np.float32(0.5), 0, side - 1.001)
    left, top = column.astype(np.int32), row.astype(np.int32)
    right_share, low_share = column - left, row - top
    at = np.arange(len(fields), dtype=np.int32)[:, None, None] * (side * side) + top * side + left
    flat = fields.reshape(-1)
    upper = flat[at] * (1 - right_share) + flat[at + 1] * right_share
    lower = flat[at + side] * (1 - right_share) + flat[at + side + 1] * right_share
    ink = upper * (1 - low_share) + lower * low_share
    # ink falls from 1 to 0 over about one and a half of the ten source pixels, which are 0.2 wide here
    distance: Field = (np.float32(0.48) - ink) * np.float32(0.3)
    return distance
