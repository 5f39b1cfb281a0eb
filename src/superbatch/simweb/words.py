"""The vocabulary of simweb's world: kinds, colours, textures, backgrounds and the words for them.

A *concept* is the main object's kind and colour: concept = kind * number of colours + colour.
"""

from __future__ import annotations

import numpy as np

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHAPES = (
    "circle", "square", "triangle", "star", "heart", "cross", "ring",
    "diamond", "crescent", "arrow", "semicircle", "drop", "house", "lightning bolt",
)  # fmt: skip
NUM_DIGITS = len(DIGITS)
KINDS = tuple(f"digit {name}" for name in DIGITS) + SHAPES

KIND_WORDS: tuple[tuple[str, ...], ...] = tuple(
    (
        f"digit {name}",
        f"handwritten {name}",
        f"number {name}",
        f"digit {value}",
        f"number {value}",
        f"handwritten {value}",
    )
    for value, name in enumerate(DIGITS)
) + (
    ("circle", "disc", "round dot"),
    ("square", "box"),
    ("triangle",),
    ("star", "five-pointed star"),
    ("heart", "love heart"),
    ("cross", "plus sign"),
    ("ring", "hoop"),
    ("diamond", "rhombus"),
    ("crescent", "crescent moon", "moon"),
    ("arrow", "arrow sign"),
    ("semicircle", "half circle"),
    ("drop", "teardrop", "raindrop"),
    ("house", "little house"),
    ("lightning bolt", "bolt", "flash"),
)

COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
COLOUR_WORDS: tuple[tuple[str, ...], ...] = (
    ("red", "red", "red", "scarlet"),
    ("orange", "orange", "orange", "tangerine"),
    ("yellow", "yellow", "yellow", "lemon"),
    ("green", "green", "green", "emerald"),
    ("cyan", "cyan", "cyan", "turquoise"),
    ("blue", "blue", "blue", "royal blue"),
    ("purple", "purple", "purple", "violet"),
    ("pink", "pink", "pink", "rose"),
)
# Bright on dark, always: a model that must learn each shape in both polarities needs several times the steps.
COLOUR_RGB = np.array(
    [
        [250, 60, 60], [255, 150, 30], [255, 235, 70], [60, 215, 80],
        [60, 230, 240], [85, 130, 255], [185, 95, 240], [255, 150, 205],
    ],
    dtype=np.float32,
)  # fmt: skip

TEXTURES = ("plain", "striped", "spotted", "checkered", "outlined", "faded")
TEXTURE_WORDS: tuple[tuple[str, ...], ...] = (
    ("plain", "solid"),
    ("striped", "stripy"),
    ("spotted", "dotted", "polka dot"),
    ("checkered", "checked"),
    ("outlined", "bordered"),
    ("faded", "shaded"),
)

SIZES = ("small", "medium", "large")
SIZE_WORDS: tuple[tuple[str, ...], ...] = (
    ("small", "tiny", "little"),
    ("medium", "medium-sized"),
    ("large", "big", "huge"),
)

TONES = ("black", "navy", "brown", "forest", "maroon", "grey")
TONE_WORDS: tuple[tuple[str, ...], ...] = (
    ("black",),
    ("navy", "dark blue"),
    ("brown", "dark brown"),
    ("forest green", "dark green"),
    ("maroon", "dark red"),
    ("grey", "gray", "charcoal"),
)
TONE_RGB = np.array(
    [
        [14, 14, 16],
        [18, 24, 72],
        [70, 46, 26],
        [14, 56, 30],
        [74, 16, 26],
        [64, 64, 68],
    ],
    dtype=np.float32,
)
TONE_IS_DARK = TONE_RGB.mean(axis=1) < 110

PATTERNS = ("plain", "gradient", "striped", "checkered", "grainy", "dotted")
PATTERN_WORDS: tuple[tuple[str, ...], ...] = (
    ("plain", "clean"),
    ("gradient", "shaded"),
    ("striped",),
    ("checkered", "tiled"),
    ("grainy", "noisy"),
    ("dotted",),
)

PLACE_WORDS: dict[tuple[int, int], tuple[str, ...]] = {
    (-1, 1): ("in the top left corner", "at the upper left"),
    (0, 1): ("at the top", "near the upper edge"),
    (1, 1): ("in the top right corner", "at the upper right"),
    (-1, 0): ("on the left", "at the left side"),
    (0, 0): ("in the middle", "in the center"),
    (1, 0): ("on the right", "at the right side"),
    (-1, -1): ("in the bottom left corner", "at the lower left"),
    (0, -1): ("at the bottom", "near the lower edge"),
    (1, -1): ("in the bottom right corner", "at the lower right"),
}

# main relation second, and the same seen from the second object
RELATIONS = ("left", "right", "above", "below", "around", "behind")
RELATION_WORDS: tuple[tuple[str, ...], ...] = (
    ("left of", "to the left of", "on the left of"),
    ("right of", "to the right of", "on the right of"),
    ("above", "over", "on top of"),
    ("below", "under", "beneath"),
    ("around", "containing", "enclosing"),
    ("behind", "partly hidden by"),
)
INVERSE_WORDS: tuple[tuple[str, ...], ...] = (
    RELATION_WORDS[1],
    RELATION_WORDS[0],
    RELATION_WORDS[3],
    RELATION_WORDS[2],
    ("inside", "in", "within"),
    ("in front of", "overlapping"),
)
# kinds with enough room inside for a second object
ROOMY_KINDS = tuple(KINDS.index(name) for name in ("circle", "square", "heart", "ring"))

NUM_COLOURS = len(COLOURS)
NUM_CONCEPTS = len(KINDS) * NUM_COLOURS

CLASS_NAMES = tuple(f"{colour} {kind}" for kind in KINDS for colour in COLOURS)
TEMPLATES = (
    "a {c}",
    "a picture of a {c}",
    "a photo of a {c}",
    "a drawing of a {c}",
    "this is a {c}",
    "an image of one {c}",
    "there is a {c} here",
    "a {c} on a background",
)


def readable_tones(threshold: float = 150.0) -> list[list[list[int]]]:
    """List, for each pair of object colours, the background tones on which both stand out.

    Returns:
        [colour][colour] -> tone numbers; distances are Euclidean in RGB levels.
    """
    distances = np.linalg.norm(COLOUR_RGB[:, None] - TONE_RGB[None], axis=2)
    clear = distances >= threshold
    return [
        [np.flatnonzero(clear[first] & clear[second]).tolist() for second in range(NUM_COLOURS)]
        for first in range(NUM_COLOURS)
    ]
