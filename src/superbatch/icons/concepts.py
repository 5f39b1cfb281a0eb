"""What a drawing shows, read from its name: the designers' words without those that only tell its style.

`arrow-left-bold-duotone` shows an arrow left. Some words are always style (`outline`); others are at times (`light` of a traffic
light): they count as style where the set itself declares them, or ends many of its names with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ALWAYS_STYLE = frozenset([
    "outline", "outlined", "outlines", "fill", "filled", "solid", "duotone", "twotone", "duocolor", "linear", "rounded", "baseline",
    "glyph", "monochrome",
])  # fmt: skip
SOMETIMES_STYLE = frozenset([
    "line", "lines", "light", "bold", "thin", "round", "sharp", "broken", "flat", "alt", "o", "s", "r", "l", "mini", "micro", "remix",
    "dark", "thick", "black", "color", "colored", "colour", "regular", "bulk", "stroke", "two", "tone", "duo", "mono", "small", "large",
    "simple", "free", "1x1", "4x3", "8", "10", "12", "14", "15", "16", "18", "20", "24", "28", "30", "32", "48", "64", "96", "128",
    "16px", "20px", "24px", "32px",
])  # fmt: skip
COMMON_ENDING = 0.08  # share of a set's names that end with a word which is therefore its style, not its subject


@dataclass(frozen=True)
class StyleWords:
    """The words of one set that tell style: `leading` are dropped from the front of a name, `trailing` from its end."""

    leading: frozenset[str]
    trailing: frozenset[str]


def words_of(name: str) -> list[str]:
    """Split a drawing's name (`arrow-left_2`) into its words, in lower case."""
    return [word for word in name.lower().replace("_", "-").replace(" ", "-").split("-") if word]


def style_words(names: Iterable[str], prefixes: Mapping[str, str], suffixes: Mapping[str, str]) -> StyleWords:
    """Find out which words are style in a set.

    Args:
        names: of all its drawings.
        prefixes, suffixes: what the set declares: beginning or ending -> what it stands for.
    """
    endings = Counter(words[-1] for words in map(words_of, names) if len(words) > 1)
    least = max(2.0, COMMON_ENDING * endings.total())
    common = {word for word in SOMETIMES_STYLE if endings[word] >= least}
    return StyleWords(
        leading=frozenset(word for prefix in prefixes for word in words_of(prefix)),
        trailing=ALWAYS_STYLE.union(common, (word for suffix in suffixes for word in words_of(suffix))),
    )


def concept_of(name: str, style: StyleWords) -> str:
    """Return what a name says without its style words, one blank between words; a name of nothing else stays as it is."""
    words = words_of(name)
    start, end = 0, len(words)
    while end - start > 1 and words[end - 1] in style.trailing:
        end -= 1
    while end - start > 1 and words[start] in style.leading:
        start += 1
    return " ".join(words[start:end])
