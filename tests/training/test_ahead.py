"""Shards fetched ahead of the steps that read them."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.data.fields import Mapped, Source, Stored, Where, joined
from superbatch.data.order import Order
from superbatch.stores.address import Address, Known
from superbatch.stores.cache import ShardCache
from superbatch.stores.objects import look_at
from superbatch.training.ahead import Horizon, ReadAhead

ROWS_A_SHARD, SIZE, STEPS = 100, 1_000, 30
NAMES = [Known(Address(f"s3://b/{i}.tar"), SIZE, str(i)) for i in range(20)]


def objects_at(order: Order, names: list[Known] = NAMES):
    return lambda step: [names[i] for i in np.unique(order.rows(step) // ROWS_A_SHARD)]


@settings(max_examples=25)
@given(window=st.integers(1, 600), batch=st.integers(1, 200), room=st.integers(1, 20), skip=st.integers(1, 30))
def test_what_is_in_sight_fits_and_is_what_comes_next(window: int, batch: int, room: int, skip: int) -> None:
    at = objects_at(Order(0, 2_000, batch, window))
    horizon = Horizon(at, len(NAMES), range(STEPS), room * SIZE)
    for step in range(0, STEPS, skip):
        horizon.advance(step)
        last = step
        while horizon.further() is not None:
            last += 1
        sight = set(horizon.objects)
        assert len(sight) <= room
        if horizon.is_blocked:
            assert len(at(step)) > room
            return
        assert sight >= set(at(step))


def test_a_wider_sight_takes_the_next_window_in() -> None:
    order = Order(0, 2_000, 100, shuffle_window=300)  # three steps a window, 4 or 5 shards
    at = objects_at(order)
    horizon = Horizon(at, len(NAMES), range(STEPS), 12 * SIZE)
    while horizon.further() is not None:
        pass
    assert {one for step in range(6) for one in at(step)} <= set(horizon.objects)


def wait_for(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it should have come by now"
        time.sleep(0.01)


@pytest.fixture
def stored() -> list[Known]:
    memory = fsspec.filesystem("memory")
    for i in range(20):
        memory.pipe(f"/ahead/{i}.tar", bytes(SIZE))
    return [look_at(Address(f"memory://ahead/{i}.tar")) for i in range(20)]


def test_the_thread_stays_ahead_within_the_limit(tmp_path: Path, stored: list[Known]) -> None:
    cache, order = ShardCache(tmp_path, 12 * SIZE), Order(0, 2_000, 100, shuffle_window=300)
    at = objects_at(order, stored)
    ahead = ReadAhead(cache, Horizon(at, len(stored), range(40), cache.limit), "jest")
    for step in range(40):
        ahead.at(step)
        wait_for(lambda: all(cache.has(one) for later in range(step, min(step + 3, 40)) for one in at(later)))  # noqa: B023
        with cache._alone():
            assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= cache.limit
    ahead.stop()


def test_rows_all_over_the_pool_are_read_by_ranges(
    tmp_path: Path, stored: list[Known], caplog: pytest.LogCaptureFixture
) -> None:
    cache = ShardCache(tmp_path, 12 * SIZE)
    horizon = Horizon(objects_at(Order(0, 2_000, 500), stored), len(stored), range(40), cache.limit)
    with caplog.at_level(logging.WARNING):
        ahead = ReadAhead(cache, horizon, "jest")
        ahead.at(0)
        wait_for(lambda: caplog.messages)
        ahead.stop()
    assert "jest: the rows of one step lie in more shards than storage.cache holds" in caplog.text
    assert "set training.shuffle_window" in caplog.text and not list(tmp_path.glob("*.whole"))


def test_a_store_that_fails_ends_the_thread_and_not_the_run(
    tmp_path: Path, stored: list[Known], caplog: pytest.LogCaptureFixture
) -> None:
    fsspec.filesystem("memory").rm("/ahead", recursive=True)
    cache = ShardCache(tmp_path, 20 * SIZE)
    ahead = ReadAhead(cache, Horizon(objects_at(Order(0, 2_000, 50), stored), 20, range(9), cache.limit), "jest")
    ahead.at(0)
    wait_for(lambda: caplog.messages)
    ahead.stop()
    assert "jest: no shards are fetched ahead from here on: memory://ahead/" in caplog.text


def test_fields_know_their_objects() -> None:
    def of(first: int):
        return lambda rows: [NAMES[first]] if rows is None else [NAMES[first + i] for i in np.unique(rows // 10)]

    far = joined(
        [Stored(lambda rows: rows, 20, of(0)), Stored(lambda rows: rows, 20), Stored(lambda rows: rows, 20, of(5))]
    )
    source = Source({"image": far, "view": Mapped(far, lambda values: values), "label": Stored(lambda rows: rows, 60)})
    assert source.objects(np.array([55, 3, 25])) == [NAMES[0], NAMES[6]]
    assert source.objects() == [NAMES[0], NAMES[5]]
    some = Source({"low": Where(far, Stored(lambda rows: rows, 60))}, rows=np.array([12, 30, 41]))
    assert some.objects(np.array([0, 2])) == [NAMES[1], NAMES[5]]
    assert Source({"label": Stored(lambda rows: rows, 60)}).objects(np.array([1])) == []
