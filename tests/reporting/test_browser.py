"""The page in a real browser: it loads without a complaint or a request, its pictures are there, nothing sticks out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from superbatch.reporting.theme import DARK, LIGHT, Theme
from tests.browser import Page, chromium, executable
from tests.layout import OPEN_ALL, faults

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on the path (apt-get install chromium)")

BLANK = "[...document.images].filter(image => !image.complete || image.naturalWidth == 0).length"
DRAWN = "[...document.querySelectorAll('.drawing')].filter(one => one.offsetWidth > 0).map(one => one.classList[1])"
INK = "getComputedStyle(document.querySelector('.plot.head .drawing svg text')).fill"
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


def rgb(color: str) -> str:
    """A colour in the browser's words."""
    return f"rgb({', '.join(str(int(color[at : at + 2], 16)) for at in (1, 3, 5))})"


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_it_loads_whole_in_light_and_dark(page: Page, address: str, theme: Theme) -> None:
    page.look(scheme=theme.name)
    page.open(address)
    page.wait("document.readyState == 'complete'")
    assert page.requests() == [address]
    assert page.complaints() == []
    assert page.value("document.images.length") > 50 and page.value(BLANK) == 0
    assert page.value(GROUND) == rgb(theme.ground)
    assert page.value(INK) in (rgb(theme.text), rgb(theme.muted)), "figures follow the page's colours"


@pytest.mark.parametrize(("width", "drawn"), [(1280, "roomy"), (861, "roomy"), (390, "small"), (360, "small")])
def test_all_text_can_be_read(page: Page, address: str, width: int, drawn: str) -> None:
    page.look(width=width)
    page.open(address)
    page.value(OPEN_ALL)
    assert set(page.value(DRAWN)) == {drawn}
    for axis in page.value("[...document.querySelectorAll('.axes label')].map(label => label.htmlFor)"):
        page.value(f"document.querySelector('label[for={axis}]').click()")
        assert faults(page) == {}, (width, axis)


def test_faults_are_found(page: Page, tmp_path: Path) -> None:
    drawing = (
        "<svg viewBox='0 0 200 40' width=100><text x=10 y=20 font-size=30>tiny and out of its drawing</text></svg>"
    )
    texts = "<p style='position:absolute;top:200px'>one</p><p style='position:absolute;top:204px'>other</p>"
    file = tmp_path / "bad.html"
    file.write_text(
        f"{drawing}{texts}<p class=tile style='width:30px'>unbreakable</p><small style='font-size:9px'>fine print</small>"
    )
    page.look()
    page.open(file.as_uri())
    found = faults(page)
    assert found["overlaps"] == ["one / other"] and found["small"] == ["fine print: 9.0 px"]
    assert found["outside"] == ["tiny and out of its drawing", "unbreakable"]


def test_the_axis_of_the_cost_chart_can_be_chosen(page: Page, address: str) -> None:
    shown = (
        "[...document.querySelectorAll('.axes .plot')].filter(one => one.offsetWidth > 0).map(one => one.classList[1])"
    )
    page.look()
    page.open(address)
    assert page.value(shown) == ["cost_step"]
    page.value("document.querySelector('label[for=axis-seconds]').click()")
    assert page.value(shown) == ["cost_seconds"]


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_nothing_scrolls_sideways(page: Page, address: str, width: int) -> None:
    page.look(width=width)
    page.open(address)
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value(WIDE) == []


def test_the_answer_is_on_the_first_screen(page: Page, address: str) -> None:
    page.look(width=1280, height=800)
    page.open(address)
    assert page.value("document.querySelector('h1').getBoundingClientRect().bottom") < 200
    assert page.value("document.querySelector('.plot.head').getBoundingClientRect().bottom") < 600
    assert page.value("document.querySelector('nav').getBoundingClientRect().bottom") < 800
    assert page.value("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")


def test_it_prints_on_white_also_for_readers_in_the_dark(page: Page, address: str) -> None:
    page.look(scheme="dark", media="print")
    page.open(address)
    assert page.value(GROUND) == "rgb(255, 255, 255)" and set(page.value(DRAWN)) == {"roomy"}
    assert page.value(INK) in (rgb(LIGHT.text), rgb(LIGHT.muted))
    assert page.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.look(scheme="dark")
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf()))
    assert 3 <= pages <= 15
