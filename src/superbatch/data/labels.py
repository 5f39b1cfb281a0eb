"""Labels from captions: the class that a caption names.

Legend: N captions, C classes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

WORD = re.compile(r"\w+")
COMPOSED: Final = "NFC"  # Unicode's form that has a letter with its accent as one
NO_LABEL = -1  # as `Manifest.labels` has it
Name = tuple[str, ...]


def words_of_name(text: str) -> Name:
    """Return the words of a name or a caption: runs of letters, digits and underscores, whatever their case.

    A letter and an accent that follows it count as the one letter that they make.
    """
    return tuple(WORD.findall(unicodedata.normalize(COMPOSED, text).casefold()))


def are_composed(texts: Iterable[str]) -> bool:
    """Whether all accents in some texts are parts of their letters."""
    return all(unicodedata.is_normalized(COMPOSED, text) for text in texts)


def labels_of_captions(captions: Sequence[str], classnames: Sequence[str]) -> np.ndarray:
    """Label each caption by the class that it names, int64 (N,): `NO_LABEL` where it names none, or several.

    A name counts where its words stand in the caption, whole and one after the other. One that is part of a longer name there does not
    count: "a fire truck" is no "fire". A name that two classes share tells neither.

    Args:
        captions: N texts. classnames: C names, class 0 first.
    """
    classes: dict[Name, int] = {}
    for number, name in enumerate(map(words_of_name, classnames)):
        classes[name] = NO_LABEL if name in classes else number
    classes.pop((), None)
    longest = max(map(len, classes), default=0)
    known = {caption: _label(words_of_name(caption), classes, longest) for caption in set(captions)}
    return np.array([known[caption] for caption in captions], np.int64)


def _label(words: Name, classes: dict[Name, int], longest: int) -> int:
    found = {classes[name] for name in _names_in(words, classes, longest)}
    return found.pop() if len(found) == 1 else NO_LABEL


def _names_in(words: Name, classes: dict[Name, int], longest: int) -> Iterator[Name]:
    """Yield the names in a caption, from left to right, without those that lie within another."""
    end = 0  # end of the names so far: a name that ends no later is inside one of them
    for start in range(len(words)):
        for length in range(min(longest, len(words) - start), 0, -1):
            name = words[start : start + length]
            if name in classes:
                if start + length > end:
                    end = start + length
                    yield name
                break  # shorter ones from here lie within it
