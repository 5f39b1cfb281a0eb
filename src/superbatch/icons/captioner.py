"""A captioner for the real pool: another name that the designers themselves have for a drawing, or the category in which they put it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.icons.concepts import words_of
from superbatch.icons.draws import draw
from superbatch.icons.package import read_sets
from superbatch.icons.sets import Drawing


def caption(pool: Manifest, rows: np.ndarray, *, package: str, seed: int = 0) -> list[str | None]:
    """Caption drawings by their designers' other words: an alias; where there is none, name and category.

    Args:
        pool: the ingested pool of icons. rows: to caption, int64 (n,).
        package: `@iconify/json` as a folder or a .tgz (`icons.package`; one that npm fetched lies in `data/.stages/packages`).
        seed: of the draw among several.

    Returns:
        A caption a row, never the one that it has; None where the designers have no other words.

    Raises:
        UserError: no such package; a pool that is none of icons.
    """
    drawings = {one.identity: one for of_set in read_sets(Path(package).expanduser()) for one in of_set.drawings}
    sources = pool.column("source").take(pa.array(rows)).to_pylist()
    own = [(captions or [""])[0] for captions in pool.captions(rows)]
    found = [drawings.get(_identity(source)) for source in sources]
    return [None if one is None else _other(one, old, seed) for one, old in zip(found, own, strict=True)]


def _identity(source: str | None) -> str:
    """Set and name of a drawing, as its JSON has them."""
    record = json.loads(source or "{}")
    if not {"set", "name"} <= record.keys():
        what = "needs set and name of each drawing, and this pool's JSON has none"
        raise UserError("bootstrap.captioner", what, "name a captioner of your own")
    return f"{record['set']}:{record['name']}"


def _other(drawing: Drawing, old: str, seed: int) -> str | None:
    """Return another name that the designers gave a drawing, if there is one."""
    name = " ".join(words_of(drawing.name))
    aliases = [" ".join(words_of(alias)) for alias in drawing.aliases]
    for words in (aliases, [f"{name}, {category}" for category in drawing.categories], [name]):
        others = [one for one in words if one != old]
        if others:
            return others[int(len(others) * draw(seed, "caption again", drawing.identity))]
    return None
