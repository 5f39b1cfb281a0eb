"""The designers' other words for their drawings: an alias, else name and category, else the name; never the caption that is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from superbatch.errors import UserError
from superbatch.icons.captioner import caption
from tests.manifests import write_made_up

# In the tiny package `plain` calls its home a house too, and has home and key among its things; `styled` has neither.
DRAWINGS = [
    ("plain", "home", "home", "house"),
    ("plain", "home", "house", "home, Things"),
    ("plain", "key", "key", "key, Things"),
    ("plain", "key", "key, Things", "key"),
    ("styled", "arrow-left-line", "arrow left", "arrow left line"),
    ("styled", "moon-fill", "moon fill", None),
    ("plain", "no-such", "no such", None),
]


def test_other_words_are_the_designers_own(tmp_path: Path, package: Path) -> None:
    sources = [json.dumps({"set": name, "name": drawing}) for name, drawing, _, _ in DRAWINGS]
    captions = [[old] for _, _, old, _ in DRAWINGS]
    pool = write_made_up(tmp_path / "set", range(len(DRAWINGS)), "pool", source=sources, captions=captions)
    found = caption(pool, np.arange(len(DRAWINGS)), package=str(package))
    assert found == [new for *_, new in DRAWINGS]
    assert caption(pool, np.array([4, 0]), package=str(package)) == [found[4], found[0]]


def test_what_it_cannot_do_is_one_line(tmp_path: Path, package: Path) -> None:
    pool = write_made_up(tmp_path / "set", [1], "pool", source=["{}"])
    with pytest.raises(UserError, match=r"bootstrap\.captioner: needs set and name of each drawing"):
        caption(pool, np.arange(1), package=str(package))
    with pytest.raises(UserError, match=r"nowhere: no such file or folder"):
        caption(pool, np.arange(1), package=str(tmp_path / "nowhere"))
