"""Bounds of settings: declared once in the annotations of a dataclass, checked here without pydantic, read by pydantic in `config/`.

    batch_size: Annotated[int, Ge(2), Because("{value} pairs have no negatives")] = 128

Remedies are made of the bounds themselves (`Ge(2)` says "use 2 or more"), so that each bound has one and each is true.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen, Predicate

from superbatch.declared import bare, is_block, kinds, options_of, taken_apart
from superbatch.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Because:
    """A message for a bound, used if the automatic one ("0 is too small; use 1 or more") says too little.

    Attributes:
        what: why a value outside is wrong; `{value}` stands for it.
        accepts: what is right, in place of the words made of the bounds; a `Predicate` needs it.
    """

    what: str
    accepts: str = ""


Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Interval(gt=0, lt=1)]
# As numpy and torch both take.
Seed = Annotated[int, Interval(ge=0, lt=1 << 63), Because("{value} is no seed", "0 to 2**63 - 1")]
# Metadata of a setting that came later: at its default it is no part of fingerprints, so that older ones stay.
LATER = {"later": True}


class Settings:
    """Base of all blocks of settings (frozen dataclasses): they are checked when made; pydantic refuses unknown keys.

    `class PoolSettings(Settings, section="pool")`: the section begins the key in messages (`pool.keep_share`).
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    section: ClassVar[str]

    def __init_subclass__(cls, section: str) -> None:
        cls.section = section

    def __post_init__(self) -> None:
        declared: Any = type(self)
        for name, kind in kinds(declared).items():
            found = problem(kind, getattr(self, name))
            if found is not None:
                raise UserError(".".join((self.section, name, *found.place)), found.what, found.remedy)
        self.check()

    def check(self) -> None:
        """Check settings against each other; each is within its own bounds already.

        Raises:
            UserError: they contradict each other.
        """


def require(condition: bool, where: str, what: str, remedy: str = "") -> None:
    """Raise a UserError unless a condition holds."""
    if not condition:
        raise UserError(where, what, remedy)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a value; `place` holds the keys of dictionaries inside it that lead there."""

    what: str
    remedy: str = ""
    place: tuple[str, ...] = ()


def problem(kind: Any, value: Any) -> Problem | None:
    """Find the first thing wrong with a value of a declared kind; None if there is nothing.

    Args:
        kind: an annotation: a scalar, literal or block of settings, lists, tuples and dictionaries of such, with bounds, or `| None`.
        value: as the core gets it; pydantic may have turned it into that.
    """
    inner, marks = taken_apart(kind)
    if len(options_of(inner)) > 1:
        return _of_union(options_of(inner), value)
    found = _of_type(inner, value)
    if found is None:
        inside = _first(_items(inner, value))
        if inside is not None or (_is_choice(inner, value) and all(_holds(mark, value) for mark in marks)):
            return inside
        found = Problem(_reason(marks, value))
    return found if found.remedy else replace(found, remedy=_remedy(kind, value))


def accepted(kind: Any) -> str:
    """Describe what a kind accepts: `2 or more`, `sigmoid or softmax`; nothing where any value of the type will do."""
    inner, marks = taken_apart(kind)
    own = [mark.accepts for mark in marks if isinstance(mark, Because) and mark.accepts]
    if own:
        return own[0]
    if len(options_of(inner)) > 1:
        return " or ".join(filter(None, (accepted(option) for option in options_of(inner))))
    if typing.get_origin(inner) is Literal:
        return _either(map(str, typing.get_args(inner)))
    if typing.get_origin(inner) in (list, tuple, dict):
        return _accepted_inside(inner, marks)
    low = next((mark for mark in marks if isinstance(mark, (Ge, Gt))), None)
    high = next((mark for mark in marks if isinstance(mark, (Le, Lt))), None)
    if isinstance(low, Gt) and isinstance(high, Lt):
        return f"a value between {low.gt} and {high.lt}"
    words = [f"{low.ge} or more" if isinstance(low, Ge) else f"more than {low.gt}"] if low else []
    words += [f"at most {high.le}" if isinstance(high, Le) else f"less than {high.lt}"] if high else []
    return " and ".join(words)


def _accepted_inside(kind: Any, marks: Sequence[Any]) -> str:
    is_dict = typing.get_origin(kind) is dict
    inside = accepted(typing.get_args(kind)[1 if is_dict else 0])
    least = next((f"{mark.min_length} or more" for mark in marks if isinstance(mark, MinLen)), "")
    words = f"{least}, each {inside}" if least and inside else least or inside
    return (
        f"{'keys with values' if is_dict and inside else _TYPES[typing.get_origin(kind)][1]} of {words}"
        if words
        else ""
    )


def described(kind: Any) -> str:
    """Describe what a kind accepts: its bounds, or else its type; for tables of settings."""
    inner, _ = taken_apart(kind)
    options = [option for option in options_of(inner) if option is not type(None)]
    return accepted(kind) or _either(_missed(bare(option), None) for option in options)


_TYPES: dict[Any, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "text"),
    list: (list, "a list"),
    tuple: ((list, tuple), "a list"),  # YAML has no tuples
    dict: (Mapping, "a block of keys and values"),
}


def _missed(kind: Any, value: Any) -> str:
    """Say which type a value should have, by its outermost type alone; nothing if it has it."""
    if is_block(kind):
        return "" if isinstance(value, kind) else "a block of settings"
    known, words = _TYPES.get(typing.get_origin(kind) or kind, (object, ""))
    is_flag = isinstance(value, bool) and known in (Integral, Real)  # to Python, True is a number
    return words if is_flag or not isinstance(value, known) else ""


def _of_type(kind: Any, value: Any) -> Problem | None:
    """Find what is wrong with a value's outermost type."""
    if is_block(kind) and isinstance(value, Mapping):
        return Problem("is a dictionary", f"make it {kind.__name__}(...)")
    missed = _missed(kind, value)
    keys = f"its keys: {', '.join(kinds(kind))}" if is_block(kind) else ""
    return Problem(f"{_shown(value)} is not {missed}", keys) if missed else None


def _items(kind: Any, value: Any) -> Iterator[Problem | None]:
    """Look at what is inside a list or dictionary."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple):
        yield from (problem(inside[0], item) for item in value)
    elif origin is dict:
        for key, item in value.items():
            found = problem(inside[1], item)
            yield found and replace(found, place=(str(key), *found.place))


def _of_union(options: tuple[Any, ...], value: Any) -> Problem | None:
    """Find what is wrong with a value of a union type, such as `int | None`."""
    if value is None and type(None) in options:
        return None
    given = [option for option in options if option is not type(None)]
    missed = [_missed(bare(option), value) for option in given]
    if len(given) > 1 and all(missed):
        return Problem(f"{_shown(value)} is not {_either(missed)}")
    found = [
        problem(option, value) for option, other in zip(given, missed, strict=True) if len(given) == 1 or not other
    ]
    first = found[0] if all(found) else None
    leave_out = first is not None and type(None) in options and first.remedy.startswith("use ")
    return replace(first, remedy=f"{first.remedy}, or leave it out") if first and leave_out else first


def _first(found: Iterable[Problem | None]) -> Problem | None:
    return next(filter(None, found), None)


def _is_choice(kind: Any, value: Any) -> bool:
    return typing.get_origin(kind) is not Literal or value in typing.get_args(kind)


def _holds(mark: Any, value: Any) -> bool:
    """Whether a value is within one bound; other annotations are ignored."""
    match mark:
        case Ge(least):
            return bool(value >= least)
        case Gt(less):
            return bool(value > less)
        case Le(most):
            return bool(value <= most)
        case Lt(more):
            return bool(value < more)
        case MinLen(length):
            return len(value) >= length
        case Predicate(fits):
            return bool(fits(value))
    return True


def _reason(marks: Sequence[Any], value: Any) -> str:
    """Say why a value outside its bounds is wrong."""
    own = next((mark for mark in marks if isinstance(mark, Because)), None)
    if own:
        return own.what.format(value=_shown(value))
    bounds = [mark for mark in marks if not _holds(mark, value)]
    if not bounds:
        return f"{_shown(value)} is unknown"
    if isinstance(bounds[0], MinLen):
        return f"{_shown(value)} has too few entries"
    return f"{_shown(value)} is too {'small' if isinstance(bounds[0], (Ge, Gt)) else 'large'}"


def _remedy(kind: Any, value: Any) -> str:
    """Say what to do: the choice that was meant, or what is accepted."""
    inner, _ = taken_apart(kind)
    if typing.get_origin(inner) is Literal:
        return did_you_mean(str(value), typing.get_args(inner))
    words = accepted(kind)
    return f"use {words}" if words else ""


def _either(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, Real) else repr(value)
