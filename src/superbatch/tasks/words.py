"""Frequent words and phrases of captions: what the search page, which has no text tower, can look for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

# What stands between two words; the page's script cuts a query in the same places.
SEPARATORS = r"""\s!"#$%&()*+,./:;<=>?@\[\\\]^_`{|}~-"""
WORD = re.compile(f"[^{SEPARATORS}]+")
STOP_WORDS = frozenset(
    ("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "into", "is", "it", "its")
    + ("of", "on", "or", "that", "the", "their", "this", "to", "was", "were", "with")
)
COUNTED = 200_000  # captions, spread over all of them: enough to know which words are frequent
PHRASES = 1 / 3  # of the words asked for


def words_of(text: str) -> list[str]:
    """Cut a text into words, in lower case."""
    return WORD.findall(text.lower())


def frequent_words(captions: Sequence[str], names: Iterable[str], count: int) -> list[str]:
    """List names first, then the most frequent words and phrases of two words of captions.

    Words that say nothing by themselves (`STOP_WORDS`) are left out, and so are phrases that begin or end with one, and
    phrases that occur once.

    Args:
        captions: where the words come from.
        names: words or phrases that are wanted in any case, such as class names.
        count: how many to list at most.
    """
    words, phrases = Counter[str](), Counter[str]()
    for caption in captions[:: -(-len(captions) // COUNTED) or 1]:
        found = words_of(caption)
        words.update(set(found) - STOP_WORDS)
        pairs = pairwise(found)
        phrases.update({f"{one} {other}" for one, other in pairs if not {one, other} & STOP_WORDS})
    wanted = list(dict.fromkeys(filter(None, (" ".join(words_of(name)) for name in names))))
    named = set(wanted)
    single = [word for word, _ in _by_frequency(words) if word not in named]
    repeated = [phrase for phrase, times in _by_frequency(phrases) if times > 1 and phrase not in named]
    repeated = repeated[: int(count * PHRASES)]
    room = max(0, count - len(wanted) - len(repeated))
    return (wanted + single[:room] + repeated)[:count]


def _by_frequency(counted: Counter[str]) -> list[tuple[str, int]]:
    """Sort by frequency, and words of equal frequency alphabetically, so that the order of captions does not matter."""
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))
