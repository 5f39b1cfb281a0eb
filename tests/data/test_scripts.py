"""Scripts of captions, letter by letter, as Unicode has them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from superbatch.data import scripts
from superbatch.data.scripts import known_scripts, script_of, script_shares


@pytest.mark.parametrize(
    ("characters", "script"),
    [
        ("aZéßøªm\uff21\U0001d400", "latin"),
        ("жЯ", "cyrillic"),
        ("\u03a9\u03bb\u00b5", "greek"),
        ("\u0639\u0631", "arabic"),
        ("漢字\uf900", "cjk"),
        ("ひ", "hiragana"),
        ("カ\uff76", "katakana"),
        ("한", "hangul"),
        ("ह", "devanagari"),
        ("\U00010300", "old_italic"),
        ("ᐁ", "canadian_aboriginal"),
        ("\u2183\u2132", "latin"),
        ("\U00020000", "cjk"),
        ("\u3006\u1ce9", ""),
        (" 1.,!-_\u0301\u02bc😀\n\ue000", ""),
    ],
)
def test_a_letter_has_its_script_and_nothing_else_has_one(characters: str, script: str) -> None:
    assert {script_of(character) for character in characters} == {script}


def test_shares_are_of_letters() -> None:
    captions = pa.array(["abc, 123!", "жук", "a漢", "", "!?"])
    assert script_shares(captions) == {"latin": 4 / 8, "cyrillic": 3 / 8, "cjk": 1 / 8}
    assert script_shares(captions.slice(1, 1)) == {"cyrillic": 1.0}
    assert script_shares(pa.array(["", "12"])) == {} == script_shares(pa.array([], pa.string()))


def test_shares_do_not_depend_on_how_many_captions_are_counted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = pa.array(["red square", "красный круг", "quadrato ròsso", "赤い円"] * 3)
    whole = script_shares(captions)
    monkeypatch.setattr(scripts, "CAPTIONS_AT_ONCE", 5)
    assert script_shares(captions) == whole


def test_all_scripts_are_known() -> None:
    assert {"latin", "cyrillic", "greek", "arabic", "hebrew", "cjk", "hangul", "thai", "hiragana"} <= known_scripts()
    assert {"latn", "han", "common", "inherited", "unknown", ""}.isdisjoint(known_scripts())
