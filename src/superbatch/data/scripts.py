"""Which scripts captions are written in, letter by letter, as Unicode names the script of each character."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CAPTIONS_AT_ONCE = 65_536
# Common, inherited and unknown are nobody's script. Unicode calls cjk Han; summaries and thresholds have it as cjk.
OWN_NAMES = {"Zyyy": "", "Zinh": "", "Zzzz": "", "Hani": "cjk"}


@functools.cache
def script_of(character: str) -> str:
    """Name a letter's script, lower case: latin, cyrillic, cjk, hangul, old_italic, ...; empty for anything but a letter.

    Scripts are Unicode's property of that name, as fontTools has it. Compatibility forms count as what they stand for
    (a full-width a is latin), and signs shared by scripts (modifier letters) as none.
    """
    from fontTools.unicodedata import script

    plain = unicodedata.normalize("NFKC", character)[:1]
    if unicodedata.category(plain or " ") not in ("Lu", "Ll", "Lt", "Lo"):
        return ""
    return _name(script(plain))


def known_scripts() -> set[str]:
    """All names that `script_of` can give."""
    from fontTools.unicodedata import Scripts

    return {_name(code) for code in Scripts.VALUES} - {""}


def _name(code: str) -> str:
    """Name a script of four letters (ISO 15924), such as Latn."""
    from fontTools.unicodedata import Scripts

    return OWN_NAMES[code] if code in OWN_NAMES else Scripts.NAMES[code].lower()


def script_shares(captions: pa.Array) -> dict[str, float]:
    """Return the share of all letters that each script has, the commonest first; empty without letters.

    Args:
        captions: strings.
    """
    counts: Counter[str] = Counter()
    for start in range(0, len(captions), CAPTIONS_AT_ONCE):
        part = captions.slice(start, CAPTIONS_AT_ONCE)
        plain = pc.string_is_ascii(part)
        counts["latin"] += _ascii_letters(part.filter(plain))
        for character, number in Counter("".join(part.filter(pc.invert(plain)).to_pylist())).items():
            counts[script_of(character)] += number
    del counts[""]
    total = counts.total()
    return {script: number / total for script, number in counts.most_common() if number}


def _ascii_letters(captions: pa.Array) -> int:
    """Count the letters of ASCII strings byte by byte: a caption of a web pool is most often one, and Python is slow."""
    text = np.frombuffer(b"".join(pc.cast(captions, pa.large_binary()).to_pylist()), np.uint8)
    counts = np.bincount(text, minlength=128)
    return int(counts[ord("A") : ord("Z") + 1].sum() + counts[ord("a") : ord("z") + 1].sum())
