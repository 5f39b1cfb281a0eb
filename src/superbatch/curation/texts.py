"""Scores of captions: how long they are, their script, how much they repeat themselves, and how many rows have the same one.

Of a row's captions the first one counts, the one that is trained on.

Legend: N rows.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa

from superbatch.artifacts.scratch import scratch
from superbatch.curation.dealt import how_often
from superbatch.data.scripts import script_of

AT_ONCE = 65_536  # captions that are held as Python objects
NO_SCRIPT = "none"  # of a caption without a letter
_DIGITS, _SPACES = re.compile(r"\d+"), re.compile(r"\s+")
_NUMBERS = {"characters": np.int32, "words": np.int32, "script_share": np.float32, "repetition": np.float32}


def text_scores(captions: Iterable[str], rows: int) -> dict[str, np.ndarray | Words]:
    """Score captions.

    Args:
        captions: of N rows, in order; they are read once, some at a time.
        rows: N.

    Returns:
        `characters`, `words`, `caption_rows` (int32), `script` (words), `script_share`, `repetition` (float32), N rows each; they lie on
        disk where rows are many.
    """
    numbers = {name: scratch(rows, kind) for name, kind in _NUMBERS.items()}
    script, marks_N = Words.of(rows), scratch(rows, np.uint64)
    given, start = iter(captions), 0
    while some := list(islice(given, AT_ONCE)):
        piece, found = slice(start, start + len(some)), [_scores(caption) for caption in some]
        for name, column_N in numbers.items():
            column_N[piece] = [scores[name] for scores in found]
        script.put(piece, [str(scores["script"]) for scores in found])
        marks_N[piece] = np.array([_mark(caption) for caption in some], np.uint64)
        start += len(some)
    return {**numbers, "script": script, "caption_rows": how_often(marks_N)}


@dataclass
class Words:
    """A column of words of which few differ: a number a row, and the word of each number."""

    number_N: np.ndarray
    words: list[str]

    @classmethod
    def of(cls, rows: int) -> Words:
        """Make a column that has still to be filled."""
        return cls(scratch(rows, np.int16), [])

    def __len__(self) -> int:
        return len(self.number_N)

    def put(self, piece: slice, words: list[str]) -> None:
        """Fill some rows."""
        self.words += sorted(set(words) - set(self.words))
        numbers = {word: number for number, word in enumerate(self.words)}
        self.number_N[piece] = [numbers[word] for word in words]

    def __getitem__(self, piece: slice) -> pa.Array:
        """Return the words of some rows."""
        return pa.array(self.words, pa.string()).take(pa.array(self.number_N[piece]))


def _scores(caption: str) -> dict[str, int | float | str]:
    words, (script, share) = caption.casefold().split(), main_script(caption)
    found: dict[str, int | float | str] = {"characters": len(caption), "words": len(words), "script": script}
    return found | {"script_share": share, "repetition": repetition(words)}


def main_script(caption: str) -> tuple[str, float]:
    """Return the script of most letters, as `data.scripts` names it, and the share of letters that it has; `none` and 0 without letters."""
    if caption.isascii():
        return ("latin", 1.0) if any(map(str.isalpha, caption)) else (NO_SCRIPT, 0.0)
    counts = Counter(filter(None, map(script_of, caption)))
    if not counts:
        return NO_SCRIPT, 0.0
    script, most = min(counts.items(), key=lambda found: (-found[1], found[0]))
    return script, most / counts.total()


def repetition(words: list[str]) -> float:
    """Return the share of words that occurred earlier in the caption."""
    return 1 - len(set(words)) / len(words) if words else 0.0


def template(caption: str) -> str:
    """Return what boilerplate has in common: the caption without case, its numbers as 0, and single spaces."""
    return _SPACES.sub(" ", _DIGITS.sub("0", caption.casefold())).strip()


def _mark(caption: str) -> int:
    """Hash a template to 64 bits: among a billion captions, a handful collide."""
    digest = hashlib.blake2b(template(caption).encode(errors="replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
