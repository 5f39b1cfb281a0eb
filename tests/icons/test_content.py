"""Drawings of the same path data, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.icons.content import Outlines, outline_digest
from tests.icons.packages import body

PATH = '<path fill="currentColor" d="M12 2a10 10 0 1 0-.5 20L3.25-1e1z"/>'


@pytest.mark.parametrize(
    "same",
    [
        '<path d="M12 2a10 10 0 1 0-.5 20L3.25-1e1z"/>',
        '<g fill="red"><path  d="M 12,2 a 10,10 0 1 0 -0.50,20 L 3.25,-10 z" stroke="none"/></g>',
        '<path d="M12.000 2.0a10 10 0 1 0-.5 20L3.2501-10z"/>',
    ],
)
def test_spacing_colour_and_digits_make_no_other_drawing(same: str) -> None:
    assert outline_digest(same) == outline_digest(PATH)
    assert same in Outlines([PATH])


@pytest.mark.parametrize(
    "other",
    [
        PATH.replace("12 2", "12 3"),
        PATH.replace("a10", "A10"),
        PATH + PATH,
        PATH + '<circle cx="3" cy="4" r="5"/>',
        '<circle cx="3" cy="4" r="5"/>',
        "<text>M12</text>",
    ],
)
def test_other_shapes_are_other_drawings(other: str) -> None:
    assert outline_digest(other) != outline_digest(PATH)
    assert other not in Outlines([PATH])


def test_a_body_without_shapes_stands_for_itself() -> None:
    assert "<text>a</text>" in Outlines(["<text>a</text>"])
    assert "<text>b</text>" not in Outlines(["<text>a</text>"])


@given(st.lists(st.sampled_from([body("some", str(number)) for number in range(12)]), max_size=8), st.integers(0, 11))
def test_a_body_is_among_the_outlines_it_was_given_and_no_others(bodies: list[str], number: int) -> None:
    wanted = body("some", str(number), colour="#fff", gap=" , ")
    assert (wanted in Outlines(bodies)) == (body("some", str(number)) in bodies)
    assert len(Outlines(bodies)) == len(set(bodies))
