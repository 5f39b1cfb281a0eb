"""A tiny package of icon sets, by hand: seven sets of six teams, with everything in it that has to be handled."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from superbatch.icons.sets import IconSet
from superbatch.options import IconsSettings

CONCEPTS = ("home", "arrow left", "traffic light", "heart", "star", "cloud", "key", "moon")
TINY: dict[str, Any] = {
    "curated_sets": ("careful",),
    "validation_sets": ("val",),
    "test_sets": ("test",),
    "curated_per_concept": 1,
    "class_teams": 3,
    "validation_images_per_class": 2,
    "test_images_per_class": 3,
    "validation_retrieval_concepts": 4,
    "test_retrieval_concepts": 6,
    "rare_teams": 2,
    "shard_size": 10,
    "jobs": 1,
    "image_size": 16,
}
BROKEN = "<path d="  # no XML
POOL_SETS = {"plain", "styled"}
WHITE = '<path fill="#fff" d="M1 1h9v9z"/>'


def body(set_name: str, name: str, colour: str = "currentColor", gap: str = " ", scale: int = 1) -> str:
    """A shape of its own for each drawing; in another colour, spacing or size if need be."""
    dice = random.Random(f"{set_name}:{name}")
    points = gap.join(f"{scale * dice.randint(0, 240) / 10:g}" for _ in range(10))
    return f'<path fill="{colour}" d="M{points}z"/>'


def content(
    name: str, author: str, licence: str = "MIT", styles: tuple[str, ...] = ("",), **more: Any
) -> dict[str, Any]:
    """A set's JSON: each concept in some styles."""
    names = [concept.replace(" ", "-") + style for concept in CONCEPTS for style in styles]
    return {
        "prefix": name,
        "info": {
            "name": name.title(),
            "author": {"name": author, "url": f"https://example.com/{name}"},
            "license": {"title": licence, "spdx": licence},
        },
        "icons": {one: {"body": body(name, one)} for one in names},
        "width": 24,
        "height": 24,
        **more,
    }


def contents() -> dict[str, dict[str, Any]]:
    """All sets by name."""
    sets = {
        "careful": content("careful", "E", styles=("", "-outline")),
        "closed": content("closed", "G", "GPL-3.0-or-later"),
        "plain": content("plain", "A", categories={"Things": ["home", "key"]}, aliases={"house": {"parent": "home"}}),
        "styled": content("styled", "B", "Apache-2.0", ("-line", "-fill"), suffixes={"line": "Line", "fill": "Fill"}),
        "test": content("test", "C", "ISC"),
        "test-more": content("test-more", "C", "CC0-1.0", ("-bold", "-thin")),
        "val": content("val", "D", "CC-BY-4.0", ("", "-solid")),
    }
    icons = sets["plain"]["icons"]
    icons["broken"] = {"body": BROKEN}
    icons["nothing"] = {"body": WHITE}
    icons["withdrawn"] = {"body": body("plain", "withdrawn"), "hidden": True}
    # Published again under other names: once spaced and coloured in another way, once twice as large in a box twice as large.
    icons["castle"] = {"body": body("test-more", "moon-bold", colour="#123", gap=",\n  ")}
    icons["tower"] = {"body": body("test", "star", scale=2), "width": 48, "height": 48}
    return sets


def write_folder(folder: Path, sets: dict[str, dict[str, Any]] | None = None) -> Path:
    """Write sets as npm unpacks them; returns the folder to name in icons.package."""
    (folder / "package" / "json").mkdir(parents=True)
    for name, one in (contents() if sets is None else sets).items():
        (folder / "package" / "json" / f"{name}.json").write_text(json.dumps(one))
    return folder


def settings(**changes: Any) -> IconsSettings:
    """Settings for the tiny package."""
    return IconsSettings(**(TINY | changes))


def by_name(sets: list[IconSet]) -> dict[str, IconSet]:
    """Sets by their short name."""
    return {one.name: one for one in sets}
