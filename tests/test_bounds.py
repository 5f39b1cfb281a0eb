"""Bounds of settings: one declaration, by which the core and pydantic accept and refuse the same, in the same words."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen, Predicate
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from superbatch import options
from superbatch.bounds import Because, Settings, accepted, described, problem
from superbatch.config import read
from superbatch.declared import bare, is_block, kinds, taken_apart
from superbatch.errors import UserError

BLOCKS: list[Any] = [kind for kind in map(vars(options).get, options.__all__) if is_dataclass(kind)]
FIELDS = [(block, name) for block in BLOCKS for name in kinds(block)]
BOUNDS = (Ge, Gt, Le, Lt, MinLen, Predicate)
every_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)


def made(block: Any, name: str, value: Any) -> Any:
    """What the core makes of one setting, the others as they are by default: the settings, or the line it is refused with."""
    try:
        return block(**{name: value})
    except UserError as error:
        return str(error)


def taken(block: Any, name: str, value: Any) -> Any:
    """What pydantic makes of it."""
    try:
        return read(block, {name: value}, block.section)
    except UserError as error:
        return str(error)


def leaves(kind: Any) -> Iterator[tuple[Any, Sequence[Any]]]:
    """A kind's parts that hold values: types without annotations, and these."""
    inner, marks = taken_apart(kind)
    inside = [option for option in typing.get_args(inner) if option not in (type(None), ...)]
    if not inside or typing.get_origin(inner) is Literal:
        yield inner, marks
    for option in inside:
        yield from leaves(option)


def edges(kind: Any) -> list[Any]:
    """Values at the bounds of a kind, just inside and just outside; of a literal, its choices and one that is none."""
    found: list[Any] = []
    for inner, marks in leaves(kind):
        if typing.get_origin(inner) is Literal:
            found += [*typing.get_args(inner), "none of them"]
        limits = [getattr(mark, mark.__slots__[0]) for mark in marks if isinstance(mark, (Ge, Gt, Le, Lt))]
        limits += [0, 1] if any(isinstance(mark, Predicate) for mark in marks) else []
        found += [limit + step for limit in limits for step in (-1, 0, 1)]
        found += [limit + step for limit in limits for step in (-0.5, 0.5) if inner is float]
    return found


def wrapped(kind: Any, value: Any) -> Any:
    """A value as a setting of lists or dictionaries holds it."""
    origin = typing.get_origin(bare(kind))
    return (value,) if origin is tuple else {"clean": value} if origin is dict else value


def is_within(marks: list[Any], value: Any) -> bool:
    """Whether a value is within bounds, by another way than the code's."""
    lows = [mark.ge for mark in marks if isinstance(mark, Ge)], [mark.gt for mark in marks if isinstance(mark, Gt)]
    highs = [mark.le for mark in marks if isinstance(mark, Le)], [mark.lt for mark in marks if isinstance(mark, Lt)]
    within = not any(value < low for low in lows[0]) and not any(value <= low for low in lows[1])
    within = within and not any(value > high for high in highs[0]) and not any(value >= high for high in highs[1])
    return within and all(mark.func(value) for mark in marks if isinstance(mark, Predicate))


@every_block
def test_at_every_bound_the_core_and_pydantic_say_the_same(block: Any) -> None:
    for name, kind in kinds(block).items():
        for value in edges(kind):
            given_ = wrapped(kind, value)
            core, by_pydantic = made(block, name, given_), taken(block, name, given_)
            assert core == by_pydantic, (name, value)
            [(inner, marks)] = list(leaves(kind))[-1:]
            fits = value in typing.get_args(inner) if typing.get_origin(inner) is Literal else is_within(marks, value)
            refused = isinstance(core, str) and core.startswith(f"{block.section}.{name}")
            assert fits or refused, f"{block.section}.{name} = {value} is let through"


ANY = (
    st.none()
    | st.booleans()
    | st.integers(-3, 200)
    | st.floats()
    | st.text("ab1 .", max_size=3)
    | st.lists(st.integers(0, 2) | st.just("learned"), max_size=2)
    | st.dictionaries(st.sampled_from(["clean", "garbled"]), st.floats(-1, 2) | st.text("a", max_size=1), max_size=2)
)


@dataclasses.dataclass(frozen=True)
class ManySettings(Settings, section="many"):
    """Kinds of settings that none of the project's blocks has yet, beside those that they have."""

    names: Annotated[tuple[str, ...], MinLen(1)] = ("a",)
    sizes: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (1,)
    words: str | int | tuple[str, ...] | None = None
    limit: Annotated[int, Interval(ge=1, lt=9)] | None = None
    block: options.PoolSettings | None = dataclasses.field(default_factory=options.PoolSettings)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("names", [], "many.names: [] has too few entries; use a list of 1 or more"),
        ("names", "a", "many.names: 'a' is not a list; use a list of 1 or more"),
        ("names", ["a", 3], "many.names: 3 is not text"),
        ("sizes", [1, 0], "many.sizes: 0 is too small; use 1 or more"),
        ("words", {}, "many.words: {} is not text, a whole number or a list"),
        ("words", [[]], "many.words: [] is not text"),
        ("limit", 9, "many.limit: 9 is too large; use 1 or more and less than 9, or leave it out"),
        (
            "block",
            3,
            "many.block: 3 is not a block of settings; its keys: keep_share, add_curated, clusters, balance, like_curated, curated_by",
        ),
    ],
)
def test_kinds_of_every_shape(name: str, value: Any, line: str) -> None:
    assert made(ManySettings, name, value) == taken(ManySettings, name, value) == line


@pytest.mark.parametrize(("name", "value"), [("words", ["a"]), ("words", 3), ("limit", None), ("block", None)])
def test_kinds_of_every_shape_are_taken(name: str, value: Any) -> None:
    assert equal(getattr(made(ManySettings, name, value), name), getattr(taken(ManySettings, name, value), name))


@given(st.sampled_from(FIELDS), ANY)
@example((options.LearnerSettings, "reference"), "")
@settings(max_examples=300, deadline=None)
def test_what_the_core_accepts_pydantic_accepts_and_what_it_refuses_the_core_refuses(
    field: tuple[Any, str], value: Any
) -> None:
    """In the same words. Pydantic takes more ("3" for 3), but makes of it what the core accepts."""
    block, name = field
    assume(not (is_block(bare(kinds(block)[name])) and isinstance(value, dict)))  # read by pydantic alone
    core, by_pydantic = made(block, name, value), taken(block, name, value)
    if isinstance(core, Settings):
        assert isinstance(by_pydantic, Settings), by_pydantic
        assert equal(getattr(core, name), getattr(by_pydantic, name))
    elif isinstance(by_pydantic, Settings):
        assert made(block, name, getattr(by_pydantic, name)) == by_pydantic
    elif core != by_pydantic:  # it took the value for another, which does not go with the other settings
        assert made(block, name, TypeAdapter(kinds(block)[name]).validate_python(value)) == by_pydantic


def equal(one: Any, other: Any) -> bool:
    return one == other or (one != one and other != other) or (isinstance(one, list) and tuple(one) == other)


@pytest.mark.parametrize(("block", "name"), FIELDS, ids=lambda part: part if isinstance(part, str) else part.__name__)
def test_every_setting_that_is_refused_has_a_remedy(block: Any, name: str) -> None:
    kind = kinds(block)[name]
    found = [problem(kind, wrapped(kind, value)) for value in edges(kind)]
    bounded = any(isinstance(mark, BOUNDS) for _, marks in leaves(kind) for mark in marks)
    assert any(found) or not (bounded or "Literal" in str(kind))
    assert all(one.what and one.remedy for one in found if one is not None)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (
            lambda: options.TrainingSettings(batch_size=1),
            "training.batch_size: 1 pairs have no negatives; use 2 or more",
        ),
        (
            lambda: options.TrainingSettings(loss="sigmoyd"),  # type: ignore[arg-type]
            "training.loss: 'sigmoyd' is unknown; did you mean sigmoid? known: sigmoid, softmax",
        ),
        (
            lambda: options.TrainingSettings(steps="many"),  # type: ignore[arg-type]
            "training.steps: 'many' is not a whole number; use 1 or more",
        ),
        (
            lambda: options.TrainingSettings(steps=True),
            "training.steps: True is not a whole number; use 1 or more",
        ),
        *(
            (
                lambda seed=seed: options.TrainingSettings(seed=seed),
                f"training.seed: {seed} is no seed; use 0 to 2**63 - 1",
            )
            for seed in (-1, 1 << 63)
        ),
        (
            lambda: options.TrainingSettings(optimizer={"beta1": 0.5}),  # type: ignore[arg-type]
            "training.optimizer: is a dictionary; make it OptimizerSettings(...)",
        ),
        (
            lambda: options.TrainingSettings(max_scale=0.5),
            "training.max_scale: 0.5 is below the smallest scale, 1; use 1 or more, or leave it out",
        ),
        (
            lambda: options.TrainingSettings(spike_factor=0.5),
            "training.spike_factor: 0.5 would call ordinary losses spikes; use more than 1, or 0 for off",
        ),
        (
            lambda: options.OptimizerSettings(beta2=1.0),
            "optimizer.beta2: 1 is too large; use 0 or more and less than 1",
        ),
        (
            lambda: options.PoolSettings(keep_share=0),
            "pool.keep_share: 0 is not a share; use more than 0 and at most 1",
        ),
        (
            lambda: options.PoolSettings(clusters=64),
            "pool.clusters: 64 clusters of a pool that is kept whole; set pool.keep_share below 1, or leave the clusters out",
        ),
        (
            lambda: options.PoolSettings(keep_share=0.3, like_curated=0.95),
            "pool.like_curated: 0.95, and keep_share says 0.3: both say how much is kept; set keep_share to 1, or like_curated to 0",
        ),
        (
            lambda: options.PoolSettings(keep_share=0.3, balance=0.5),
            "pool.balance: 0.5 without clusters: there is nothing to balance; set pool.clusters, such as 64, or leave the balance out",
        ),
        (
            lambda: options.PoolSettings(keep_share=0.3, clusters=64, balance=2),
            "pool.balance: 2 is too large; use 0 or more and at most 1",
        ),
        (
            lambda: options.SimwebSettings(shares={"clean": 1.5, "garbled": -0.5}),
            "simweb.shares.garbled: -0.5 is too small; use 0 or more",
        ),
        (
            lambda: options.ExportSettings(verdicts=("worthit",)),  # type: ignore[arg-type]
            "export.verdicts: 'worthit' is not a verdict; did you mean worth_it? known: worth_it, learned, unlearnable, "
            "never_worth, undecided, unseen",
        ),
    ],
)
def test_a_library_user_gets_one_line(make: Callable[[], Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value) == line


def test_a_copy_is_checked_too_and_holds_what_it_was_given() -> None:
    """Numbers stay as they were written: they are part of a run's hash."""
    whole = dataclasses.replace(options.OptimizerSettings(), learning_rate=1)
    assert type(whole.learning_rate) is int
    assert set(vars(whole)) == {field.name for field in dataclasses.fields(whole)}
    with pytest.raises(UserError, match=r"^optimizer.learning_rate: -1 is too small; use more than 0$"):
        dataclasses.replace(whole, learning_rate=-1)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Annotated[int, Ge(2)], "2 or more"),
        (Annotated[float, Gt(0)], "more than 0"),
        (Annotated[int, Interval(ge=1, le=9)], "1 or more and at most 9"),
        (Annotated[float, Interval(gt=0, lt=1)], "a value between 0 and 1"),
        (Annotated[float, Lt(1)] | None, "less than 1"),
        (Annotated[float, Predicate(bool), Because("{value} is nothing", "something")], "something"),
        (Literal["a", "b", "c"], "a, b or c"),
        (dict[str, Annotated[float, Ge(0)]], "keys with values of 0 or more"),
        (tuple[Literal["a", "b"], ...], "a list of a or b"),
        (Annotated[tuple[str, ...], MinLen(1)], "a list of 1 or more"),
        (Annotated[list[Annotated[int, Ge(1)]], MinLen(2)], "a list of 2 or more, each 1 or more"),
        (dict[str, options.ModelSettings], "a block of keys and values"),
        (bool, "true or false"),
        (str | None, "text"),
        (str | list[str], "text or a list"),
        (options.ModelSettings | None, "a block of settings"),
    ],
)
def test_bounds_in_words(kind: Any, words: str) -> None:
    assert described(kind) == words
    assert accepted(kind) in (words, "")
