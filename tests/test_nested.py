"""Nested settings: merged, and by dotted name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.errors import UserError
from superbatch.nested import dotted, from_dotted, merge

KEYS = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.integers(0, 9) | st.text("xy", max_size=2)


def blocks(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    deep = st.recursive(values, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
    return st.dictionaries(KEYS, deep, max_size=3)


def test_merge_leaves_both_sides_alone() -> None:
    base, override = {"a": {"b": 1, "c": [1, 2]}, "d": 4}, {"a": {"c": [3]}, "e": 5}
    assert merge(base, override) == {"a": {"b": 1, "c": [3]}, "d": 4, "e": 5}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert override == {"a": {"c": [3]}, "e": 5}
    assert merge(base, None) == merge(None, base) == base


@pytest.mark.parametrize(
    ("base", "override", "merged"),
    [
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": 3}, {"a": 3}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": "x"}, {"a": "${b}", "b": "{00000..00003}.tar"}, {"a": "${b}", "b": "{00000..00003}.tar"}),
        ({"a": "${b:c}"}, {"d": 1}, {"a": "${b:c}", "d": 1}),
        ({"a.b": 1}, {"a": {"b": 2}}, {"a.b": 1, "a": {"b": 2}}),
    ],
)
def test_the_override_wins(base: dict[str, Any], override: dict[str, Any], merged: dict[str, Any]) -> None:
    assert merge(base, override) == merged


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ({"a": {"b": [1]}}, "a.b: a list and a block of keys cannot be merged"),
        ({"a": [1]}, "a: a list and a block of keys cannot be merged"),
        ({"a": {"c": "${"}}, "a.c: no viable alternative at input '${'"),
    ],
)
def test_what_cannot_be_merged_is_one_line(override: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        merge({"a": {"b": {"c": 1}}}, override, "mine")
    assert str(caught.value) == f"mine.{line}"


@pytest.mark.parametrize("names", [{"a": [1], "a.b": 2}, {"a.b": "${"}, {"a": {"b": object()}}])
def test_a_name_that_cannot_be_set_is_told(names: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^a.b: cannot be set \("):
        from_dotted(names)


@pytest.mark.parametrize(
    ("names", "nested"),
    [
        ({"a.b": 1, "a.c": None, "d": [1, 2]}, {"a": {"b": 1, "c": None}, "d": [1, 2]}),
        ({"a": {"b": 1}, "a.c": 2}, {"a": {"b": 1, "c": 2}}),
        ({"a.c": 2, "a": {"b": 1}}, {"a": {"c": 2, "b": 1}}),
        ({"a": {"b.c": 1}}, {"a": {"b": {"c": 1}}}),
        ({"a.b": 1, "a": None}, {"a": None}),
        ({"a": None, "a.b": 1}, {"a": {"b": 1}}),
        ({"a.b": 1, "a": {}}, {"a": {"b": 1}}),
        ({"a.b": "${c}"}, {"a": {"b": "${c}"}}),
    ],
)
def test_dotted_names_are_blocks(names: dict[str, Any], nested: dict[str, Any]) -> None:
    assert from_dotted(names) == nested


@given(blocks(SCALARS | st.lists(st.integers(0, 9), max_size=2)))
@settings(max_examples=60, deadline=None)
def test_dotted_and_back(block: dict[str, Any]) -> None:
    assert from_dotted(dict(dotted(block))) == block


@given(blocks(SCALARS), blocks(SCALARS))
@settings(max_examples=60, deadline=None)
def test_the_layers_names_decide(base: dict[str, Any], override: dict[str, Any]) -> None:
    """What the override names has its value; what it does not name has the base's."""
    found, above = dict(dotted(merge(base, override))), dict(dotted(override))
    assert all(found[name] == value for name, value in above.items() if value != {})
    assert all(found.get(name) == value for name, value in dotted(base) if not touches(name, above))


def touches(name: str, names: dict[str, Any]) -> bool:
    return any(f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}.") for other in names)
