"""Shards that lie in a store: images out of the cache where it has their shard, else by ranges of bytes.

Whoever reads rows one after the other (embedding, packing, `verify`) reads most of a shard: then the whole shard is fetched, if the cache
has room for it. Rows drawn at random are a range each, many at a time. In training the shards of the steps to come are fetched ahead
(`training.ahead`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from superbatch.stores.address import Address, Known
from superbatch.stores.cache import ShardCache
from superbatch.stores.objects import read_parts, require_as_known

Part = tuple[str, int, int]  # shard, offset, length
ROWS_AT_ONCE = 256
DENSE_ROWS, DENSE_SHARE = (
    8,
    0.25,
)  # so many images, and so much of the bytes between first and last: then a shard is read from front to back
GAP, SPAN = 64 << 10, 16 << 20  # bytes between images that are read with them; bytes of one request


class ObjectShards:
    """Shards of one set that lie in a store.

    Args:
        objects: as they were at ingestion, by the name of the shard.
        cache: what they are read through; None: by ranges alone.
    """

    def __init__(self, objects: Mapping[str, Known], cache: ShardCache | None) -> None:
        self._objects, self.cache = objects, cache
        self._checked: set[str] = set()

    def __contains__(self, shard: str) -> bool:
        return shard in self._objects

    def read_all(self, parts: Iterable[Part]) -> Iterator[bytes | None]:
        """Yield bytes of shards, a few hundred parts at a time; None for a part of a shard that lies elsewhere."""
        left = iter(parts)
        while some := list(islice(left, ROWS_AT_ONCE)):
            here = [i for i, (shard, _, _) in enumerate(some) if shard in self]
            found = dict(zip(here, self.read([some[i] for i in here]), strict=True))
            yield from (found.get(i) for i in range(len(some)))

    def read(self, parts: Sequence[Part]) -> list[bytes]:
        """Return bytes of shards.

        Raises:
            UserError: a shard that is gone or another one by now; a store that can't be read.
        """
        by_shard: dict[str, list[int]] = {}
        for i, (shard, _, _) in enumerate(parts):
            by_shard.setdefault(shard, []).append(i)
        found: dict[int, bytes] = {}
        for shard, numbers in by_shard.items():
            found |= self._cached(shard, {i: parts[i] for i in numbers})
        missing = [i for i in range(len(parts)) if i not in found]
        found |= dict(zip(missing, self._ranges([parts[i] for i in missing]), strict=True))
        return [found[i] for i in range(len(parts))]

    def _cached(self, shard: str, parts: dict[int, Part]) -> dict[int, bytes]:
        """Read parts of a shard from the cache; nothing where it is not there, and is not worth fetching."""
        if self.cache is None:
            return {}
        known = self._objects[shard]
        if not self.cache.has(known) and _dense(list(parts.values())):
            self.cache.fetch(known)
        with self.cache.reading(known) as descriptor:
            if descriptor is None:
                return {}
            return {i: os.pread(descriptor, length, offset) for i, (_, offset, length) in parts.items()}

    def _ranges(self, parts: list[Part]) -> list[bytes]:
        """Read parts by requests of their own; neighbours share one."""
        for shard in {shard for shard, _, _ in parts} - self._checked:
            require_as_known(self._objects[shard])
            self._checked.add(shard)
        spans = list(_spans(parts))
        read = read_parts([(Address(shard), start, stop - start) for shard, start, stop, _ in spans])
        found: dict[int, bytes] = {}
        for (_, start, _, numbers), data in zip(spans, read, strict=True):
            for i in numbers:
                _, offset, length = parts[i]
                found[i] = data[offset - start : offset - start + length]
        return [found[i] for i in range(len(parts))]


def _dense(parts: list[Part]) -> bool:
    """Tell whether the parts of a shard are dense enough to read it from start to end."""
    first, last = min(offset for _, offset, _ in parts), max(offset + length for _, offset, length in parts)
    between = last - first - sum(length for _, _, length in parts)
    return len(parts) >= DENSE_ROWS and between <= GAP * len(parts)


def _spans(parts: list[Part]) -> Iterator[tuple[str, int, int, list[int]]]:
    """Join parts that lie close together: yields shard, first byte, the one behind the last, and which parts these are."""
    span: tuple[str, int, int, list[int]] | None = None
    for i in sorted(range(len(parts)), key=lambda i: parts[i]):
        shard, offset, length = parts[i]
        stop = offset + length
        if span is not None and span[0] == shard and offset <= span[2] + GAP and stop - span[1] <= SPAN:
            span = (shard, span[1], max(stop, span[2]), [*span[3], i])
            continue
        if span is not None:
            yield span
        span = (shard, offset, stop, [i])
    if span is not None:
        yield span
