"""The walk over an archive, beside tarfile on whole ones and by itself on damaged ones."""

from __future__ import annotations

import io
import tarfile

import pytest
from shard_helpers import pairs, tar_bytes

from superbatch.data.tar import Member, compression, walk

LONG = "a/" * 60 + "x" * 120 + ".png"
MEMBERS = [("a.png", b"1" * 700), (LONG, b"2" * 512), ("ünï.txt", b""), ("b.txt", b"3")]


class Counting(io.BytesIO):
    """A file that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def walk_bytes(data: bytes) -> list[Member]:
    return list(walk(io.BytesIO(data), len(data)))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_whole_archives_as_tarfile_reads_them(form: int) -> None:
    data = tar_bytes(MEMBERS, form)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        theirs = [(m.name, m.offset_data, m.size) for m in tar.getmembers()]
    assert [(m.name, m.data, m.size) for m in walk_bytes(data)] == theirs
    assert {m.kind for m in walk_bytes(data)} == {"file"}


def special(name: str, kind: bytes, **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (special("d/", tarfile.DIRTYPE), "directory"),
        (special("h.png", tarfile.LNKTYPE, linkname="a.png", size=700), "link"),
        (special("s.png", tarfile.SYMTYPE, linkname="/etc/passwd"), "link"),
        (special("f", tarfile.FIFOTYPE), "special"),
        (special("z.png", tarfile.GNUTYPE_SPARSE), "sparse"),
    ],
)
def test_members_that_are_no_files(header: bytes, kind: str) -> None:
    members = walk_bytes(header + tar_bytes(MEMBERS[:1]))
    assert [m.kind for m in members] == [kind, "file"]


def test_pax_sparse_and_size() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("z.png")
        info.pax_headers = {"GNU.sparse.major": "1"}
        tar.addfile(info)
    assert [m.kind for m in walk_bytes(stream.getvalue())] == ["sparse"]


def test_every_cut_is_noticed() -> None:
    data = tar_bytes(MEMBERS[:1] + MEMBERS[3:])
    end = len(data.rstrip(b"\0"))
    end += -end % 512
    for cut in range(0, end, 37):
        members = walk_bytes(data[:cut])
        assert members[-1].kind == "shard_truncated", cut
    for cut in range(end + 512, len(data) + 1, 512):
        assert [m.kind for m in walk_bytes(data[:cut])] == ["file", "file"]


def test_a_bad_header_costs_one_member() -> None:
    data = bytearray(tar_bytes(pairs(3)))
    names = [m.name for m in walk_bytes(bytes(data))]
    bad = walk_bytes(bytes(data))[4]
    data[bad.offset + 3] ^= 0x81
    members = walk_bytes(bytes(data))
    assert [m.kind for m in members] == ["file"] * 4 + ["header_corrupt"] + ["file"] * 4
    assert [m.name for m in members if m.kind == "file"] == names[:4] + names[5:]


def test_a_zeroed_header_is_no_end() -> None:
    data = bytearray(tar_bytes(pairs(2)))
    bad = walk_bytes(bytes(data))[3]
    data[bad.offset : bad.offset + 512] = bytes(512)
    assert [m.kind for m in walk_bytes(bytes(data))] == ["file"] * 3 + ["header_corrupt"] + ["file"] * 2


def test_a_hole_in_an_extended_header_is_read_once() -> None:
    """A piece of a download that never came: a hole of gigabytes may not take a pass for each of its blocks."""
    whole, hole = tar_bytes([(LONG, b"1")], tarfile.PAX_FORMAT), 4 << 20
    data = whole[:512] + bytes(hole) + tar_bytes(MEMBERS[:1])
    stream = Counting(data)
    assert [(m.kind, m.name) for m in walk(stream, len(data))] == [("header_corrupt", ""), ("file", "a.png")]
    assert stream.count < 3 * len(data)


def test_joined_archives_and_trailing_data() -> None:
    one, two = tar_bytes(pairs(1)), tar_bytes(pairs(1, first=1))
    assert [m.kind for m in walk_bytes(one + two)] == ["file"] * 3 + ["archive_gap"] + ["file"] * 3
    assert [m.kind for m in walk_bytes(one + b"checksum: 12")] == ["file"] * 3 + ["trailing_data"]


def test_no_tar_at_all() -> None:
    assert [m.kind for m in walk_bytes(b"hello" * 1_000)] == ["header_corrupt", "shard_truncated"]
    assert walk_bytes(bytes(10_240)) == []
    assert [m.kind for m in walk_bytes(b"")] == ["shard_truncated"]


def test_a_huge_extension_header_is_damage_not_memory() -> None:
    header = special("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=1 << 40)
    assert walk_bytes(header + tar_bytes(MEMBERS[:1]))[0].kind == "header_corrupt"


@pytest.mark.parametrize("records", [b"99 path=x\n", b"path=x\n", b"8 size=z\n", b"0 path=x\n", b"10 size=-1\n"])
def test_bad_pax_records(records: bytes) -> None:
    data = special("pax", tarfile.XHDTYPE, size=len(records)) + records.ljust(512, b"\0") + tar_bytes(MEMBERS[:1])
    assert "header_corrupt" in [m.kind for m in walk_bytes(data)]


def test_compression_by_magic() -> None:
    import bz2
    import gzip
    import lzma

    data = tar_bytes(pairs(1))
    assert [compression(f(data)[:8]) for f in (gzip.compress, bz2.compress, lzma.compress)] == ["gzip", "bzip2", "xz"]
    assert compression(data[:8]) is None
