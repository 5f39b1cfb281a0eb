"""What a class of settings declares: its keys, their kinds with all annotations, their places by dotted name.

Classes are dataclasses (`options`) or pydantic's models (`config`); neither pydantic nor an instance is needed.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from annotated_types import GroupedMetadata


@functools.cache
def kinds(block: Any) -> dict[str, Any]:
    """Return the kind of each key of a class of settings, in order, annotations included."""
    hints = typing.get_type_hints(block, include_extras=True)
    keys = block.model_fields if hasattr(block, "model_fields") else [f.name for f in dataclasses.fields(block)]
    return {key: hints[key] for key in keys}


@functools.cache
def is_block(kind: Any) -> bool:
    """Whether a kind is a class of settings itself."""
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "model_fields"))


@functools.cache
def options_of(kind: Any) -> tuple[Any, ...]:
    """Return what a kind may be: the members of a union, or itself alone."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


@functools.cache
def bare(kind: Any) -> Any:
    """Strip a kind of annotations and of `| None`."""
    while typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    given = [option for option in options_of(kind) if option is not type(None)]
    return bare(given[0]) if len(given) == 1 and given[0] is not kind else kind


@functools.cache  # creating any block checks all its settings
def taken_apart(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a kind without its annotations, and these, groups of bounds as single ones."""
    if typing.get_origin(kind) is not Annotated:
        return kind, ()
    inner, *marks = typing.get_args(kind)
    return inner, tuple(one for mark in marks for one in (mark if isinstance(mark, GroupedMetadata) else [mark]))


def kind_at(kind: Any, location: Iterable[str | int]) -> Any:
    """Return the kind at a place inside a class of settings, through lists and dictionaries; None where none is declared.

    Args:
        location: keys, and numbers of items, as pydantic tells them.
    """
    for part in location:
        outer = bare(kind)
        if is_block(outer):
            kind = kinds(outer).get(str(part))
        elif typing.get_origin(outer) in (dict, list, tuple):
            kind = typing.get_args(outer)[1 if typing.get_origin(outer) is dict else 0]
        else:
            return None
    return kind


def keys_at(kind: Any, location: Iterable[str | int]) -> list[str]:
    """List the keys that are known at a place inside a class of settings."""
    block = bare(kind_at(kind, location))
    return list(kinds(block)) if is_block(block) else []


def nearest(key: str, known: Iterable[str], sections: Mapping[str, Any] | None = None) -> str:
    """Say what was meant: the same key in another place of the sections, one of nearly that name here, or else what there is."""
    names = list(known)
    paths = (path for name, kind in (sections or {}).items() for path in _paths(kind, name))
    same = next((path for path in paths if path.split(".")[-1] == key), None)
    close = [same] if same else get_close_matches(key, names, 1, 0.6)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"


def _paths(kind: Any, place: str) -> Iterator[str]:
    """List the dotted names of all settings of a class, blocks before what is in them."""
    for key in keys_at(kind, []):
        yield f"{place}.{key}"
        yield from _paths(kind_at(kind, [key]), f"{place}.{key}")
