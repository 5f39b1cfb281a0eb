"""Scenes: what is in each picture, as columns of numbers (nothing is drawn here).

Canvas coordinates run from -1 to 1, x to the right, y upwards; a radius is half an object's extent in the same units.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superbatch.simweb import words
from superbatch.simweb.draws import Draws, Floats, Ints
from superbatch.simweb.glyphs import Glyphs

# share of scenes by texture and by background pattern, in the order of words.TEXTURES and words.PATTERNS
_TEXTURE_WEIGHTS = (0.8, 0.05, 0.04, 0.03, 0.05, 0.03)
_PATTERN_WEIGHTS = (0.75, 0.06, 0.05, 0.04, 0.06, 0.04)
_SINGLE_RADII = np.array([0.55, 0.68, 0.82])
_MAIN_RADIUS = np.array([0.66, 0.66, 0.66, 0.66, 0.88, 0.7])
_SECOND_RADIUS = np.array([0.28, 0.28, 0.28, 0.28, 0.34, 0.3])
# centre of the main object for each relation; the second lies opposite
_MAIN_CENTRE = np.array([[-0.28, 0], [0.28, 0], [0, 0.28], [0, -0.28], [0, 0], [-0.2, 0.2]])
_SECOND_CENTRE = np.array([[0.68, 0], [-0.68, 0], [0, -0.68], [0, 0.68], [0, 0], [0.52, -0.52]])
_AROUND, _BEHIND = words.RELATIONS.index("around"), words.RELATIONS.index("behind")


@dataclass(frozen=True)
class Objects:
    """One object of each of n scenes; `concept` is -1 where a scene has none.

    Attributes:
        concept: int64[n].
        texture: int64[n], number in words.TEXTURES.
        glyph: int64[n], number of the handwritten digit image (-1 for shapes).
        centre: float64[n, 2].
        radius: float64[n].
        tilt: float64[n], radians.
    """

    concept: Ints
    texture: Ints
    glyph: Ints
    centre: Floats
    radius: Floats
    tilt: Floats

    @property
    def kind(self) -> Ints:
        """int64[n], number in words.KINDS."""
        return self.concept // words.NUM_COLOURS

    @property
    def colour(self) -> Ints:
        """int64[n], number in words.COLOURS."""
        return self.concept % words.NUM_COLOURS

    def rows(self, rows: NDArray[np.integer] | slice) -> Objects:
        """Return some of the rows."""
        return Objects(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})


@dataclass(frozen=True)
class Scenes:
    """n scenes. `size` and `place` describe a single object, `relation` a pair (-1 where it does not apply)."""

    main: Objects
    second: Objects
    size: Ints
    place: Ints  # [n, 2] in -1, 0, 1
    relation: Ints
    tone: Ints
    pattern: Ints
    gain: Floats
    grain: NDArray[np.uint64]  # the seed of the picture's noise

    def __len__(self) -> int:
        return len(self.size)

    def rows(self, rows: NDArray[np.integer] | slice) -> Scenes:
        """Return some of the scenes."""
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        part: dict[str, Any] = {k: v.rows(rows) if isinstance(v, Objects) else v[rows] for k, v in columns.items()}
        return Scenes(**part)

    def nudged(self, draws: Draws, amount: Floats) -> Scenes:
        """Return the same scenes shifted by up to `amount` (float64[n], canvas units) and a trace lighter or darker."""
        shift = np.stack([draws.uniform("nudge x", -1, 1), draws.uniform("nudge y", -1, 1)], axis=1) * amount[:, None]
        gain = self.gain * np.where(amount > 0, draws.uniform("nudge gain", 0.97, 1.03), 1.0)
        main = dataclasses.replace(self.main, centre=self.main.centre + shift)
        second = dataclasses.replace(self.second, centre=self.second.centre + shift)
        return dataclasses.replace(self, main=main, second=second, gain=gain)


def zipf_weights(exponent: float, ranking: Ints) -> Floats:
    """Return float64[concepts] that sum to 1: the concept `ranking[r]` weighs in proportion to (r + 1) ** -exponent."""
    weights = np.empty(len(ranking))
    weights[ranking] = np.arange(1, len(ranking) + 1, dtype=np.float64) ** -exponent
    normalised: Floats = weights / weights.sum()
    return normalised


def draw_second_concepts(draws: Draws, main: Ints, weights: Floats, tries: int = 6) -> Ints:
    """Draw a second concept that shares neither kind nor colour with the main one.

    Drawn by weight; where `tries` draws all clash (the head of a Zipf tail meets itself), evenly among those that fit.
    """
    fallback = draws.integers("second fallback", second_choices())
    result = nth_second_concept(main, fallback)
    open_rows = np.ones(len(main), dtype=bool)
    for attempt in range(tries):
        candidate = draws.weighted(f"second {attempt}", weights)
        fits = open_rows & _differ(candidate, main)
        result[fits] = candidate[fits]
        open_rows &= ~fits
    return result


def _differ(first: Ints, second: Ints) -> NDArray[np.bool_]:
    kinds_differ = first // words.NUM_COLOURS != second // words.NUM_COLOURS
    both: NDArray[np.bool_] = kinds_differ & (first % words.NUM_COLOURS != second % words.NUM_COLOURS)
    return both


def second_choices() -> int:
    """Number of concepts that share neither kind nor colour with a given one."""
    return (len(words.KINDS) - 1) * (words.NUM_COLOURS - 1)


def nth_second_concept(main: Ints, number: Ints) -> Ints:
    """Return int64[n]: choice `number` (0 .. second_choices() - 1) among the concepts of other kind and colour."""
    kind_offset, colour_offset = number % (len(words.KINDS) - 1), number // (len(words.KINDS) - 1)
    kind = (main // words.NUM_COLOURS + 1 + kind_offset) % len(words.KINDS)
    colour = (main % words.NUM_COLOURS + 1 + colour_offset) % words.NUM_COLOURS
    return kind * words.NUM_COLOURS + colour


def make_scenes(draws: Draws, concept: Ints, second: Ints, glyphs: Glyphs, split: str) -> Scenes:
    """Put objects of the given concepts into scenes.

    Args:
        draws: randomness, one member a scene.
        concept: int64[n], the main objects.
        second: int64[n], the second objects, -1 for none.
        glyphs: handwritten digits; only those of `split` are used.
        split: "training", "validation" or "test".
    """
    paired = second >= 0
    relation = np.where(paired, _draw_relation(draws, concept), -1)
    size = np.where(paired, -1, draws.weighted("size", (0.05, 0.2, 0.75)))
    place = _draw_place(draws, size)
    main_centre, main_radius = _main_layout(draws, size, place, relation)
    second_centre, second_radius = _second_layout(draws, relation, concept)
    main = _make_objects(draws, "main", concept, main_centre, main_radius, glyphs, split)
    other = _make_objects(draws, "second", second, second_centre, second_radius, glyphs, split)
    return Scenes(
        main=main,
        second=other,
        size=size,
        place=place,
        relation=relation,
        tone=_draw_tone(draws, concept, second),
        pattern=draws.weighted("pattern", _PATTERN_WEIGHTS),
        gain=draws.uniform("gain", 0.86, 1.06),
        grain=draws.bits("grain"),
    )


def _make_objects(
    draws: Draws, name: str, concept: Ints, centre: Floats, radius: Floats, glyphs: Glyphs, split: str
) -> Objects:
    kind = concept // words.NUM_COLOURS
    is_digit = (concept >= 0) & (kind < words.NUM_DIGITS)
    texture = draws.weighted(f"{name} texture", _TEXTURE_WEIGHTS)
    glyph = glyphs.choose(split, kind.clip(0, words.NUM_DIGITS - 1), draws.uniform(f"{name} glyph"))
    return Objects(
        concept=concept,
        texture=np.where(is_digit, 0, texture),  # stripes would hide a digit whose strokes are two pixels wide
        glyph=np.where(is_digit, glyph, -1),
        centre=centre
        + np.stack([draws.uniform(f"{name} x", -0.05, 0.05), draws.uniform(f"{name} y", -0.05, 0.05)], axis=1),
        radius=radius * draws.uniform(f"{name} radius", 0.93, 1.07),
        tilt=draws.uniform(f"{name} tilt", -0.08, 0.08),
    )


def _draw_relation(draws: Draws, concept: Ints) -> Ints:
    roomy = np.isin(concept // words.NUM_COLOURS, words.ROOMY_KINDS)
    relation = draws.weighted("relation", (1, 1, 1, 1, 0, 0.7))
    return np.where(roomy & (draws.uniform("around") < 0.35), _AROUND, relation)


def _draw_place(draws: Draws, size: Ints) -> Ints:
    """Place of a single object: small ones go anywhere, medium ones mostly to the middle, large ones fill it."""
    place = np.stack([draws.integers("place x", 3), draws.integers("place y", 3)], axis=1) - 1
    central = (size != 0) & (draws.uniform("central") < 1.0)
    return np.where((central | (size < 0))[:, None], 0, place)


def _main_layout(draws: Draws, size: Ints, place: Ints, relation: Ints) -> tuple[Floats, Floats]:
    radius = np.where(size >= 0, _SINGLE_RADII[size], _MAIN_RADIUS[relation])
    alone = place * (0.92 - radius)[:, None]
    return np.where(
        (size >= 0)[:, None], alone, _MAIN_CENTRE[relation] * draws.uniform("spread", 0.95, 1.02)[:, None]
    ), radius


def _second_layout(draws: Draws, relation: Ints, main: Ints) -> tuple[Floats, Floats]:
    radius = _SECOND_RADIUS[relation].copy()
    hole = (relation == _AROUND) & (main // words.NUM_COLOURS == words.KINDS.index("ring"))
    radius[hole] = 0.3  # the ring's hole is narrower
    centre = _SECOND_CENTRE[relation].copy()
    sideways = (relation >= 0) & (relation < _AROUND)
    slide = np.where(sideways, draws.uniform("slide", -0.3, 0.3), 0.0)
    centre[relation < 2, 1] = slide[relation < 2]
    centre[relation >= 2, 0] += slide[relation >= 2]
    return centre, radius


_TONES = words.readable_tones()
_MOST_TONES = max(len(tones) for row in _TONES for tones in row)
_TONE_COUNT = np.array([[len(tones) for tones in row] for row in _TONES])
_TONE_TABLE = np.array([[(tones + [0] * _MOST_TONES)[:_MOST_TONES] for tones in row] for row in _TONES])


def _draw_tone(draws: Draws, concept: Ints, second: Ints) -> Ints:
    """A background tone that contrasts with both colors."""
    first_colour = concept % words.NUM_COLOURS
    second_colour = np.where(second >= 0, second % words.NUM_COLOURS, first_colour)
    number = draws.integers("tone", _TONE_COUNT[first_colour, second_colour])
    return _TONE_TABLE[first_colour, second_colour, number]
