"""Charts have a few lines, and each its name where nothing else is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from test_findings import made

from superbatch.reporting.figures.canvas import new_figure
from superbatch.reporting.figures.labels import End, end_labels, shown_names
from superbatch.reporting.lines import MOST, left_out, lines_of
from superbatch.reporting.theme import PAGE, PHONE, Theme

NAMES = ["uniform", "adaptive_self_paced (f = 0.95)", "jest (f = 0.8)", "jest (f = 0.9)", "the usual filter"]


def test_a_chart_has_the_run_uniform_the_best_filter_and_the_best_of_all(tmp_path: Path) -> None:
    values = {
        "uniform": 0.3,
        "filtered": 0.4,
        "warm_start": 0.35,
        "pool_and_curated": 0.32,
        "flexi_jest": 0.5,
        "independent": 0.2,
        "jest": 0.31,
    }
    report = made(tmp_path, {name: {20: value} for name, value in values.items()}, seeds=1, reference=0.1)
    shown = lines_of(report)
    assert shown[:4] == ["jest (f = 0.8)", "uniform", "filtered", "flexi_jest (f = 0.8)"]
    assert len(shown) == MOST + 1 and shown[-1] == "reference" and left_out(report) == 2


def test_names_go_without_what_they_do_not_need() -> None:
    assert shown_names(NAMES) == [
        "uniform",
        "adaptive_self_paced",
        "jest (f = 0.8)",
        "jest (f = 0.9)",
        "the usual filter",
    ]


@pytest.mark.parametrize("theme", [PAGE, PHONE], ids=["page", "phone"])
def test_names_never_touch_nor_leave_the_figure(theme: Theme) -> None:
    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.floats(0, 100), min_size=len(NAMES), max_size=len(NAMES)))
    def check(heights: list[float]) -> None:
        figure, (ax,) = new_figure(theme, height=4)
        ax.set_ylim(0, 100)
        end_labels(ax, [End(name, 0.5, y, theme.text) for name, y in zip(NAMES, heights, strict=True)], theme, 230)
        figure.draw_without_rendering()
        # The extent of an annotation has its hair too; the text's own is what counts.
        boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
        assert all(upper.y0 >= lower.y1 - 0.5 for lower, upper in itertools.pairwise(boxes))
        assert all(box.y0 >= 0 and box.y1 <= figure.bbox.y1 and box.x1 <= figure.bbox.x1 + 1 for box in boxes)

    check()


def test_a_line_without_an_end_has_no_name() -> None:
    _, (ax,) = new_figure(PAGE, height=4)
    end_labels(ax, [], PAGE, 230)
    end_labels(ax, [End("none", 0.5, float("nan"), PAGE.text), End("one", 0.5, 0.5, PAGE.text)], PAGE, 230)
    assert [text.get_text() for text in ax.texts] == ["one"]
