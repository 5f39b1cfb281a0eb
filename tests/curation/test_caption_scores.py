"""Scores of captions, by hand."""

from __future__ import annotations

import pytest

from superbatch.curation.texts import main_script, repetition, template, text_scores

CAPTIONS = ["A red Kite kite", "IMG_0042.jpg", "img_7.JPG", "", "Москва river", "猫と cat"]


def test_scores_of_some_captions() -> None:
    columns = text_scores(iter(CAPTIONS), len(CAPTIONS))
    found = {name: column[:].tolist() for name, column in columns.items()}
    assert found["characters"] == [15, 12, 9, 0, 12, 6]
    assert found["words"] == [4, 1, 1, 0, 2, 2]
    assert found["script"] == ["latin", "latin", "latin", "none", "cyrillic", "latin"]
    assert found["script_share"] == pytest.approx([1, 1, 1, 0, 6 / 11, 3 / 5])
    assert found["repetition"] == [0.25, 0, 0, 0, 0, 0]
    assert found["caption_rows"] == [1, 2, 2, 1, 1, 1], "numbers and case make no other boilerplate"


def test_no_captions_have_no_scores() -> None:
    assert {len(column) for column in text_scores([], 0).values()} == {0}


def test_a_caption_without_letters_has_no_script() -> None:
    assert main_script("42 – ¿?") == ("none", 0.0) == main_script("42")


def test_words_that_stood_there_before_are_counted() -> None:
    assert repetition(["buy", "buy", "buy", "now"]) == 0.5 and repetition([]) == 0


def test_a_template_has_no_numbers_and_single_spaces() -> None:
    assert template("  Photo 12 of\n 300 ") == "photo 0 of 0"
