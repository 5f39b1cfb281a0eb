"""Labels out of captions, against a plain search for names; and what a reader would expect of some."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.data.labels import NO_LABEL, are_composed, labels_of_captions, words_of_name

NAMES = ("fire", "fire truck", "cat", "Ice-cream", "red digit one")


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("a fire", "fire"),
        ("A FIRE TRUCK, parked", "fire truck"),
        ("fire truck and fire", None),
        ("cats and category", None),
        ("cat cat Cat!", "cat"),
        ("an ice cream", "Ice-cream"),
        ("a cat with an ice-cream", None),
        ("red digit", None),
        ("one red digit one", "red digit one"),
        ("", None),
    ],
)
def test_a_caption_is_of_the_class_that_it_names(caption: str, name: str | None) -> None:
    expected = NO_LABEL if name is None else NAMES.index(name)
    assert labels_of_captions([caption], NAMES).tolist() == [expected]


def test_an_accent_is_part_of_its_letter_however_it_is_written() -> None:
    """As macOS and web pages have it apart; it is no letter by itself, and cut a word in two."""
    apart = unicodedata.normalize("NFD", "un café noir")
    assert labels_of_captions([apart, "un café noir", "un caf"], ["thé", "café"]).tolist() == [1, 1, NO_LABEL]
    assert labels_of_captions(["un café noir"], [unicodedata.normalize("NFD", "café")]).tolist() == [0]
    assert are_composed(["café", "a"]) and not are_composed(["a", apart])


def test_a_name_of_two_classes_tells_neither() -> None:
    assert labels_of_captions(["a crane", "a maillot", "---"], ["crane", "Crane", "maillot", "?!"]).tolist() == [
        -1,
        2,
        -1,
    ]
    assert labels_of_captions([], NAMES).dtype == np.int64 and labels_of_captions(["a"], []).tolist() == [-1]


WORDS = st.sampled_from(["a", "b", "c", "B", "ab"])
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)


def by_searching(caption: str, names: list[str]) -> int:
    """Every occurrence of every name; those within a longer one are dropped; one class is left, or none."""
    folded = [" ".join(words_of_name(name)) for name in names]
    text = " ".join(words_of_name(caption))
    found = {
        (match.start(1), match.start(1) + len(name), name)
        for name in folded
        for match in re.finditer(rf"(?=(?<!\S)({re.escape(name)})(?!\S))", text)
    }
    kept = {
        name
        for start, end, name in found
        if not any((s, e) != (start, end) and s <= start and end <= e for s, e, _ in found)
    }
    classes = {number for number, name in enumerate(folded) if name in kept}
    return classes.pop() if len(classes) == 1 else NO_LABEL


@given(captions=st.lists(TEXTS, min_size=1, max_size=4), names=st.lists(TEXTS, min_size=1, max_size=5))
def test_labels_are_those_of_a_plain_search(captions: list[str], names: list[str]) -> None:
    expected = [by_searching(caption, names) for caption in captions]
    assert labels_of_captions(captions, names).tolist() == expected


@given(caption=TEXTS, names=st.lists(TEXTS, min_size=1, max_size=5, unique_by=lambda name: words_of_name(name)))
def test_the_order_of_the_classes_decides_nothing(caption: str, names: list[str]) -> None:
    (label,), (turned,) = labels_of_captions([caption], names), labels_of_captions([caption], names[::-1])
    assert turned == (NO_LABEL if label == NO_LABEL else len(names) - 1 - label)
