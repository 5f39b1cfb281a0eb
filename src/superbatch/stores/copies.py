"""Files of a store, copied once to a folder of this machine: checkpoints, and the texts beside an evaluation set."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from superbatch.artifacts.atomic import atomic_directory, told_if_full
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.errors import UserError
from superbatch.stores.address import Address, Known
from superbatch.stores.asking import AGAIN, ask
from superbatch.stores.kinds import bring, info_of
from superbatch.stores.objects import infos_in, known_of, look_at


def objects_in(url: str) -> list[Known]:
    """Return the objects of a folder by name, without those further down; of an object itself, that one.

    Raises:
        UserError: nothing is there; a store that can't be read.
    """
    url = url.rstrip("/")
    info = ask(url, info_of)
    if info.get("type") != "directory":
        return [known_of(Address(url), info)]
    infos = sorted(infos_in(url).items())
    return [known_of(Address(f"{url}/{name}"), info) for name, info in infos if info.get("type") == "file"]


def local_copy(url: str, cache: Path, needed: Callable[[list[str]], Iterable[str]]) -> Path:
    """Copy an object, or a folder's, to this machine, unless they are there as they are now; returns the file or the folder.

    Args:
        url: the address.
        cache: the folder of all copies; each is named by address, and by size and mark of what it holds.
        needed: of the names of a folder's objects, those that are copied.

    Raises:
        UserError: nothing is there; what changes while it is copied; a store that can't be read; a full disk.
    """
    found = {known.address.name: known for known in objects_in(url)}
    whole = Address(url.rstrip("/"))
    is_file = [known.address for known in found.values()] == [whole]
    chosen = list(found.values()) if is_file else [found[name] for name in sorted(needed(list(found)))]
    mark = fingerprint([[known.address.url, known.size, known.mark] for known in chosen])
    made = cache / f"{whole.name}-{mark}"
    with _alone(made):
        if not made.is_dir():
            with atomic_directory(made) as folder:
                bring_files(chosen, folder)
    return made / whole.name if is_file else made


def bring_files(objects: Iterable[Known], folder: Path) -> None:
    """Copy objects into a folder that is there, under their own names.

    Raises:
        UserError: one that is another by now; a store that can't be read; a full disk.
    """
    for known in objects:
        file = folder / known.address.name
        ask(known.address.url, partial(bring, file=file))
        if look_at(known.address) != known or file.stat().st_size != known.size:
            raise UserError(known.address.url, "was changed while it was copied", AGAIN)


@contextmanager
def _alone(made: Path) -> Iterator[None]:
    """Let one process at a time make a copy: ranks begin with the same model at the same time."""
    with told_if_full(made):
        made.parent.mkdir(parents=True, exist_ok=True)
        made.with_name(f".{made.name}.lock").touch()
    with open(made.with_name(f".{made.name}.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
