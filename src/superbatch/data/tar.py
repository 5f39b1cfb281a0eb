"""A walk over a tar archive that tells everything it meets, damage included.

`tarfile` ends silently at a damaged header and at many cuts; a manifest may not. Headers are parsed by `tarfile`
itself (checksums, number formats, names); the way from one to the next, and what happens at damage, is ours: after a
bad header the walk goes on at the next good one, and an archive counts as whole only with its end marker.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
NAME_FIELD = 100  # bytes at the beginning of a header
MAX_PADDING = 1 << 20  # bytes of zeros that a writer may put after the end (tar: 10 KiB, unless told otherwise)
MAX_EXTENSION = 1 << 20  # bytes of a long name or pax header; more is damage, not a name
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x9d": "compress",
    b"\x04\x22\x4d\x18": "lz4",
}
_PAX_RECORD = re.compile(rb"(\d{1,20}) ([^=\n]+)=")
_LONG_NAME, _LONG_LINK, _PAX, _SOLARIS, _PAX_GLOBAL = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One thing found in an archive.

    Attributes:
        kind: `file`, or the reason code of what can't be used: directory, link, sparse, special, header_corrupt,
        shard_truncated,
            archive_gap, trailing_data, trailing_zeros.
        name: as in the archive; empty where unknown. Bytes that are not UTF-8 are surrogates.
        offset: of its (first) header.
        data: offset of its first byte of data.
        size: bytes of data.
        count: members it stands for: 0 for a missing end marker, a gap, trailing data.
        unread: bytes of the archive in which members may be lost.
        detail: what is wrong.
    """

    kind: str
    name: str
    offset: int
    data: int = 0
    size: int = 0
    count: int = 1
    detail: str = ""
    unread: int = 0


class _Damage(Exception):
    """A header that makes no sense."""


class _Cut(Exception):
    """The file ends inside a header or its extension."""


def compression(head: bytes) -> str | None:
    """Name the compression that a file's first bytes show, None for none."""
    return next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)


def may_begin(head: bytes) -> bool:
    """Whether less than a block may be the beginning of a tar: a name that is filled up with zeros, or the format's own mark."""
    field = head[:NAME_FIELD]
    name, _, rest = field.partition(b"\0")
    return head[257:262] == b"ustar" or (len(name) < len(field) and not any(rest))


def walk(stream: BinaryIO, length: int) -> Iterator[Member]:
    """Yield the members of an archive in order, and whatever is wrong with it.

    Args:
        stream: a seekable file, at any position; the caller may read from it between members.
        length: its size in bytes.
    """
    position = 0
    while position < length:
        stream.seek(position)
        block = stream.read(BLOCK)
        if block == ZERO_BLOCK:
            after = _skip_zeros(stream, position, length)
            if after >= length:
                yield from _padding(position, length)
                return
            found, position = _after_zeros(stream, position, after, length)
            yield found
            if found.kind == "trailing_data":
                return
            continue
        try:
            member, position = _read_member(stream, position, block, length)
        except _Cut:
            yield _cut(position, length, count=int(any(block)))
            return
        except _Damage as error:
            start, position = position, _resync(stream, position + BLOCK, length)
            lost = position - start
            yield Member("header_corrupt", "", start, count=1, detail=f"{error}; {lost:,} bytes skipped", unread=lost)
            continue
        if member.data + member.size > length:
            yield Member(
                "shard_truncated",
                member.name,
                member.offset,
                detail=f"the file ends at byte {length:,}, inside this member",
                unread=length - member.offset,
            )
            return
        yield member
    yield _cut(length, length, count=0)


def _cut(position: int, length: int, count: int) -> Member:
    return Member(
        "shard_truncated",
        "",
        position,
        count=count,
        detail=f"no end-of-archive marker; the file ends at byte {length:,}"
        if length
        else "the file is empty: 0 bytes",
        unread=length - position,
    )


def _padding(start: int, length: int) -> Iterator[Member]:
    """Tell whether there are more zeros after the end than any writer adds: the file was allocated before its content arrived."""
    if length - start > MAX_PADDING:
        detail = f"{length - start:,} bytes of zeros after the end of the archive"
        yield Member("trailing_zeros", "", start, count=0, detail=detail, unread=length - start)


def _read_member(stream: BinaryIO, start: int, block: bytes, length: int) -> tuple[Member, int]:
    """Parse one member with its extension headers, and return it with the position of the next header."""
    plain = _plain_file(block)
    if plain is not None:
        return Member("file", plain[0], start, start + BLOCK, plain[1]), start + BLOCK + _padded(plain[1])
    position, name, pax = start, None, dict[str, str]()
    while True:
        header = _parse(block)
        position += BLOCK
        if header.type not in (_LONG_NAME, _LONG_LINK, _PAX, _SOLARIS, _PAX_GLOBAL):
            break
        body = _extension(stream, header, length)
        if header.type == _LONG_NAME:
            name = body.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        elif header.type in (_PAX, _SOLARIS):
            pax |= _pax_records(body)
        position += _padded(header.size)
        block = stream.read(BLOCK)
    name = pax.get("path", name if name is not None else header.name)
    if header.type == tarfile.GNUTYPE_SPARSE:
        position = _skip_sparse_map(stream, block, position)
    size = _pax_size(pax, header.size)
    has_data = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
    kind = "sparse" if any(key.startswith("GNU.sparse") for key in pax) else _kind(header, name)
    return Member(kind, name, start, position, size if has_data else 0), position + (_padded(size) if has_data else 0)


def _plain_file(block: bytes) -> tuple[str, int] | None:
    """Return name and size of the most common header, a file with a short name; None for any other, and for a bad one.

    `tarfile` takes five times as long, which was more than half of ingestion.
    """
    if len(block) < BLOCK or block[156:157] != b"0" or block[257:262] != b"ustar" or block[345] or block[124] & 0x80:
        return None
    try:
        checksum, size = int(block[148:156].strip(b" \0"), 8), int(block[124:136].strip(b" \0"), 8)
        name = block[:100].rstrip(b"\0").decode("ascii")
    except ValueError:
        return None
    # The checksum is taken with its own field as eight spaces.
    good = (
        sum(block) - sum(block[148:156]) + 8 * 32 == checksum
        and "\0" not in name
        and not name.endswith("/")
        and size >= 0
    )
    return (name, size) if good else None


def _parse(block: bytes) -> tarfile.TarInfo:
    if len(block) < BLOCK:
        raise _Cut
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise _Damage(f"{error} in the header at this offset") from None
    except (ValueError, OverflowError, IndexError) as error:  # invalid digits, although the checksum is right
        raise _Damage(f"bad header ({error})") from None
    if header.size < 0:
        raise _Damage("a negative size in the header")
    return header


def _extension(stream: BinaryIO, header: tarfile.TarInfo, length: int) -> bytes:
    if header.size > MAX_EXTENSION:
        raise _Damage(f"an extension header of {header.size:,} bytes")
    body = stream.read(_padded(header.size))
    if len(body) < _padded(header.size):
        raise _Cut
    return body[: header.size]


def _pax_records(body: bytes) -> dict[str, str]:
    """Parse `length key=value` lines."""
    records, position = dict[str, str](), 0
    while position < len(body) and body[position] != 0:
        match = _PAX_RECORD.match(body, position)
        end = position + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(body) or body[end - 1 : end] != b"\n":
            raise _Damage("an extended header that makes no sense")
        records[match[2].decode("utf-8", "surrogateescape")] = body[match.end() : end - 1].decode(
            "utf-8", "surrogateescape"
        )
        position = end
    return records


def _pax_size(pax: dict[str, str], size: int) -> int:
    if "size" not in pax:
        return size
    if not re.fullmatch(r"\d{1,18}", pax["size"], re.ASCII):
        raise _Damage("a size in an extended header that is not a number")
    return int(pax["size"])


def _skip_sparse_map(stream: BinaryIO, block: bytes, position: int) -> int:
    """Skip the blocks that go on with the map of an old GNU sparse file; the data lies behind them."""
    more = block[482]
    while more:
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            raise _Cut
        position, more = position + BLOCK, block[504]
    return position


def _kind(header: tarfile.TarInfo, name: str) -> str:
    if header.type == tarfile.GNUTYPE_SPARSE:
        return "sparse"
    if header.isdir() or (header.isreg() and name.endswith("/")):
        return "directory"
    if header.islnk() or header.issym():
        return "link"
    return "file" if header.isreg() else "special"


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _skip_zeros(stream: BinaryIO, start: int, length: int) -> int:
    """Return the position of the first block from `start` on that is not zero; `length` where there is none."""
    position = start - start % BLOCK
    stream.seek(position)
    while position < length:
        chunk = stream.read(1 << 20)
        if chunk.strip(b"\0"):
            first = len(chunk) - len(chunk.lstrip(b"\0"))
            return position + first - first % BLOCK
        position += len(chunk)
    return length


def _after_zeros(stream: BinaryIO, start: int, after: int, length: int) -> tuple[Member, int]:
    """Judge what follows zero blocks that are not the end of the file."""
    found = _resync(stream, after, length)
    span = f"zero blocks at bytes {start:,} to {after:,}"
    if found >= length and after - start >= 2 * BLOCK:
        lost = length - after
        detail = f"{lost:,} bytes after the end of the archive"
        return Member("trailing_data", "", after, count=0, detail=detail, unread=lost), length
    if found == after:
        hole = after - start if after - start > MAX_PADDING else 0
        detail = f"{span}, with members after them"
        return Member("archive_gap", "", start, count=0, detail=detail, unread=hole), found
    lost = found - start
    return Member("header_corrupt", "", start, detail=f"{span}; {lost:,} bytes skipped", unread=lost), found


def _resync(stream: BinaryIO, start: int, length: int) -> int:
    """Return the position of the next good header at or after `start`, or of the end marker; else `length`."""
    position = start
    stream.seek(position)
    while position < length:
        block = stream.read(BLOCK)
        if block[257:262] == b"ustar" and _is_header(block):
            return position
        if block != ZERO_BLOCK:
            position += BLOCK
            continue
        after = _skip_zeros(stream, position, length)
        if after >= length:
            return position
        position = after  # past the whole hole: from each of its blocks anew, it would take time by its square
        stream.seek(position)
    return length


def _is_header(block: bytes) -> bool:
    try:
        _parse(block)
    except (_Damage, _Cut):
        return False
    return True
