"""What it finds: nearest test images of the main run beside those of the uniform one it is held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic

from superbatch.errors import UserError
from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.sections.found import ASKED, Found, found
from superbatch.reporting.sources import SetImages
from superbatch.reporting.templating import render

CLASSES = ["red <square>", "blue ring", "fox", "owl", "elk", "bee"]
IMAGES = SetImages(
    lambda rows: np.full((len(rows), 3, 8, 8), 9, np.uint8), [c for c in CLASSES for _ in range(2)], True
)


def nearest(shift: int) -> list[dict[str, Any]]:
    """Each class's own two images first, but for a shift."""
    rows = [[(2 * number + shift + i) % 12 for i in range(3)] for number in range(6)]
    return [
        {"text": text, "rows": own, "cosines": [0.5, 0.25, -0.001]} for text, own in zip(CLASSES, rows, strict=True)
    ]


def section(made: Found) -> str:
    """As it stands on the page."""
    return render("report/found.html.j2", found=made)


def report(root: Path, *uniform: tuple[int, int], queries: tuple[str, ...] = (), **other: Any) -> Report:
    """A jest run of 100 steps, seed 1, and uniform ones of some lengths and seeds."""
    for method, steps, seed in [("jest", 100, 1), *(("uniform", *one) for one in uniform)]:
        path = synthetic.write_run(root, method, steps, seed, b=8, rows=100, test=False)
        more = {"nearest": nearest(0 if method == "jest" else 1)} | (other if method == "uniform" else {})
        synthetic.write_test(path, 0.3, **more)
    images = {"classification": IMAGES}
    return Report(Sources(find_runs(root), images=images, queries=queries, metric="classification/top1"))


def test_the_uniform_run_of_as_many_steps_stands_beside_it(tmp_path: Path) -> None:
    made = found(report(tmp_path, (400, 1), (100, 0), (100, 1)))
    assert len(made.texts) == ASKED and made.classes and made.drawn
    for text, shelves in made.texts:
        assert [shelf.title for shelf in shelves] == ["jest-f0.8-T100-s1", "uniform-f0-T100-s1"]
        assert [item.row for item in shelves[0].items] == nearest(0)[CLASSES.index(text)]["rows"]
        assert shelves[0].what == "2 of these 3 are of this class; the set has 2"
        assert shelves[1].what.startswith("1 of these 3")
        assert [item.caption for item in shelves[0].items][:2] == [text, text]
        assert [item.note for item in shelves[0].items] == ["0.50", "0.25", "0.00"]


def test_without_one_of_as_many_steps_it_is_the_longest(tmp_path: Path) -> None:
    made = found(report(tmp_path, (50, 1), (400, 0)))
    assert {shelves[1].title for _, shelves in made.texts} == {"uniform-f0-T400-s0"}


def test_classes_that_are_named_are_shown_in_that_order(tmp_path: Path) -> None:
    made = found(report(tmp_path, (100, 1), queries=("owl", "red <square>")))
    assert [text for text, _ in made.texts] == ["owl", "red <square>"] and not made.drawn


def test_an_unknown_class_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        found(report(tmp_path, (100, 1), queries=("blue rings",)))
    line = "report.queries: 'blue rings' is not among the classes or captions of 'classification'; did you mean 'blue ring'?"
    assert str(caught.value) == line


@pytest.mark.parametrize("other", [{"nearest": []}, {"data": "of another set"}])
def test_there_is_nothing_to_show_without_two_that_compare(tmp_path: Path, other: dict[str, Any]) -> None:
    made = found(report(tmp_path, (100, 1), **other))
    assert made.texts == [] and "This needs a run and a uniform run" in section(made)


def test_the_page_has_it_escaped_and_links_to_the_search(tmp_path: Path) -> None:
    made = report(tmp_path, (100, 1), queries=("red <square>",))
    assert 'href="search.html"' not in section(found(made))
    page = section(found(Report(replace(made.sources, search="search.html"))))
    assert "red &lt;square&gt;" in page and "<square>" not in page and 'href="search.html"' in page
    assert "2 of these 3 are of this class" in page


def test_rows_of_a_set_that_was_replaced_are_not_looked_up(tmp_path: Path) -> None:
    """It may have fewer images, and its rows are others."""
    made = report(tmp_path, (100, 1))
    for data, texts in (("same", ASKED), ("another", 0)):
        images = {"classification": replace(IMAGES, data=data)}
        assert len(found(Report(replace(made.sources, images=images))).texts) == texts
