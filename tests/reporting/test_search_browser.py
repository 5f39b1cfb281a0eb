"""The search page in a real browser: its script finds what Python finds, and says what it understood."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from searching import EVIL, WORDS, search_page

from superbatch.reporting.search.page import SearchPage, render_page
from superbatch.reporting.search.quantised import FINE, Quantised, fine
from tests.browser import Page, chromium, executable

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on the path (apt-get install chromium)")

FOUND = "[...document.querySelectorAll('#found [data-run]')].map(c => [...c.querySelectorAll('figure')].map(f => +f.dataset.number))"
SAID = "document.getElementById('said').textContent"
STICKS_OUT = (
    "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SearchPage:
    return search_page(tmp_path_factory.mktemp("sheets"))


@pytest.fixture(scope="module")
def page(made: SearchPage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    file = tmp_path_factory.mktemp("page") / "search.html"
    file.write_text(render_page(made), encoding="utf-8")
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        opened.look()
        opened.open(file.as_uri())
        yield opened


def ask(page: Page, query: str) -> list[list[int]]:
    page.value(f"field.value = {json.dumps(query)}; document.getElementById('form').requestSubmit()")
    return page.value(FOUND)


def ranked(made: SearchPage, *words: str) -> list[list[int]]:
    """The same in Python, from what the page carries."""
    found = []
    for searcher in made.searchers:
        own = fine(searcher.words)[[WORDS.index(word) for word in words]].astype(np.float64) / FINE
        mean = (own / np.linalg.norm(own, axis=1, keepdims=True)).sum(0)
        cosines = Quantised.of(searcher.images).cosines(mean / np.linalg.norm(mean))
        found.append(np.argsort(-cosines, kind="stable")[: made.top].tolist())
    return found


def alike(ours: list[list[int]], theirs: list[list[int]]) -> bool:
    """Float32 sums in another order may exchange neighbours, no more."""
    return all(len(set(a) & set(b)) >= len(a) - 1 and a[0] in b[:2] for a, b in zip(ours, theirs, strict=True))


def test_it_opens_with_the_first_query_without_a_request_or_a_complaint(page: Page, made: SearchPage) -> None:
    assert len(page.requests()) == 1 and page.complaints() == []
    assert page.value("field.value") == "red square" and alike(page.value(FOUND), ranked(made, "red square"))
    assert page.value(SAID) == "Nearest to “red square”:"


@pytest.mark.parametrize("word", ["red", "café", "it's", "word7"])
def test_a_known_word_finds_what_python_finds(page: Page, made: SearchPage, word: str) -> None:
    found = ask(page, f"  {word.upper()}! ")
    assert [len(one) for one in found] == [10, 10] and alike(found, ranked(made, word))


def test_several_words_are_their_mean_and_the_page_says_so(page: Page, made: SearchPage) -> None:
    assert alike(ask(page, "a red square on word3"), ranked(made, "red square", "word3"))
    assert page.value(SAID).startswith(
        "“a red square on word3” is no phrase that is known here. Nearest to the mean of “red square”, “word3”"
    )


def test_words_that_are_not_known_are_named(page: Page, made: SearchPage) -> None:
    assert alike(ask(page, "red zebra"), ranked(made, "red"))
    assert page.value(SAID).endswith("Not known here: “zebra”.")
    assert ask(page, "zebra") == [] and page.value(SAID) == "Not known here: “zebra”."
    assert ask(page, " ,; ") == [] and page.value(SAID) == ""


def test_captions_stay_text(page: Page) -> None:
    ask(page, "red")
    page.value("document.getElementById('found').replaceChildren(figure({number: 0, cosine: 0.5}))")
    shown = page.value("document.querySelector('#found bdi').textContent")
    assert shown.startswith(EVIL[:20]) and page.value("document.scripts.length") == 2


def test_suggestions_are_words_that_begin_so(page: Page) -> None:
    page.value("field.value = 'RED'; field.dispatchEvent(new Event('input'))")
    options = page.value("[...document.querySelectorAll('#known option')].map(option => option.value)")
    assert options == ["red", "red square"]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_sticks_out(page: Page, width: int, scheme: str) -> None:
    page.look(width=width, scheme=scheme)
    assert page.value("document.documentElement.scrollWidth") <= width and page.value(STICKS_OUT) == 0
