"""Objects: what they are now, parts of them, all of one.

A mark is what tells that an object's content changed: the etag of S3 and its like, a digest, or the time of its last change.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from superbatch.errors import UserError
from superbatch.stores.address import Address, Known
from superbatch.stores.asking import ask
from superbatch.stores.kinds import AT_ONCE, forget_listings, info_of, ranges_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Digests of the content come first: an etag of Google's changes with an object's metadata too.
MARKS = (
    "sha256",
    "xet_hash",
    "md5Hash",
    "crc32c",
    "ETag",
    "etag",
    "blob_id",
    "oid",
    "LastModified",
    "last_modified",
    "mtime",
    "created",
)
LISTED = 8  # so many objects of one folder are looked up by listing it
CHUNK = 8 << 20  # bytes of a read of a whole object
Infos = dict[str, dict[str, Any]]


def look_at(address: Address) -> Known:
    """Return what an object is now.

    Raises:
        UserError: as `ask`.
    """
    return known_of(address, ask(address.url, info_of))


def look_at_all(addresses: Iterable[Address], setting: str = "") -> list[Known]:
    """Return what many objects are now, in order: those of one folder by listing it.

    Args:
        addresses: of the objects.
        setting: where they stand in the parameters, for messages.

    Raises:
        UserError: as `ask`; a folder.
    """
    wanted = list(addresses)
    folders: dict[str, list[Address]] = {}
    for address in wanted:
        folders.setdefault(address.url.rpartition("/")[0], []).append(address)
    listed = {folder: _listing(folder) for folder, held in folders.items() if len(held) >= LISTED}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda one: _looked_up(one, listed, setting), wanted))


def infos_in(folder: str) -> Infos:
    """List what lies in a folder, as its store describes it, by name.

    Raises:
        UserError: as `ask`.
    """

    def question(files: AbstractFileSystem, path: str) -> Infos:
        forget_listings(files)
        return {PurePosixPath(info["name"]).name: info for info in files.ls(path, detail=True)}

    return ask(folder, question)


def require_as_known(known: Known, remedy: str = "run the ingest stage again") -> None:
    """Refuse an object that is another one by now.

    Raises:
        UserError: another size, or another mark; what `look_at` refuses.
    """
    found = look_at(known.address)
    if found.size != known.size:
        what = f"has {found.size:,} bytes, at ingestion it had {known.size:,}"
        raise UserError(known.address.url, what, remedy)
    if known.mark and found.mark != known.mark:
        what = f"was changed since ingestion (its mark is {found.mark}, it was {known.mark})"
        raise UserError(known.address.url, what, remedy)


def read_parts(parts: list[tuple[Address, int, int]]) -> list[bytes]:
    """Return bytes of objects of one store, several at a time.

    Args:
        parts: address, first byte, number of bytes of each.

    Raises:
        UserError: as `ask`; an object that ends before.
    """
    if not parts:
        return []

    def question(files: AbstractFileSystem, _: str) -> list[bytes]:
        paths = [str(files._strip_protocol(address.url)) for address, _, _ in parts]
        starts, ends = [start for _, start, _ in parts], [start + length for _, start, length in parts]
        return ranges_of(files, paths, starts, ends)

    found = ask(parts[0][0].url, question)
    for (address, start, length), data in zip(parts, found, strict=True):
        if len(data) != length:
            what = f"gave {len(data):,} of {length:,} bytes from byte {start:,} on"
            raise UserError(address.url, what, "put the object back, or run the ingest stage again")
    return found


def content_of(address: Address) -> bytes:
    """Return a whole object, a small one.

    Raises:
        UserError: as `ask`.
    """
    return ask(address.url, lambda files, path: bytes(files.cat_file(path)))


class ObjectStream(io.RawIOBase):
    """An object as a stream that can be read from and moved in; put a buffer of CHUNK bytes before it.

    Args:
        known: the object.
    """

    def __init__(self, known: Known) -> None:
        super().__init__()
        self.known, self._position = known, 0

    def readable(self) -> bool:
        """Return that it can be read from."""
        return True

    def seekable(self) -> bool:
        """Return that it can be moved in."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; returns the position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.known.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the object goes; returns how many bytes."""
        length = max(0, min(len(buffer), self.known.size - self._position))
        if length:
            buffer[:length] = read_parts([(self.known.address, self._position, length)])[0]
        self._position += length
        return length


def _listing(folder: str) -> Infos:
    """List a folder's objects by name; empty if listing is not allowed, in which case the objects may still exist."""
    try:
        return infos_in(folder)
    except UserError:
        return {}


def _looked_up(address: Address, listed: dict[str, Infos], setting: str) -> Known:
    folder, _, name = address.url.rpartition("/")
    info = listed.get(folder, {}).get(name) or ask(address.url, info_of, setting)
    if info.get("type") == "directory":
        where = f"{setting}: {address}" if setting else address.url
        raise UserError(where, "is a folder", f"name the shards in it: {address}/*.tar")
    return known_of(address, info)


def known_of(address: Address, info: dict[str, Any]) -> Known:
    """Return size and mark of an object, out of what its store says of it."""
    known = info | (info.get("lfs") or {} if isinstance(info.get("lfs"), dict) else {})
    mark = next((known[name] for name in MARKS if known.get(name)), "")
    if isinstance(mark, datetime):  # a listing may give seconds where a single lookup gives a date
        mark = mark.timestamp()
    return Known(address, int(info.get("size") or 0), str(mark).strip('"'))
