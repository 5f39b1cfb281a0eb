"""The page that searches offline, as data: what it carries is what was found, and no text can break out of it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import searching
from PIL import Image
from searching import COUNT, EVIL, TILE, WORDS, search_page

from superbatch.reporting.search.contact_sheet import contact_sheet
from superbatch.reporting.search.page import SearchPage, render_page, room_on_page
from superbatch.reporting.search.quantised import FINE, Quantised, fine
from superbatch.reporting.search.sheets import SIDE, Sheets, montage, write_sheets


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> SearchPage:
    return search_page(tmp_path_factory.mktemp("sheets"))


@pytest.fixture(scope="module")
def rendered(page: SearchPage) -> str:
    return render_page(page)


def data_of(rendered: str) -> dict[str, Any]:
    """The JSON inside the page."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', rendered, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_eight_bits_find_what_exact_numbers_find(page: SearchPage, rendered: str) -> None:
    for searcher, run in zip(page.searchers, data_of(rendered)["runs"], strict=True):
        width = run["width"]
        images = Quantised(
            decoded(run["mean"], "<f4"), decoded(run["scale"], "<f4"), decoded(run["images"], "i1").reshape(-1, width)
        )
        words = decoded(run["words"], "<i2").reshape(-1, width) / FINE
        exact = searcher.words.astype(np.float64) @ searcher.images.astype(np.float64).T
        overlap = []
        for word, cosines in zip(words, exact, strict=True):
            about = images.cosines(word)
            assert np.abs(about - cosines).max() < 2e-3
            overlap.append(len({*np.argsort(-about)[:10]} & {*np.argsort(-cosines)[:10]}))
        assert np.mean(overlap) >= 9.5 and min(overlap) >= 8


def test_embeddings_that_are_all_alike_stay_finite() -> None:
    same = np.tile(np.array([[0.6, 0.8]], np.float16), (5, 1))
    assert np.allclose(Quantised.of(same).cosines(np.array([0.6, 0.8])), 1, atol=1e-3)
    assert fine(np.array([[1.0, -1.0]])).tolist() == [[FINE, -FINE]]


def test_no_text_breaks_out_of_the_page(page: SearchPage, tmp_path: Path) -> None:
    evil = searching.answer(EVIL, EVIL)
    rendered = render_page(search_page(tmp_path, [evil]))
    assert rendered.count("</script>") == 2 and "<b>" not in rendered.replace("<b></b>", "") and "\x00" not in rendered
    data = data_of(rendered)
    assert data["captions"][0].startswith('</script><script>alert("1")') and data["words"][4].startswith("</script>")


def test_the_page_needs_no_other_file(rendered: str) -> None:
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", rendered)
    assert "kedro run --pipelines=search" in rendered and "sample of 300 of the 1,234 pictures" in rendered
    assert f"knows {len(WORDS)} words" in rendered and '<label for="query">' in rendered


def test_sheets_have_each_picture_at_its_place(tmp_path: Path) -> None:
    numbers = np.arange(COUNT)[::-1].copy()
    write_sheets(searching.pixels, numbers, TILE, tmp_path)
    sheets = Sheets.read(tmp_path)
    assert sheets.numbers.tolist() == numbers.tolist() and sheets.rows == [-(-COUNT // SIDE)] and sheets.tile == TILE
    image = np.asarray(Image.open(sheets.files[0]).convert("RGB")).astype(int)
    assert image.shape == (sheets.rows[0] * TILE, SIDE * TILE, 3)
    for place in (0, 63, 64, 299):
        row, column = divmod(place, SIDE)
        middle = image[row * TILE + TILE // 2, column * TILE + TILE // 2]
        wanted = searching.pixels(numbers[place : place + 1])[0, :, 0, 0]
        assert np.abs(middle - wanted).max() < 40, place


def test_many_pictures_take_several_sheets_and_some_of_them_fewer(tmp_path: Path) -> None:
    count = SIDE**2 + 5
    write_sheets(lambda numbers: np.zeros((len(numbers), 3, 1, 1), np.uint8), np.arange(count), 1, tmp_path)
    sheets = Sheets.read(tmp_path)
    assert len(sheets.files) == 2 and sheets.rows == [SIDE, 1]
    assert sheets.first(10).files == sheets.files[:1] and sheets.first(10).rows == [SIDE]
    assert len(sheets.first(SIDE**2).files) == 1 and len(sheets.first(count + 9).files) == 2


def test_wide_embeddings_leave_room_for_fewer_pictures() -> None:
    assert room_on_page([64, 64]) == 62_500 and room_on_page([512, 512]) == 7_812


def test_the_contact_sheet_has_the_runs_beside_each_other() -> None:
    hits = {"jest": np.zeros((3, 8, 8), np.uint8), "uniform": np.full((3, 8, 8), 255, np.uint8)}
    made = searching.answer("very long words " * 40)
    made = type(made)(
        made.query,
        {
            run: [type(h)(h.cosine, h.caption, h.set, h.row, hits[run]) for h in found]
            for run, found in made.hits.items()
        },
    )
    sheet = np.asarray(contact_sheet([made, made]))
    dark = (sheet.sum(2) == 0).any(0)
    assert dark[: sheet.shape[1] // 2].any() and not dark[sheet.shape[1] // 2 :].any()
    assert montage(np.zeros((3, 3, 2, 2), np.uint8), 2).shape == (4, 4, 3)
