"""Scores of captions: how long they are, their script, how much they repeat themselves, and how many rows have the same one.

Of a row's captions the first one counts, the one that is trained on.

Legend: N rows.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

import numpy as np
import pyarrow as pa

from superbatch.data.scripts import script_of

AT_ONCE = 65_536  # captions that are held as Python objects
NO_SCRIPT = "none"  # of a caption without a letter
_DIGITS, _SPACES = re.compile(r"\d+"), re.compile(r"\s+")
_SCHEMA = pa.schema(
    [
        pa.field("characters", pa.int32()),
        pa.field("words", pa.int32()),
        pa.field("script", pa.string()),
        pa.field("script_share", pa.float32()),
        pa.field("repetition", pa.float32()),
    ]
)


def text_scores(captions: Iterable[str]) -> pa.Table:
    """Score captions.

    Args:
        captions: of N rows, in order; they are read once, some at a time.

    Returns:
        `characters`, `words` (int32), `script` (string), `script_share`, `repetition` (float32), `caption_rows` (int32), N rows.
    """
    given, parts, marks = iter(captions), [_SCHEMA.empty_table()], [np.empty(0, np.uint64)]
    while some := list(islice(given, AT_ONCE)):
        parts.append(pa.Table.from_pylist([_scores(caption) for caption in some], _SCHEMA))
        marks.append(np.array([_mark(caption) for caption in some], np.uint64))
    return pa.concat_tables(parts).append_column("caption_rows", pa.array(how_often(np.concatenate(marks))))


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
    """Name a template by 64 bits: of a billion captions a handful are taken for others."""
    digest = hashlib.blake2b(template(caption).encode(errors="replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
