"""The page in a real browser: it loads without a complaint or a request, its pictures are there, nothing sticks out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from superbatch.reporting.templating import inline
from tests.browser import Page, chromium, executable

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on the path (apt-get install chromium)")

BLANK = "[...document.images].filter(image => !image.complete || image.naturalWidth == 0).length"
SHOWN = (
    "[...document.querySelectorAll('.plot img')].filter(image => image.offsetWidth > 0).map(image => image.className)"
)
GROUND = "getComputedStyle(document.body).backgroundColor"
# What reaches over the window's edge, but for parts that scroll inside themselves.
WIDE = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
WIDE += ".filter(e => !e.closest('.wide, pre')).map(e => e.outerHTML.slice(0, 80))"


@pytest.fixture(scope="module")
def address(page_file: Path) -> str:
    return page_file.as_uri()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def ground(scheme: str) -> str:
    """The ground's colour as the style has it, in the browser's words."""
    found = re.findall(r"--ground: #(\w{6})", inline("page.css"))[scheme == "dark"]
    return f"rgb({', '.join(str(int(found[at : at + 2], 16)) for at in (0, 2, 4))})"


@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_whole_in_light_and_dark(page: Page, address: str, scheme: str, width: int) -> None:
    page.look(width=width, scheme=scheme)
    page.open(address)
    page.wait("document.readyState == 'complete'")
    assert page.requests() == [address]
    assert page.complaints() == []
    assert page.value("document.images.length") > 50 and page.value(BLANK) == 0
    assert set(page.value(SHOWN)) == {scheme} and page.value(GROUND) == ground(scheme)


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_nothing_scrolls_sideways(page: Page, address: str, width: int) -> None:
    page.look(width=width)
    page.open(address)
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value(WIDE) == []


def test_the_answer_is_on_the_first_screen(page: Page, address: str) -> None:
    page.look(width=1280, height=800)
    page.open(address)
    assert page.value("document.querySelector('.verdict').getBoundingClientRect().bottom") < 300
    assert page.value("document.querySelector('nav').getBoundingClientRect().bottom") < 800
    assert page.value("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")


def test_it_prints_on_white_also_for_readers_in_the_dark(page: Page, address: str) -> None:
    page.look(scheme="dark", media="print")
    page.open(address)
    assert page.value(GROUND) == "rgb(255, 255, 255)" and set(page.value(SHOWN)) == {"light"}
    assert page.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.look(scheme="dark")
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf()))
    assert 3 <= pages <= 15
