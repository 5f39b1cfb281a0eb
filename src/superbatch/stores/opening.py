"""Files and objects opened in the same way, to be read from front to back."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from superbatch.stores.address import Address, Place
from superbatch.stores.cache import cache_in_use
from superbatch.stores.objects import CHUNK, ObjectStream, look_at

BUFFER = 1 << 20


@dataclass(frozen=True)
class Opened:
    """An open file or object.

    Attributes:
        stream: can be moved in.
        size: bytes.
        mark: of an object, what changes with its content; empty for a file.
    """

    stream: BinaryIO
    size: int
    mark: str = ""


@contextmanager
def opened(place: Place) -> Iterator[Opened]:
    """Open a file, or an object: whole, through the cache, where that has room for it, else a piece at a time.

    Raises:
        OSError: a file that can't be opened.
        UserError: an object that can't be read.
    """
    if isinstance(place, Address):
        with _object(place) as found:
            yield found
        return
    with open(place, "rb", buffering=BUFFER) as stream:
        yield Opened(stream, os.fstat(stream.fileno()).st_size)


@contextmanager
def _object(address: Address) -> Iterator[Opened]:
    known, cache = look_at(address), cache_in_use()
    if cache is not None and cache.fetch(known):
        with cache.reading(known) as descriptor:
            if descriptor is not None:
                with open(descriptor, "rb", buffering=BUFFER, closefd=False) as stream:
                    yield Opened(stream, known.size, known.mark)
                return
    with io.BufferedReader(ObjectStream(known), CHUNK) as pieces:
        yield Opened(cast(BinaryIO, pieces), known.size, known.mark)
