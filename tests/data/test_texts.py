"""Captions in which nothing can be seen are empty, and those in which something can are not, in any script."""

from __future__ import annotations

import unicodedata

import pytest

from superbatch.data.texts import Unusable, captions_of, has_control

# Format characters that are drawn: signs that enclose the digits after them.
DRAWN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
EMPTY_LETTERS = "\u115f\u1160\u3164\uffa0"  # Hangul fillers


def of_category(*categories: str) -> list[str]:
    points = (*range(0xD800), *range(0xE000, 0x110000))
    return [chr(point) for point in points if unicodedata.category(chr(point)) in categories]


def test_captions_of_nothing_but_invisible_characters_are_empty() -> None:
    invisible = {*of_category("Cc", "Cf", "Zs", "Zl", "Zp")} - {*DRAWN}
    for character in sorted(invisible | {*EMPTY_LETTERS, "\u2800", "\ufe0f", "\u034f"}):
        with pytest.raises(Unusable) as caught:
            captions_of(f"{character} {character}".encode(), per_line=False)
        assert caught.value.args[0] == "caption_empty", hex(ord(character))


def test_captions_of_anything_that_can_be_seen_are_kept() -> None:
    visible = [*of_category("Ll", "Lu", "Lo", "Nd", "Po", "Sm", "So"), *DRAWN]
    lost = [c for c in visible if c not in EMPTY_LETTERS + "\u2800" and not _kept(f"\u200b{c}\u200b")]
    assert not lost


def _kept(text: str) -> bool:
    try:
        return captions_of(text.encode(), per_line=False) == [text]
    except Unusable:
        return False


def test_invisible_lines_are_no_captions() -> None:
    assert captions_of("one\n\u200b\n\ufeff\ntwo\u200b\n".encode(), per_line=True) == ["one", "two\u200b"]


def test_what_an_empty_caption_was_is_told() -> None:
    for text, words in [(b" \n", "2 bytes of white space"), ("\u200b".encode(), "3 bytes of invisible characters")]:
        with pytest.raises(Unusable, match=words):
            captions_of(text, per_line=False)


def test_control_characters() -> None:
    assert has_control(["fine", "\x1b[31mred"]) and not has_control(["a\tb\r\nc", "caf\u00e9 \u200d"])
