"""Pictures of scenes: backgrounds, then objects painted over them, many pictures at once in numpy.

Shape suffixes: n pictures, S pixels a side. Work goes in batches of a fixed number of pixels, so that memory does not
grow with the set.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from superbatch.simweb import words
from superbatch.simweb.draws import mix
from superbatch.simweb.glyphs import Glyphs
from superbatch.simweb.scenes import Objects, Scenes
from superbatch.simweb.shapes import SHAPE_FIELDS, Field, glyph_field

Pictures = NDArray[np.uint8]
_BATCH_PIXELS = 2**18
_GRAIN_CELLS = 32  # grain is as coarse at every picture size, so that a larger rendering shows the same scene
_GLYPH_ZOOM = np.float32(0.85)  # digit images have a margin: enlarged, so that a digit looks as large as a shape
_LIGHT, _DARK = np.float32(245), np.float32(28)


def draw_scenes(scenes: Scenes, glyphs: Glyphs, image_size: int) -> Pictures:
    """Return uint8[n, S, S, 3], RGB pictures of n scenes."""
    batch = max(1, _BATCH_PIXELS // image_size**2)
    pictures = np.empty((len(scenes), image_size, image_size, 3), dtype=np.uint8)
    for start in range(0, len(scenes), batch):
        part = slice(start, start + batch)
        pictures[part] = _draw_batch(scenes.rows(part), glyphs, image_size)
    return pictures


def _draw_batch(scenes: Scenes, glyphs: Glyphs, image_size: int) -> Pictures:
    canvas = _background(scenes, image_size)
    _paint(canvas, scenes.main, scenes.tone, glyphs)
    _paint(canvas, scenes.second, scenes.tone, glyphs)
    canvas *= scenes.gain.astype(np.float32)[:, None, None, None]
    return quantise(canvas)


def quantise(canvas: NDArray[np.float32]) -> Pictures:
    """Round levels 0..255 to bytes."""
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def pixel_grid(image_size: int) -> tuple[Field, Field]:
    """Return x and y (float32[1, S, S]) of the pixel centres in canvas coordinates, y upwards."""
    at = ((np.arange(image_size) + 0.5) * 2 / image_size - 1).astype(np.float32)
    x, y = np.meshgrid(at, -at)
    return x[None], y[None]


def noise(keys: NDArray[np.uint64], cells: int) -> Field:
    """Return float32[n, cells, cells], uniform in [-1, 1), a pure function of the keys (uint64[n])."""
    with np.errstate(over="ignore"):
        counters = np.arange(1, cells * cells + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = mix(keys[:, None] + counters) >> np.uint64(40)
    return (bits.astype(np.float32) * np.float32(2.0**-23) - 1).reshape(-1, cells, cells)


def spread(cells: NDArray[np.float32], image_size: int) -> NDArray[np.float32]:
    """Blow up [n, c, c, ...] to [n, S, S, ...] by nearest cell."""
    at = np.arange(image_size) * cells.shape[1] // image_size
    return cells[:, at][:, :, at]


def _background(scenes: Scenes, image_size: int) -> NDArray[np.float32]:
    """Return float32[n, S, S, 3]: each scene's tone, with its pattern as slightly lighter and darker parts."""
    canvas = np.empty((len(scenes), image_size, image_size, 3), dtype=np.float32)
    relief = np.zeros((len(scenes), image_size, image_size), dtype=np.float32)
    angle = _unit(scenes.grain, 3) * np.float32(np.pi)
    for number, pattern in enumerate(words.PATTERNS):
        rows = np.flatnonzero(scenes.pattern == number)
        if len(rows) and pattern != "plain":
            relief[rows] = _pattern(pattern, scenes.grain[rows], angle[rows], image_size)
    tones = words.TONE_RGB[scenes.tone]
    amount = np.where(words.TONE_IS_DARK[scenes.tone], 20, 26).astype(np.float32)
    np.add(tones[:, None, None], (relief * amount[:, None, None])[..., None], out=canvas)
    return canvas


def _unit(keys: NDArray[np.uint64], salt: int) -> Field:
    return (mix(keys + np.uint64(salt)) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def _pattern(pattern: str, keys: NDArray[np.uint64], angle: Field, image_size: int) -> Field:
    """Return float32[n, S, S] in -1..1."""
    x, y = pixel_grid(image_size)
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    along = x * cosine + y * sine
    if pattern == "gradient":
        return along * np.float32(1.1)
    if pattern == "striped":
        return _soft(np.sin(along * np.float32(9.5)), 9.5, image_size)
    if pattern == "grainy":
        return spread(noise(keys, _GRAIN_CELLS), image_size)
    shift = _unit(keys, 5)[:, None, None] * np.float32(0.5)
    if pattern == "checkered":
        return _soft(np.sin((x + shift) * np.float32(7.85)) * np.sin((y + shift) * np.float32(7.85)), 7.85, image_size)
    assert pattern == "dotted", pattern
    bumps = np.cos((x + shift) * np.float32(12.5)) * np.cos((y + shift) * np.float32(12.5))
    return -_soft(bumps - np.float32(0.35), 12.5, image_size).clip(0, 1)


def _soft(wave: Field, frequency: float, image_size: int) -> Field:
    """Square a wave to -1..1 with edges one pixel wide; `frequency` in radians a canvas unit."""
    squared: Field = np.clip(wave * np.float32(image_size / frequency), -1, 1)
    return squared


def _paint(canvas: NDArray[np.float32], objects: Objects, tone: NDArray[np.int64], glyphs: Glyphs) -> None:
    """Paint each scene's object onto float32[n, S, S, 3], in place."""
    for kind in np.unique(objects.kind[objects.concept >= 0]):
        rows = np.flatnonzero((objects.concept >= 0) & (objects.kind == kind))
        part = objects.rows(rows)
        x, y = _local_grid(part, canvas.shape[1])
        pixels = (part.radius * canvas.shape[1] / 2).astype(np.float32)[:, None, None]
        if kind < words.NUM_DIGITS:
            depth = glyph_field(x * _GLYPH_ZOOM, y * _GLYPH_ZOOM, glyphs.fields[part.glyph]) * pixels
        else:
            depth = SHAPE_FIELDS[kind - words.NUM_DIGITS](x, y) * pixels
        # most of an outline is outside the shape, so that thin shapes keep their color
        outlined = (part.texture == words.TEXTURES.index("outlined"))[:, None, None]
        cover = np.clip(np.float32(0.5) - depth + np.where(outlined, 0.65 * _outline_width(pixels), 0), 0, 1)[..., None]
        canvas[rows] += cover * (_colours(part, tone[rows], x, y, depth, pixels) - canvas[rows])


def _local_grid(objects: Objects, image_size: int) -> tuple[Field, Field]:
    """Return float32[n, S, S] coordinates in radii around each object's centre, turned by its tilt."""
    x, y = pixel_grid(image_size)
    centre, radius = objects.centre.astype(np.float32), objects.radius.astype(np.float32)[:, None, None]
    cosine, sine = (
        np.cos(objects.tilt).astype(np.float32)[:, None, None],
        np.sin(objects.tilt).astype(np.float32)[:, None, None],
    )
    dx, dy = (x - centre[:, 0, None, None]) / radius, (y - centre[:, 1, None, None]) / radius
    return dx * cosine + dy * sine, dy * cosine - dx * sine


def _colours(
    objects: Objects, tone: NDArray[np.int64], x: Field, y: Field, depth: Field, pixels: Field
) -> NDArray[np.float32]:
    """Return float32[n, S, S, 3]: each object's colour, with its texture in a second tone."""
    base = words.COLOUR_RGB[objects.colour]
    share = _texture(objects.texture, x, y, depth, pixels)[..., None]
    accent = _accent(base, objects.texture, words.TONE_IS_DARK[tone])
    return base[:, None, None] * (1 - share) + accent[:, None, None] * share


def _accent(base: NDArray[np.float32], texture: NDArray[np.int64], on_dark: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return float32[n, 3]: a shade or tint of the base colour that keeps the outline clear of the background."""
    bright = base.mean(axis=1) > 125
    shade = base * np.where(on_dark, 0.45, 0.33).astype(np.float32)[:, None]
    accent = np.where((on_dark & ~bright)[:, None], base * np.float32(0.35) + _LIGHT * np.float32(0.65), shade)
    outlined = texture == words.TEXTURES.index("outlined")
    return np.where(outlined[:, None], np.where(on_dark, _LIGHT, _DARK)[:, None], accent).astype(np.float32)


def _outline_width(pixels: Field) -> Field:
    """Return the width of an outline in pixels for an object's radius in pixels."""
    width: Field = np.maximum(np.float32(1.3), pixels * np.float32(0.16))
    return width


def _texture(texture: NDArray[np.int64], x: Field, y: Field, depth: Field, pixels: Field) -> Field:
    """Return float32[n, S, S] in 0..1, how much of the second tone shows."""
    share = np.zeros_like(x)
    for number, name in enumerate(words.TEXTURES):
        rows = np.flatnonzero(texture == number)
        if not len(rows) or name == "plain":
            continue
        u, v, sharp = x[rows], y[rows], pixels[rows]
        if name == "striped":
            share[rows] = np.clip(np.sin((u + v) * np.float32(5.6)) * sharp / 8 + np.float32(0.4), 0, 1)
        elif name == "spotted":
            bumps = np.cos(u * np.float32(6.6)) * np.cos(v * np.float32(6.6)) - np.float32(0.3)
            share[rows] = np.clip(bumps * sharp / 6.6 + np.float32(0.5), 0, 1)
        elif name == "checkered":
            share[rows] = np.clip(
                np.sin(u * np.float32(5)) * np.sin(v * np.float32(5)) * sharp / 5 + np.float32(0.4), 0, 1
            )
        elif name == "outlined":
            share[rows] = np.clip(depth[rows] + np.float32(0.35) * _outline_width(sharp) + np.float32(0.5), 0, 1)
        elif name == "faded":
            share[rows] = np.clip((v + np.float32(0.2)) * np.float32(0.7), 0, 0.65)
    return share
