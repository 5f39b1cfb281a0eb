"""A folder of whole objects that never grows over its limit, shared by all processes of a machine.

What the processes know of it is in the folder alone: an object is a file named by address, size and mark, so one that changed is another
file; the time of its last use is the file's. A reader holds a shared lock while it reads, and who makes room passes by what is locked:
nothing is taken from under a reader, and the bytes of the files are those on the disk. Room is taken before anything is fetched, by a
file of the full size, which whoever fetches it keeps locked; one that nobody has locked was left by a process that died.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from superbatch.artifacts.atomic import told_if_full
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.stores.address import Known
from superbatch.stores.objects import CHUNK, read_parts, require_as_known

IN_USE = "SUPERBATCH_SHARD_CACHE"  # in the environment, so that processes that are started know it too: bytes:folder
WHOLE, PART, LOCK = ".whole", ".part", "lock"
RECENT = 5.0  # seconds for which a use counts as noted
PARTS_AT_ONCE = 4  # of CHUNK bytes


@dataclass(frozen=True)
class ShardCache:
    """Whole objects on disk.

    Attributes:
        folder: where.
        limit: bytes that they may take.
    """

    folder: Path
    limit: int

    @contextmanager
    def reading(self, known: Known) -> Iterator[int | None]:
        """Yield a descriptor of an object that is there, kept while it is in use; None for one that is not."""
        descriptor = self._opened(known)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                _release(descriptor)

    def has(self, known: Known) -> bool:
        """Tell whether an object is there."""
        return self._file(known, WHOLE).is_file()

    def touch(self, objects: Iterable[Known]) -> None:
        """Note that objects are in use, so that others leave before them."""
        for known in objects:
            with suppress(FileNotFoundError):
                os.utime(self._file(known, WHOLE))

    def fetch(self, known: Known, going_on: Callable[[], bool] = lambda: True) -> bool:
        """Bring an object in, if there is room for it; returns whether it is there then.

        Whoever asks for one that another process fetches waits for it.

        Args:
            known: the object.
            going_on: asked between parts; where it says no, what was fetched is dropped.

        Raises:
            UserError: another object stands there now; as `ask`; a full disk.
        """
        while not self.has(known):
            part = self._claim(known)
            if part is None:
                if not self._wait_for(known):
                    return False
                continue
            try:
                if not self._fill(known, part, going_on):
                    return False
            finally:
                _release(part)
        return True

    def _file(self, known: Known, ending: str) -> Path:
        return self.folder / f"{fingerprint([known.address.url, known.size, known.mark])}{ending}"

    def _opened(self, known: Known) -> int | None:
        """Open an object's file with a shared lock."""
        try:
            descriptor = os.open(self._file(known, WHOLE), os.O_RDONLY)
        except FileNotFoundError:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        stat = os.fstat(descriptor)
        if stat.st_nlink == 0:  # dropped between the two lines above
            _release(descriptor)
            return None
        if time.time() - stat.st_mtime > RECENT:
            self.touch([known])
        return descriptor

    def _claim(self, known: Known) -> int | None:
        """Make room for an object, and take it by a file of its size; returns its descriptor, locked. None where another process
        fetches it, or where there is no room.
        """
        with told_if_full(self.folder), self._alone():
            path = self._file(known, PART)
            if self.has(known) or _locked(path):
                return None
            path.unlink(missing_ok=True)  # left by a process that died: where there is no room, nobody may wait for it
            if not self._make_room(known.size):
                return None
            part = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            fcntl.flock(part, fcntl.LOCK_EX)
            os.ftruncate(part, known.size)
            return part

    def _fill(self, known: Known, part: int, going_on: Callable[[], bool]) -> bool:
        """Download an object into its file, then give the file its name."""
        path = self._file(known, PART)
        try:
            require_as_known(known)
            step = CHUNK * PARTS_AT_ONCE
            with told_if_full(path):
                for begin in range(0, known.size, step):
                    if not going_on():
                        return False
                    starts = range(begin, min(begin + step, known.size), CHUNK)
                    parts = [(known.address, start, min(CHUNK, known.size - start)) for start in starts]
                    for (_, start, _), data in zip(parts, read_parts(parts), strict=True):
                        os.pwrite(part, data, start)
            require_as_known(known)  # the object may have been replaced meanwhile
            with self._alone():
                os.utime(path)
                os.replace(path, self._file(known, WHOLE))
            return True
        finally:
            with self._alone():
                path.unlink(missing_ok=True)

    def _wait_for(self, known: Known) -> bool:
        """Wait for the process that fetches an object; returns whether there was one."""
        try:
            descriptor = os.open(self._file(known, PART), os.O_RDONLY)
        except FileNotFoundError:
            return self.has(known)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        finally:
            _release(descriptor)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time count, add or remove the folder's files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_room(self, size: int) -> bool:
        """Remove the least recently used objects until a new one fits; returns whether it does."""
        if size > self.limit:
            return False
        files = [(path, path.stat()) for path in self.folder.iterdir() if path.suffix in (WHOLE, PART)]
        free = self.limit - sum(stat.st_size for _, stat in files)
        for path, stat in sorted(files, key=lambda file: (file[0].suffix == WHOLE, file[1].st_mtime)):
            if free >= size:
                break
            if _dropped(path):
                free += stat.st_size
        return free >= size


def _dropped(path: Path) -> bool:
    """Remove a file unless someone reads or fetches it; returns whether it is gone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except BlockingIOError:
        return False
    finally:
        _release(descriptor)
    return True


def _release(descriptor: int) -> None:
    """Unlock and close; a process that was forked in between may have the descriptor still, and would keep the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _locked(path: Path) -> bool:
    """Tell whether someone reads a file, or fetches it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        _release(descriptor)
    return False


def use_cache(cache: ShardCache | None) -> None:
    """Say through which cache this process, and those that it starts, read objects."""
    if cache is None:
        os.environ.pop(IN_USE, None)
    else:
        os.environ[IN_USE] = f"{cache.limit}:{cache.folder.absolute()}"


def cache_in_use() -> ShardCache | None:
    """Return the cache that this process reads objects through, if there is one."""
    limit, _, folder = os.environ.get(IN_USE, "").partition(":")
    return ShardCache(Path(folder), int(limit)) if folder and int(limit) > 0 else None
