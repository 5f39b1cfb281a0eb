"""Whatever a text holds, a page shows it and stays as it is built; templates and stylesheets belong to the package."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from test_page import Checker, check

from superbatch.reporting import Report, Sources, find_runs, page
from superbatch.reporting.gallery import Item, Shelf
from superbatch.reporting.parts import Picture, Table
from superbatch.reporting.templating import cleaned, render

PROJECT = Path(__file__).parents[2]
HOSTILE = "<b onclick='x'>&amp; \"q\" {{ 7 * 7 }} {% raw %}</style></title> שלום 日本 é\u202e\x1b\x7f"
SHOWN = HOSTILE.replace("\x1b", "\ufffd").replace("\x7f", "\ufffd")


def audit_of(text: str) -> str:
    """The page of an audit whose every text is `text`."""
    table = Table((text, text), ((text, text),), frozenset({0}))
    return render(
        "audit.html.j2",
        run=text,
        plan=text,
        tiles=[(text, text)],
        verdicts=table,
        decision=text,
        left_out=table,
        definitions={text: text},
        pictures={"audit": Picture(text, text)},
        shelves=[Shelf(text, text, [Item(1, 1, 0.5, text, picture, text, text) for picture in (text, None)] * 7)],
        truth={"found": table, "precision": table, "recall": table},
        subset=table,
    )


def built(found: Checker) -> tuple[list[str], list[str]]:
    return found.tags, found.attributes


ANY = st.text(st.characters(exclude_categories=()), min_size=1, max_size=18)  # surrogates too
MARKUP = st.text(st.sampled_from("<>&\"'/{}%#;=!-a "), min_size=1, max_size=18)


@settings(max_examples=80, deadline=None)
@given(ANY | MARKUP)
def test_no_text_changes_how_a_page_is_built(text: str) -> None:
    found = check(audit_of(text).encode("utf-8").decode("utf-8"))
    assert built(found) == built(check(audit_of("x")))
    assert found.text.count(str(cleaned(text))) >= 10
    assert set(found.references) <= {"data:,", cleaned(text)}


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x1f", "\x7f", "\x9f", "\ud800"])
def test_what_html_has_no_place_for_is_marked(character: str) -> None:
    assert cleaned(f"a{character}b") == "a\ufffdb"


def test_other_characters_and_numbers_stay() -> None:
    assert cleaned("tab\tline\r\n é 日本 👍🏽 \u00a0") == "tab\tline\r\n é 日本 👍🏽 \u00a0"
    assert cleaned(3) == 3


def test_a_report_shows_hostile_names_captions_and_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "pictures_of", lambda report: {})  # words alone count; drawing takes long
    name = HOSTILE.replace("/", "")
    synthetic.write_run(tmp_path, "jest", 20, rows=600, name=name)
    judged = {"results": {"samples": {"results": [{}]}}, "failures": {}, "warnings": {"key": HOSTILE}}

    def captions(rows: np.ndarray) -> list[str]:
        return [HOSTILE] * len(rows)

    sources = Sources(find_runs(tmp_path), captions=captions, judged=judged, command=HOSTILE, title=HOSTILE)
    found = check(page.render(Report(sources)))
    text, shown_name = " ".join(found.text), SHOWN.replace("/", "")
    assert found.text.count(SHOWN) > 10 and found.text.count(shown_name) >= 3
    for part in (f"{SHOWN} report of {shown_name}", f"{SHOWN} report ·", f"expectations: {SHOWN}."):
        assert part in text
    assert "onclick" not in found.attributes


def test_a_name_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'run' is undefined"):
        render("audit.html.j2")


def test_templates_escape_and_take_nothing_from_elsewhere() -> None:
    for file in templates():
        if file.suffix in {".j2", ".css"}:
            found = re.search(r"\|\s*safe|autoescape|https?:|url\(|@import", file.read_text(encoding="utf-8"))
            assert not found, f"{file.name}: {found}"


def test_an_installed_package_has_its_templates() -> None:
    room = Path(str(resources.files("superbatch.reporting")))
    patterns = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    shipped = {file for pattern in patterns["superbatch.reporting"] for file in room.glob(pattern)}
    assert templates() and set(templates()) <= shipped


def templates() -> list[Path]:
    folder = Path(str(resources.files("superbatch.reporting"))) / "templates"
    return [file for file in sorted(folder.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
