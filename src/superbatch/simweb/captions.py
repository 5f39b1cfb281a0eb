"""True captions of scenes: many forms, synonyms, and more or less detail, as people write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from superbatch.simweb import words
from superbatch.simweb.draws import Dice, Draws
from superbatch.simweb.scenes import Objects, Scenes

MAX_WORDS = 16  # with start and end this is within CLIP's context of 24 tokens
_DRAWS = 32


@dataclass(frozen=True)
class Thing:
    """One object in plain numbers (see words.py)."""

    kind: int
    colour: int
    texture: int


@dataclass(frozen=True)
class Scene:
    """One scene as its caption's writer sees it; `second` is None for a single object."""

    main: Thing
    second: Thing | None
    size: int
    place: tuple[int, int]
    relation: int
    tone: int
    pattern: int


def scene_rows(scenes: Scenes) -> list[Scene]:
    """Turn columns into one Scene a row."""
    mains, seconds = _things(scenes.main), _things(scenes.second)
    columns = (
        scenes.size.tolist(),
        scenes.place.tolist(),
        scenes.relation.tolist(),
        scenes.tone.tolist(),
        scenes.pattern.tolist(),
    )
    return [
        Scene(main, second if second.kind >= 0 else None, size, (place[0], place[1]), relation, tone, pattern)
        for main, second, size, place, relation, tone, pattern in zip(mains, seconds, *columns, strict=True)
    ]


def _things(objects: Objects) -> list[Thing]:
    kinds = np.where(objects.concept >= 0, objects.kind, -1)
    return [Thing(*row) for row in zip(kinds.tolist(), objects.colour.tolist(), objects.texture.tolist(), strict=True)]


def write_captions(scenes: Scenes, draws: Draws) -> list[str]:
    """Write one true caption a scene."""
    table = draws.table("caption", _DRAWS).tolist()
    return [write_caption(scene, Dice(row)) for scene, row in zip(scene_rows(scenes), table, strict=True)]


def write_caption(scene: Scene, dice: Dice) -> str:
    """Write a caption of at most MAX_WORDS words: in a drawn form, or plainly where that came out too long."""
    form = dice.pick(_SINGLE_FORMS if scene.second is None else _PAIR_FORMS)
    caption = form(scene, dice)
    return caption if count_words(caption) <= MAX_WORDS else _plain(scene, dice)


def write_identifying_captions(scenes: Scenes, draws: Draws, least: int = 3, most: int = 5) -> list[list[str]]:
    """Write `least` to `most` different captions a scene; each names every object with its colour, and how they lie."""
    table = draws.table("captions", 8 * _DRAWS).tolist()
    counts = least + draws.integers("caption count", most - least + 1)
    return [_several(scene, Dice(row), int(n)) for scene, row, n in zip(scene_rows(scenes), table, counts, strict=True)]


def _several(scene: Scene, dice: Dice, count: int) -> list[str]:
    forms = dice.shuffled(_FULL_SINGLE_FORMS if scene.second is None else _FULL_PAIR_FORMS)
    captions: dict[str, None] = {}
    for attempt in range(40):
        caption = forms[attempt % len(forms)](scene, dice)
        captions.setdefault(caption if count_words(caption) <= MAX_WORDS else _plain(scene, dice))
        if len(captions) == count:
            break
    return list(captions)


def count_words(caption: str) -> int:
    """Count what stands between spaces; a hyphen joins two."""
    return len(caption.replace("-", " ").split())


def with_article(phrase: str) -> str:
    """Put "a" or "an" before a phrase."""
    return f"an {phrase}" if phrase[0] in "aeio" else f"a {phrase}"


def _bare(thing: Thing, dice: Dice, size: int = -1, detail: float = 0.4) -> str:
    """Size, texture, colour and kind; `detail` is the chance of each of the first two."""
    kind = dice.pick(words.KIND_WORDS[thing.kind]) if dice.chance(0.3) else words.KINDS[thing.kind]
    colour = dice.pick(words.COLOUR_WORDS[thing.colour])
    textured = thing.texture > 0 and dice.chance(detail + 0.3)
    texture = dice.pick(words.TEXTURE_WORDS[thing.texture]) + " " if textured else ""
    sized = size >= 0 and dice.chance(detail * 0.2 if size == 1 else detail)
    return (dice.pick(words.SIZE_WORDS[size]) + " " if sized else "") + texture + f"{colour} {kind}"


def _phrase(thing: Thing, dice: Dice, size: int = -1, detail: float = 0.4) -> str:
    bare = _bare(thing, dice, size, detail)
    return f"one {bare}" if dice.chance(0.08) else with_article(bare)


def _main(scene: Scene, dice: Dice, detail: float = 0.4) -> str:
    return _phrase(scene.main, dice, scene.size, detail)


def _second(scene: Scene, dice: Dice, detail: float = 0.25) -> str:
    assert scene.second is not None
    return _phrase(scene.second, dice, detail=detail)


def _backdrop(scene: Scene, dice: Dice) -> str:
    tone, pattern = dice.pick(words.TONE_WORDS[scene.tone]), dice.pick(words.PATTERN_WORDS[scene.pattern])
    surface = dice.pick(("background", "wall", "backdrop", "sheet"))
    if dice.chance(0.35):
        return dice.pick(("on", "against", "over")) + f" {tone}"
    described = f"{pattern} {tone}" if dice.chance(0.7) else tone
    return dice.pick(("on", "against", "on", "in front of")) + f" {with_article(f'{described} {surface}')}"


def _place(scene: Scene, dice: Dice) -> str:
    return dice.pick(words.PLACE_WORDS[scene.place])


def _opening(dice: Dice) -> str:
    return dice.pick(
        (
            "a picture of",
            "a photo of",
            "an image of",
            "a drawing of",
            "this is",
            "there is",
            "here is",
            "look at",
            "painting of",
            "sketch of",
        )
    )


def _related(scene: Scene, dice: Dice) -> str:
    """Main object, relation and second object, told from either side."""
    if dice.chance(0.5):
        return f"{_main(scene, dice)} {dice.pick(words.RELATION_WORDS[scene.relation])} {_second(scene, dice)}"
    return f"{_second(scene, dice)} {dice.pick(words.INVERSE_WORDS[scene.relation])} {_main(scene, dice)}"


def _plain(scene: Scene, dice: Dice) -> str:
    """At most 16 words for any scene: colours, kinds, and a relation of at most four words."""
    main = with_article(f"{words.COLOURS[scene.main.colour]} {words.KINDS[scene.main.kind]}")
    if scene.second is None:
        return main
    second = with_article(f"{words.COLOURS[scene.second.colour]} {words.KINDS[scene.second.kind]}")
    return f"{main} {dice.pick(words.RELATION_WORDS[scene.relation])} {second}"


Form = Callable[[Scene, Dice], str]

_SINGLE_FORMS: tuple[Form, ...] = (
    *(_main,) * 6,
    *(lambda s, d: f"{_opening(d)} {_main(s, d)}",) * 6,
    lambda s, d: f"{_main(s, d)} {_backdrop(s, d)}",
    lambda s, d: f"{_main(s, d)} {_place(s, d)}",
    lambda s, d: f"{_opening(d)} {_main(s, d)} {_backdrop(s, d)}",
    lambda s, d: f"{_opening(d)} {_main(s, d)} {_place(s, d)}",
    lambda s, d: f"{_main(s, d)} {_place(s, d)}, {_backdrop(s, d)}",
    lambda s, d: _bare(s.main, d, s.size, 0.2),
    lambda s, d: f"{_bare(s.main, d, s.size)} {_backdrop(s, d)}",
    lambda s, d: d.pick(("my", "the", "your daily", "another", "our new")) + f" {_bare(s.main, d, s.size)}",
    lambda s, d: f"{_place(s, d)} {_main(s, d)}",
    lambda s, d: f"{_backdrop(s, d)}: {_main(s, d)}",
    lambda s, d: f"I drew {_main(s, d)}" + (f" {_backdrop(s, d)}" if d.chance(0.5) else ""),
    lambda s, d: f"{words.KINDS[s.main.kind]} in {d.pick(words.COLOUR_WORDS[s.main.colour])}",
    lambda s, d: (
        f"{words.KINDS[s.main.kind]}, {words.COLOURS[s.main.colour]}, {d.pick(words.TONE_WORDS[s.tone])} background"
    ),
)

_FULL_PAIR_FORMS: tuple[Form, ...] = (
    _related,
    lambda s, d: f"{_related(s, d)} {_backdrop(s, d)}",
    lambda s, d: f"{_opening(d)} {_related(s, d)}",
    lambda s, d: f"{_main(s, d)} with {_second(s, d)} {_seen_from_main(s, d)}",
    lambda s, d: f"{_backdrop(s, d)}, {_related(s, d)}",
    lambda s, d: f"I drew {_related(s, d)}",
    lambda s, d: f"two things: {_related(s, d)}",
)

_PAIR_FORMS: tuple[Form, ...] = (
    *_FULL_PAIR_FORMS[:5],
    _main,
    lambda s, d: f"{_opening(d)} {_main(s, d)}",
    _related,
    lambda s, d: f"{_main(s, d)} and {_second(s, d)}",
    lambda s, d: f"{_second(s, d)} and {_main(s, d)}",
    lambda s, d: f"{_main(s, d)} with {_second(s, d)}",
    lambda s, d: f"{_main(s, d)}, {_second(s, d)}, {_backdrop(s, d)}",
    lambda s, d: f"{_main(s, d)} {_backdrop(s, d)}",
    lambda s, d: f"{_opening(d)} {_main(s, d)} and {_second(s, d)}",
)

_FULL_SINGLE_FORMS: tuple[Form, ...] = (
    lambda s, d: f"{_main(s, d, 0.9)} {_place(s, d)}, {_backdrop(s, d)}",
    lambda s, d: f"{_main(s, d, 0.9)} {_backdrop(s, d)}",
    lambda s, d: f"{_opening(d)} {_main(s, d, 0.9)} {_backdrop(s, d)}",
    lambda s, d: f"{_backdrop(s, d)}: {_main(s, d, 0.9)} {_place(s, d)}",
    lambda s, d: f"I drew {_main(s, d, 0.9)} {_backdrop(s, d)}",
)

_FROM_MAIN: tuple[tuple[str, ...], ...] = (
    ("to its right", "on the right"),
    ("to its left", "on the left"),
    ("below it", "underneath"),
    ("above it", "on top"),
    ("inside", "inside it", "in the middle"),
    ("in front of it", "overlapping it"),
)


def _seen_from_main(scene: Scene, dice: Dice) -> str:
    """Where the second object lies, seen from the main one."""
    return dice.pick(_FROM_MAIN[scene.relation])
