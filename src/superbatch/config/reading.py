"""One block of parameters as typed settings, or a one-line error."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from superbatch.bounds import problem
from superbatch.declared import keys_at, kind_at, kinds, nearest
from superbatch.errors import UserError

T = TypeVar("T")
# Pydantic's names for it: in dataclasses, in models, and where it is a number.
UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden", "invalid_key")


def read(kind: type[T], values: Mapping[str, Any] | None, section: str) -> T:
    """Turn nested settings into a dataclass of `options` or a model of this module.

    Args:
        kind: the class.
        values: the settings; None counts as empty.
        section: where they stand in the parameters, for messages.

    Raises:
        UserError: an unknown key (with the nearest known one), a wrong type, a value out of range; the first one found.
    """
    if not isinstance(values, Mapping | None):
        raise UserError(section, f"{values!r} is not a block of settings", f"its keys: {', '.join(kinds(kind))}")
    block: Any = kind
    _refuse_flags(block, values or {}, section)
    try:
        settings: T = _reader(block).validate_python(dict(values or {}))
    except ValidationError as error:
        raise _told(kind, error, section) from None
    return settings


def _refuse_flags(kind: Any, values: Mapping[str, Any], section: str) -> None:
    """Refuse true and false where a number is declared: YAML makes them of `on` and `no`, and pydantic would make 1 and 0 of them."""
    for location, value in _flags(values):
        found = problem(kind_at(kind, location), value)
        if found is not None:
            keys = [part for part in location if isinstance(part, str)]
            raise UserError(".".join([section, *keys]), found.what, found.remedy)


def _flags(value: Any, location: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], bool]]:
    """Find the booleans in a block of values, each with its place."""
    if isinstance(value, bool):
        yield location, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in items:
        yield from _flags(inner, (*location, key))


@functools.cache  # cached by type: building it takes longer than reading
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _told(kind: Any, error: ValidationError, section: str) -> UserError:
    """Turn pydantic's first finding into a UserError, with the words of the core's own check if it has one."""
    first = min(error.errors(), key=lambda found: found["type"] not in UNKNOWN_KEY)  # it explains a missing one
    location = [part for part in first["loc"] if not _is_branch(part)]
    unknown = first["type"] in UNKNOWN_KEY
    keys = [str(part) for part in location if unknown or isinstance(part, str)]  # numbers of items are left out
    where = ".".join([section, *keys])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return UserError(_join(where, cause.where), cause.what, cause.remedy)
    if unknown:
        return UserError(where, "unknown parameter", nearest(keys[-1], keys_at(kind, location[:-1]), {section: kind}))
    if first["type"] in ("missing", "missing_argument"):
        return UserError(where, "missing", "every project needs it; see conf/README.md")
    found = problem(str if first["loc"][-1] == "[key]" else kind_at(kind, location), first["input"])
    if found is not None:
        return UserError(".".join([where, *found.place]), found.what, found.remedy)
    return UserError(where, f"{first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}")


def _is_branch(part: Any) -> bool:
    """Whether a part of pydantic's location is not a key of ours: the branch of a union (`str`, `list[str]`), or `[key]`."""
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or "[" in part)


def _join(place: str, where: str) -> str:
    """Put a message's own key (`optimizer.warmup`) behind the place of its block (`learner.training.optimizer`)."""
    outer, _, block = place.rpartition(".")
    return ".".join(filter(None, [outer if block == where.split(".")[0] else place, where]))
