"""What a drawing shows, out of its name; and what is written beside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.icons.captions import pool_caption
from superbatch.icons.concepts import ALWAYS_STYLE, SOMETIMES_STYLE, concept_of, style_words, words_of
from superbatch.icons.draws import draw
from superbatch.icons.sets import Drawing

words = st.text("abcdefgh0123", min_size=1, max_size=6)
style = st.sampled_from(sorted(ALWAYS_STYLE))
NOTHING: dict[str, str] = {}


@pytest.mark.parametrize(
    ("name", "prefixes", "suffixes", "concept"),
    [
        ("arrow-left-outline", {}, {}, "arrow left"),
        ("traffic-light", {}, {}, "traffic light"),
        ("home-light", {}, {"light": "Light", "bold": "Bold"}, "home"),
        ("home-24-filled", {}, {"24-filled": "24 Filled"}, "home"),
        ("baseline-home-work", {"baseline": "Baseline"}, {}, "home work"),
        ("Arrow_Left two", {}, {}, "arrow left two"),
        ("outline", {}, {}, "outline"),
        ("fill-solid", {}, {}, "fill"),
        ("baseline", {"baseline": "Baseline"}, {}, "baseline"),
    ],
)
def test_concepts(name: str, prefixes: dict[str, str], suffixes: dict[str, str], concept: str) -> None:
    assert concept_of(name, style_words([name], prefixes, suffixes)) == concept


def test_a_word_that_ends_many_names_of_a_set_is_its_style() -> None:
    subjects = [f"thing{number}" for number in range(20)]
    with_lines = [*subjects, *(f"{one}-line" for one in subjects)]
    without = [*subjects, "chart-line", *(f"{one}-more" for one in subjects)]
    assert concept_of("chart-line", style_words(with_lines, {}, {})) == "chart"
    assert concept_of("chart-line", style_words(without, {}, {})) == "chart line"
    assert concept_of("thing1-more", style_words(without, {}, {})) == "thing1 more", "not a word of style"


@given(st.lists(words, min_size=1, max_size=4), st.lists(style, max_size=3))
def test_style_words_that_are_added_change_no_concept(subject: list[str], added: list[str]) -> None:
    known = style_words([], {}, {})
    plain = concept_of("-".join(subject), known)
    assert concept_of("-".join([*subject, *added]), known) == plain
    assert concept_of(plain, known) == plain, "a concept is its own concept"


@given(st.text(max_size=30))
def test_a_concept_is_made_of_the_name_s_own_words_in_order(name: str) -> None:
    known, own = style_words([name], {}, {}), words_of(name)
    found = concept_of(name, known).split(" ") if own else []
    starts = [own[at : at + len(found)] for at in range(len(own) + 1)]
    assert found in starts
    assert bool(found) == bool(own), "something is always left"


def test_words_that_are_style_at_times_are_not_so_always() -> None:
    assert not ALWAYS_STYLE & SOMETIMES_STYLE


def drawing(name: str, **more: tuple[str, ...]) -> Drawing:
    return Drawing("some", name, "thing", "", (0, 0, 24, 24), **more)


def test_a_caption_is_the_name_with_its_style_words() -> None:
    assert pool_caption(drawing("arrow-left-outline"), seed=0) == "arrow left outline"


def test_aliases_and_categories_are_taken_now_and_then() -> None:
    rich = [drawing(f"n{n}", aliases=(f"a{n}", f"b{n}"), categories=("Things",)) for n in range(400)]
    captions = [pool_caption(one, seed=0) for one in rich]
    assert 40 < sum(caption.startswith(("a", "b")) for caption in captions) < 120
    assert {caption[0] for caption in captions} == {"n", "a", "b"}
    assert 40 < sum(caption.endswith(", Things") for caption in captions) < 120
    assert captions == [pool_caption(one, seed=0) for one in rich]
    assert captions != [pool_caption(one, seed=1) for one in rich]


@given(st.integers(0, 9), st.text(max_size=5), st.text(max_size=5))
def test_draws_hang_on_seed_and_words(seed: int, one: str, other: str) -> None:
    value = draw(seed, one, other)
    assert 0 <= value < 1
    assert value == draw(seed, one, other)
    assert value != draw(seed + 1, one, other)
