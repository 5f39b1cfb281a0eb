"""The cache of whole objects: never over its limit, nothing taken from under a reader, one fetch for many who ask."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.errors import UserError
from superbatch.stores import cache as module
from superbatch.stores.address import Address, Known
from superbatch.stores.cache import ShardCache, cache_in_use, use_cache
from superbatch.stores.objects import look_at, read_parts

SIZE = 1_000


def put(name: str, size: int = SIZE) -> Known:
    """Store an object of random bytes, and return what is known of it."""
    fsspec.filesystem("memory").pipe(f"/cache/{name}", os.urandom(size))
    return look_at(Address(f"memory://cache/{name}"))


def content(cache: ShardCache, known: Known) -> bytes | None:
    with cache.reading(known) as descriptor:
        return None if descriptor is None else os.pread(descriptor, known.size, 0)


def used(cache: ShardCache) -> int:
    with cache._alone():
        return sum(file.stat().st_size for file in cache.folder.iterdir())


def test_what_is_fetched_is_the_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 300)  # several parts, the last one short
    cache, known = ShardCache(tmp_path, 2 * SIZE), put("a")
    assert content(cache, known) is None
    assert cache.fetch(known) and cache.has(known)
    assert content(cache, known) == read_parts([(known.address, 0, SIZE)])[0]
    assert [file.suffix for file in tmp_path.iterdir() if file.name != "lock"] == [".whole"]


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=12), limit=st.integers(1, 1_000))
def test_it_is_never_over_its_limit(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int) -> None:
    cache = ShardCache(tmp_path_factory.mktemp("cache"), limit)
    for number, size in enumerate(sizes):
        known = put(f"sized/{number}", size)
        assert cache.fetch(known) == (size <= limit)
        assert used(cache) <= limit


def test_what_was_not_in_use_for_longest_leaves(tmp_path: Path) -> None:
    cache, (a, b, c) = ShardCache(tmp_path, 2 * SIZE), map(put, "abc")
    for known, age in ((a, 100), (b, 200)):
        cache.fetch(known)
        os.utime(cache._file(known, ".whole"), (time.time() - age,) * 2)
    content(cache, b)  # reading counts
    cache.fetch(c)
    assert [cache.has(known) for known in (a, b, c)] == [False, True, True]


def test_nothing_is_taken_from_under_a_reader(tmp_path: Path) -> None:
    cache, (a, b) = ShardCache(tmp_path, SIZE), map(put, "ab")
    cache.fetch(a)
    with cache.reading(a) as descriptor:
        assert not cache.fetch(b) and cache.has(a) and descriptor is not None
    assert cache.fetch(b) and not cache.has(a)


def test_half_of_an_object_that_a_dead_process_left_makes_room(tmp_path: Path) -> None:
    cache, (a, b) = ShardCache(tmp_path, SIZE), map(put, "ab")
    cache._file(a, ".part").write_bytes(bytes(SIZE))
    assert cache.fetch(b) and used(cache) == SIZE
    cache._file(a, ".part").write_bytes(b"half")
    assert cache.fetch(a) and content(cache, a) == read_parts([(a.address, 0, SIZE)])[0]


def test_nobody_waits_for_half_of_an_object_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit was lowered after the process that fetched it had died."""
    cache, known, wait = ShardCache(tmp_path, SIZE - 1), put("a"), ShardCache._wait_for

    def waited(*given: ShardCache | Known) -> bool:
        assert not wait(*given), "it would wait again and again"
        return False

    monkeypatch.setattr(ShardCache, "_wait_for", waited)
    cache._file(known, ".part").write_bytes(bytes(SIZE))
    assert not cache.fetch(known) and used(cache) == 0


def test_many_who_ask_at_once_fetch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, known, asked = ShardCache(tmp_path, SIZE), put("a"), []

    def slow(parts: list[tuple[Address, int, int]]) -> list[bytes]:
        asked.append(parts)
        time.sleep(0.2)
        return read_parts(parts)

    monkeypatch.setattr(module, "read_parts", slow)
    threads = [threading.Thread(target=cache.fetch, args=(known,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1 and cache.has(known)


def test_processes_share_it(tmp_path: Path) -> None:
    """Four forked processes go through six objects in orders of their own, with room for three."""
    cache, objects = ShardCache(tmp_path, 3 * SIZE), [put(f"shared/{i}") for i in range(6)]
    right = [read_parts([(known.address, 0, SIZE)])[0] for known in objects]

    def work(seed: int) -> None:
        for i in range(30):
            number = (i * (seed + 1) + seed) % 6
            cache.fetch(objects[number])
            found = content(cache, objects[number])
            if found not in (None, right[number]) or used(cache) > cache.limit:
                os._exit(1)
        os._exit(0)

    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert used(cache) <= cache.limit


def test_an_object_that_was_exchanged_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    cache, known = ShardCache(tmp_path, 5 * SIZE), put("a")
    put("a")
    with pytest.raises(
        UserError, match=r"memory://cache/a: was changed since ingestion \(its mark is .*; run the ingest"
    ):
        cache.fetch(known)
    put("a", 2 * SIZE)
    with pytest.raises(
        UserError, match=r"memory://cache/a: has 2,000 bytes, at ingestion it had 1,000; run the ingest"
    ):
        cache.fetch(known)
    assert used(cache) == 0


def test_a_fetch_that_is_not_to_go_on_leaves_nothing(tmp_path: Path) -> None:
    cache, known = ShardCache(tmp_path, SIZE), put("a")
    assert not cache.fetch(known, lambda: False)
    assert used(cache) == 0 and not cache.has(known)


def test_processes_that_are_started_know_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.IN_USE, raising=False)
    assert cache_in_use() is None
    use_cache(ShardCache(tmp_path / "a:b", 7))
    assert cache_in_use() == ShardCache(tmp_path / "a:b", 7)
    use_cache(ShardCache(tmp_path, 0))
    assert cache_in_use() is None
    use_cache(None)
    assert module.IN_USE not in os.environ
