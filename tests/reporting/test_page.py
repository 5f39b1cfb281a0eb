from __future__ import annotations

import base64
import itertools
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.figures import svg, time_figure
from superbatch.reporting.page import render
from superbatch.reporting.parts import Picture
from superbatch.reporting.report_figures import page_figures, timed
from superbatch.reporting.theme import DARK, LIGHT, PAGE, PHONE, Theme

STARTS = {"png": b"\x89PNG", "webp": b"RIFF"}
VOID = {"meta", "link", "img", "source", "br", "input"}


class Checker(HTMLParser):
    """Collects every reference, and fails on tags that don't close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag not in VOID:
            self.open.append(tag)
        self.references += [v or "" for k, v in attrs if k in {"src", "srcset", "href", "data", "action", "poster"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    return checker


@pytest.fixture(scope="module")
def page(page_file: Path) -> str:
    return page_file.read_text(encoding="utf-8")


def test_nothing_outside_the_file_is_needed(page: str) -> None:
    checker = check(page)
    inside = [reference for reference in checker.references if not reference.startswith("data:")]
    assert len(checker.references) > len(inside)
    assert all(f'id="{reference.removeprefix("#")}"' in page for reference in inside)
    assert "script" not in checker.tags and not re.search(r"https?://|url\((?!#)|@import", page)


def test_every_picture_is_a_picture(page: str) -> None:
    for reference in check(page).references:
        if reference.startswith("data:image"):
            kind, content = reference.removeprefix("data:image/").split(";base64,")
            assert base64.b64decode(content, validate=True).startswith(STARTS[kind])


COSTS = {"cost_step", "cost_flops_as_executed", "cost_flops_charged", "cost_seconds"}
FIGURES = COSTS | {"head", "check", "picked", "kinds", "purity", "scores", "standing", "health", "time"}


def test_every_figure_is_drawn_for_both_widths_and_drawing_repeats(page: str, report: Report) -> None:
    shown = dict(
        re.findall(r'<figure class="plot (\w+)">\n<div class="drawing roomy"[^>]*>(<svg.*?</svg>)', page, re.DOTALL)
    )
    assert set(shown) == FIGURES == set(page_figures(report))
    assert page.count("<svg ") == 2 * len(FIGURES)
    for theme in (PAGE, PHONE):
        assert svg(time_figure(timed(report), theme), f"time {theme.name}") in page


def test_figures_have_no_colour_but_the_page_s_and_no_mark_of_each_other(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert not [found for drawing in drawings for found in re.findall(r"#[0-9a-f]{6}\b", drawing)]
    names = [name for drawing in drawings for name in re.findall(r' id="([^"]*)"', drawing)]
    assert names and len(names) == len(set(names))


def test_captions_are_escaped(page: str) -> None:
    assert "<b>of</b>" not in page and "&lt;b&gt;of&lt;/b&gt;" in page
    assert any("<b>of</b> row" in text for text in check(page).text)  # a reader sees the caption as it was written


def test_questions_come_in_order(page: str) -> None:
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == [
        "Can I trust it?",
        "What it cost",
        "What it picked",
        "All results",
        "How healthy the run was",
        "How to reproduce it",
    ]
    assert page.count('class="missing"') == 0
    text = " ".join(check(page).text)
    for expected in (
        "kedro run --pipeline=jest",
        "abc123def456",
        "fingerprint of pool",
        "2 of these 2 are of this class; the set has 3",
        "Chosen early",
        "Never chosen",
        "All runs shown",
        "times uniform",
        "chance would give 20 %",
        "all steps were finite",
        "AUC by score in a batch, rare concepts",
        "do <more>",
    ):
        assert expected in text


def test_the_title_says_what_the_page_is(page: str) -> None:
    assert re.findall(r"<title>(.*?)</title>", page) == [
        "jest (f = 0.8) against uniform: Superbatch report of jest-f0.8-T400-s0"
    ]


def test_the_first_screen_has_one_answer_and_each_value_once(page: str) -> None:
    header = " ".join(check(re.sub(r"<svg.*?</svg>", "", head_of(page), flags=re.DOTALL)).text)
    assert re.search(r"jest \(f = 0\.8\): \+[\d.]+ points over uniform at 400 steps; [\d.]+× fewer steps", header)
    assert "provisional" in header and "≥ 1×" not in header
    values = set(re.findall(r"[\d.]+ %, top-1|([\d.]+)\s%\s+top-1", header))
    assert len(values) == 1 and header.count("≥") <= 1


def head_of(page: str) -> str:
    return page[page.index("<header>") : page.index("</header>") + len("</header>")]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which words alone count: none of the figures is drawn, which takes long."""
    monkeypatch.setattr("superbatch.reporting.pictures.picture", lambda draw, salt, wide=None: Picture("", ""))


@pytest.mark.usefixtures("undrawn")
def test_uncomfortable_truths_come_first_each_with_what_settles_it(tmp_path: Path) -> None:
    for method in ("jest", "uniform"):
        synthetic.write_run(tmp_path, method, 20)
    synthetic.write_reference(tmp_path, 0.9)
    page = render(Report(Sources(find_runs(tmp_path), command="kedro run --pipelines=report --env=icons")))
    assert "unfair reference" in head_of(page)
    section = page[page.index('<section id="trust"') : page.index('<section id="cost"')]
    text = " ".join(" ".join(check(section).text).split())
    for expected in (
        "above uniform, which may still gain",
        "One seed",
        "run 40 to check",
        "No simple alternative",
        "- {method: uniform, steps: 40, seeds: [0]}",
        "- {method: jest, filter_ratio: 0.8, steps: 20, seeds: [1, 2]}",
        "kedro run --pipelines=compare,report --env=icons",
    ):
        assert expected in text


def test_headings_tables_and_pictures_are_named(page: str) -> None:
    assert page.count("<h1>") == 1
    assert not re.findall(r"<img(?![^>]* alt=\"[^\"]+\")", page)
    assert page.count("<th scope=") == page.count("<th") - page.count("<thead")
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(theme: Theme) -> None:
    """WCAG AA: 4.5 to 1, on the page and on its cards; also names of lines in their colours."""
    for color in (theme.text, theme.muted, *theme.selecting, *theme.simple):
        assert min(contrast(color, ground) for ground in (theme.ground, theme.face)) >= 4.5, color
    assert min(contrast(color, theme.warn) for color in (theme.text, theme.muted, theme.simple[0])) >= 4.5


def test_a_single_uniform_run_degrades_to_sentences(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, "uniform", 20)
    text = " ".join(check(render(Report(Sources(find_runs(tmp_path))))).text)
    for expected in (
        "trains on everything it draws",
        "Nothing was selected",
        "Nothing to compare",
        "The reference alone was not evaluated",
    ):
        assert expected in text


def test_a_run_with_a_record_alone_degrades_to_sentences(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20, test=False)
    for name in ("ledger", "picks", "evaluations"):
        (path / "training" / f"{name}.parquet").unlink()
    text = " ".join(check(render(Report(Sources(find_runs(tmp_path))))).text)
    for expected in (
        "no curve to draw",
        "recorded no picks",
        "kept no ledger",
        "No uniform run of 20 steps",
        "no target to reach",
    ):
        assert expected in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("seeds", [1, 2])
def test_bands_are_mentioned_where_there_are_several_seeds(tmp_path: Path, seeds: int) -> None:
    for method, seed in itertools.product(("jest", "uniform"), range(seeds)):
        synthetic.write_run(tmp_path, method, 20, seed, name=f"{method}-s{seed}")
    page = render(Report(Sources(find_runs(tmp_path))))
    assert "On the validation split, while training" in page
    assert ("bands are the range over seeds" in page) == (seeds > 1)


@pytest.mark.usefixtures("undrawn")
def test_unknown_truth_and_missing_images_degrade(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "jest", 20)
    shutil.copytree(path, tmp_path / "other")
    picks = pd.read_parquet(path / "training" / "picks.parquet")
    picks[~picks["chosen"]][:0].to_parquet(path / "training" / "picks.parquet")  # an empty table of picks
    runs = find_runs(tmp_path)
    empty = " ".join(check(render(Report(Sources(runs, main=path.name)))).text)
    assert "there is nothing to show here" in empty
    blind = " ".join(check(render(Report(Sources(runs, main="other")))).text)
    assert "truth about this pool" in blind and "no image" in blind and "(no caption)" in blind


@pytest.mark.usefixtures("undrawn")
def test_a_hostile_run_name_is_only_text(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path, "uniform", 20, name="evil<script>alert(1)<&script>")
    page = render(Report(Sources(find_runs(path.parent))))
    assert "<script>" not in page and "evil&lt;script&gt;" in page


@pytest.mark.usefixtures("undrawn")
def test_how_the_pool_was_judged_with_a_link_to_its_data_docs(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, "uniform", 20)
    sources = Sources(find_runs(tmp_path))
    judged = {
        "results": {"samples": {"results": [{}, {}]}, "statistics": {"results": [{}]}},
        "failures": {},
        "warnings": {},
    }
    linked = replace(sources, judged=judged, data_docs="data_docs/pool/index.html")
    page = render(Report(linked))
    assert "The pool met all of its 3 expectations." in page and "data_docs/pool/index.html" in check(page).references
    late = judged | {"warnings": {"rows": "expected rows to be at least 9, found 8"}}
    page = render(Report(replace(sources, judged=late)))
    assert "The pool met 2 of its 3 expectations: expected rows to be at least 9, found 8." in page
    assert "Data Docs" not in page
