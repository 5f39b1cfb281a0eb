"""One shard into manifest and rejects: each kind of bad sample by its reason, and nothing lost."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_helpers import Members, encode, noise, pairs, tar_bytes

from superbatch.data import shards as shards_module
from superbatch.data.ingest import ingest, unread_shares
from superbatch.data.manifest import MANIFEST_SCHEMA, REJECTS_SCHEMA, read_manifest, read_rejects
from superbatch.data.reasons import REASONS, REMEDIES
from superbatch.data.shards import ScanSettings, ShardScan, scan_shard, split_name
from superbatch.errors import UserError

Write = Callable[..., Path]
PNG = encode(noise())


def codes(scan: ShardScan) -> list[str]:
    return scan.rejects["code"].to_pylist()


def members(scan: ShardScan) -> int:
    return sum(scan.manifest["members"].to_pylist()) + sum(scan.rejects["members"].to_pylist())


def test_a_whole_sample(write_tar: Write) -> None:
    path = write_tar(
        [
            ("dir/a.b.png", PNG),
            ("dir/a.txt", b" two words \n"),
            ("dir/a.json", b'{"url": "x"}'),
            ("dir/a.cls", b"7\n"),
            ("dir/a.png", PNG),
        ]
    )
    scan = scan_shard(path)
    assert scan.manifest.schema == MANIFEST_SCHEMA and scan.rejects.schema == REJECTS_SCHEMA
    (row,) = scan.manifest.to_pylist()
    expected = {
        "key": "dir/a",
        "format": "png",
        "width": 8,
        "height": 8,
        "captions": ["two words"],
        "label": 7,
        "members": 5,
        "source": '{"url": "x"}',
        "notes": [],
    }
    assert {name: row[name] for name in expected} == expected
    assert path.read_bytes()[row["offset"] :][: row["length"]] == PNG
    assert row["sha256"] == hashlib.sha256(PNG).digest()


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ([("x.png", b""), ("x.txt", b"c")], "image_empty"),
        ([("x.png", PNG[:-30]), ("x.txt", b"c")], "image_truncated"),
        ([("x.jpg", b"no image here"), ("x.txt", b"c")], "image_corrupt"),
        ([("x.png", encode(noise(), "GIF")), ("x.txt", b"c")], "image_gif"),
        ([("x.gif", encode(noise(), "GIF")), ("x.txt", b"c")], "image_gif"),
        ([("x.svg", b"<svg/>"), ("x.txt", b" ")], "image_svg"),
        ([("x.png", b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='...'/>"), ("x.txt", b"c")], "image_svg"),
        ([("x.png", encode(noise(), "BMP")), ("x.txt", b"c")], "image_unsupported"),
        ([("x.heic", b"any"), ("x.txt", b"c")], "image_unsupported"),
        ([("x.png", encode(noise(0, 40, 40))), ("x.txt", b"c")], "image_too_large"),
        ([("x.png", PNG), ("x.jpg", PNG), ("x.txt", b"c")], "image_ambiguous"),
        ([("x.jpg", b"broken"), ("x.png", PNG), ("x.txt", b"c")], "image_ambiguous"),
        ([("x.txt", b"c"), ("x.json", b"{}")], "image_missing"),
        ([("x.png", PNG)], "caption_missing"),
        ([("x.png", PNG), ("x.txt", b"")], "caption_empty"),
        ([("x.png", PNG), ("x.txt", b" \r\n\t\xe2\x80\x89")], "caption_empty"),
        ([("x.png", PNG), ("x.txt", "\ufeff\u200b\u2060 \xad\x00\x1f".encode())], "caption_empty"),
        ([("x.png", PNG), ("x.txt", b"caf\xe9")], "caption_not_utf8"),
        ([("x.png", PNG), ("x.txt", b"w" * (1 << 20) + b"w")], "caption_too_long"),
        ([("x.png", PNG), ("x.txt", b"c"), ("x.json", b"{'a': 1}")], "json_invalid"),
        ([("x.png", PNG), ("x.txt", b"c"), ("x.json", b"[1]")], "json_invalid"),
        ([("x.png", PNG), ("x.txt", b"c"), ("x.json", b"[" * 100_000)], "json_invalid"),
        ([("x.png", PNG), ("x.txt", b"c"), ("x.cls", b"cat")], "label_invalid"),
        ([("x.png", PNG), ("x.txt", b"c"), ("x.cls", b"1.5")], "label_invalid"),
        ([("x.png", PNG), ("x.txt", b"c"), ("x.cls", b"-1")], "label_invalid"),
        ([("00000.png", PNG), ("00000.txt", b"another")], "duplicate_key"),
        ([("00000.txt", b"another")], "duplicate_key"),
        ([("noextension", PNG)], "bad_name"),
        ([(".hidden.png", PNG)], "bad_name"),
        ([("/etc/x.png", PNG)], "bad_name"),
        ([("../x.png", PNG)], "bad_name"),
        ([("..\\x.png", PNG)], "bad_name"),
        ([("\\\\host\\x.png", PNG)], "bad_name"),
        ([("C:\\x.png", PNG)], "bad_name"),
        ([("C:/x.png", PNG)], "bad_name"),
    ],
)
def test_each_reason(write_tar: Write, extra: Members, code: str) -> None:
    scan = scan_shard(write_tar(pairs(2) + extra), ScanSettings(max_pixels=1_000))
    assert codes(scan) == [code] and code in REASONS
    assert scan.manifest["key"].to_pylist() == ["00000", "00001"]
    assert scan.manifest["captions"].to_pylist() == [["picture 0"], ["picture 1"]]
    assert members(scan) == 6 + len(extra)
    assert len(scan.rejects["names"][0].as_py()) == len(extra)


def test_an_image_file_that_is_too_large_is_not_read(write_tar: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "MAX_IMAGE_BYTES", len(PNG) - 1)
    scan = scan_shard(write_tar([("a.png", PNG), ("a.txt", b"c")]))
    assert codes(scan) == ["image_too_large"] and "bytes are over the limit" in scan.rejects["detail"][0].as_py()


def test_names_that_are_not_utf8(write_tar: Write) -> None:
    scan = scan_shard(write_tar([("caf\udce9.png", PNG)], form=tarfile.GNU_FORMAT))
    assert codes(scan) == ["bad_name"] and scan.rejects["key"].to_pylist() == [r"caf\xe9.png"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.png", ("a", "png")),
        ("d.x/a.seg.PNG", ("d.x/a", "seg.png")),
        ("./a.txt", ("./a", "txt")),
        ("a", None),
        ("d/.b.txt", None),
        ("a.", None),
        ("x/../a.b", None),
    ],
)
def test_key_is_the_path_up_to_the_first_dot_of_its_last_part(name: str, parts: tuple[str, str] | None) -> None:
    assert split_name(name) == parts


def test_images_that_dots_in_keys_collapse_into_one_sample(write_tar: Write) -> None:
    scan = scan_shard(write_tar([(f"a.{i}.{ending}", PNG) for i in range(2) for ending in ("png", "txt")]))
    (reject,) = scan.rejects.to_pylist()
    assert (reject["key"], reject["code"], reject["members"]) == ("a", "image_missing", 4)
    assert reject["detail"] == (
        "has 0.png, 0.txt, 1.png, 1.txt; a key ends at the first dot, so '0.png' is taken for an extension: "
        "use keys without dots"
    )
    scan = scan_shard(write_tar([("a.png", PNG), *((f"a.{i}.txt", b"c") for i in range(100))]))
    assert codes(scan) == ["caption_missing"] and "0.txt, 1.txt, 10.txt, " in scan.rejects["detail"][0].as_py()
    assert "'0.txt' is taken for an extension" in scan.rejects["detail"][0].as_py()
    assert len(scan.rejects["detail"][0].as_py()) < 200
    scan = scan_shard(write_tar([("a.txt", b"c"), ("a.json", b"{}")]))
    assert scan.rejects["detail"].to_pylist() == ["has json, txt"]


def test_control_characters_in_captions_are_noted(write_tar: Write) -> None:
    texts = [b"tab\tand\r\nlines", b"a bell\x07", "\x85 of C1".encode(), "zero\u200dwidth".encode()]
    scan = scan_shard(write_tar([m for i, text in enumerate(texts) for m in ((f"{i}.png", PNG), (f"{i}.txt", text))]))
    assert scan.manifest["notes"].to_pylist() == [[], ["control"], ["control"], []]
    assert scan.manifest["captions"].to_pylist()[1:3] == [["a bell\x07"], ["\x85 of C1"]]


def test_captions_per_line(write_tar: Write) -> None:
    path = write_tar([("a.png", PNG), ("a.txt", "\ufeffone\r\n two \n\n three".encode())])
    assert scan_shard(path).manifest["captions"].to_pylist() == [["one\r\n two \n\n three"]]
    assert scan_shard(path, ScanSettings(captions_per_line=True)).manifest["captions"].to_pylist() == [
        ["one", "two", "three"]
    ]


def test_labels_without_captions(write_tar: Write) -> None:
    path = write_tar(
        [
            ("a.png", PNG),
            ("a.cls", b"0"),
            ("b.png", PNG),
            ("b.txt", b" "),
            ("b.cls", b"1"),
            ("c.txt", b"\xff"),
            ("c.png", PNG),
        ]
    )
    scan = scan_shard(path, ScanSettings(require_caption=False))
    assert scan.manifest.select(["captions", "label"]).to_pylist() == [
        {"captions": [], "label": 0},
        {"captions": [], "label": 1},
    ]
    assert codes(scan) == ["caption_not_utf8"]


def test_members_of_a_sample_may_lie_apart(write_tar: Write) -> None:
    shuffled = [pairs(3)[i] for i in (0, 3, 6, 7, 4, 1, 2, 8, 5)]
    scan = scan_shard(write_tar(shuffled))
    assert scan.manifest["captions"].to_pylist() == [["picture 0"], ["picture 1"], ["picture 2"]]


def test_compressed_empty_and_foreign_files(write_tar: Write) -> None:
    for data, code in [
        (gzip.compress(tar_bytes(pairs(1))), "shard_compressed"),
        (tar_bytes([]), "shard_empty"),
        (b"%PDF" * 999, "shard_not_tar"),
        (b"", "shard_truncated"),
    ]:
        scan = scan_shard(write_tar(data))
        assert codes(scan) == [code] and members(scan) == 0 and not len(scan.manifest)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258dad\nsize 12345\n"


@pytest.mark.parametrize(
    ("data", "code", "detail"),
    [
        (LFS, "shard_not_tar", "a pointer of Git LFS, not the file itself"),
        (b"<html>404: not found</html>" * 12, "shard_not_tar", "no tar header in it"),
        (b"filepath,caption\na.jpg,a\n", "shard_not_tar", "no tar header in it"),
        (PNG[:300], "shard_not_tar", "no tar header in it"),
        ("utf-16 text".encode("utf-16"), "shard_not_tar", "no tar header in it"),
        (b"", "shard_truncated", "the file is empty: 0 bytes"),
        (bytes(300), "shard_truncated", "no end-of-archive marker; the file ends at byte 300"),
        *(
            (tar_bytes(pairs(1))[:cut], "shard_truncated", f"no end-of-archive marker; the file ends at byte {cut}")
            for cut in (40, 100, 300, 511)
        ),
        (tar_bytes([("x" * 96 + ".png", PNG)])[:400], "shard_truncated", "no end-of-archive marker; the file ends at byte 400"),
    ],
)  # fmt: skip
def test_files_shorter_than_a_header(write_tar: Write, data: bytes, code: str, detail: str) -> None:
    scan = scan_shard(write_tar(data))
    assert codes(scan) == [code] and scan.rejects["detail"].to_pylist() == [detail]
    told = unread_shares(scan.rejects, 1, len(data))
    assert told["unread_shards_by_reason"] == {code: 1} and told["unread_byte_share"] == bool(data)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.tar: can't be read \(No such file"):
        scan_shard(tmp_path / "none.tar")


def test_links_and_sparse_members_are_refused(write_tar: Write) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind in [
            ("d", tarfile.DIRTYPE),
            ("a.png", tarfile.LNKTYPE),
            ("b.png", tarfile.SYMTYPE),
            ("c.png", tarfile.GNUTYPE_SPARSE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "x.png"
            tar.addfile(info)
    scan = scan_shard(write_tar(stream.getvalue()))
    assert codes(scan) == ["directory", "link", "link", "sparse"] and members(scan) == 4


def test_a_cut_keeps_what_is_complete(write_tar: Write) -> None:
    data = tar_bytes(pairs(3))
    headers = [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]
    inside = scan_shard(write_tar(data[: headers[7] + 515]))  # in the caption of the third sample
    assert inside.manifest["key"].to_pylist() == ["00000", "00001"]
    assert set(codes(inside)) == {"shard_truncated"} and members(inside) == 8
    between = scan_shard(write_tar(data[: headers[6]]))  # after the second: nobody can tell that it was complete
    assert between.manifest["key"].to_pylist() == ["00000"]
    assert set(codes(between)) == {"shard_truncated"} and members(between) == 6


def test_samples_beside_damage_are_not_trusted(write_tar: Write) -> None:
    data = bytearray(tar_bytes([m for i in range(4) for m in (*pairs(1, i), (f"{i:05d}.cls", str(i).encode()))]))
    headers = [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]
    data[headers[7]] ^= 0x80  # the label of the second sample
    scan = scan_shard(write_tar(bytes(data)))
    assert scan.manifest["key"].to_pylist() == ["00000", "00003"]
    assert sorted(codes(scan)) == ["header_corrupt", "shard_damaged", "shard_damaged"] and members(scan) == 16


class Archive(bytes):
    """Bytes that don't fill the screen when a case fails."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, int, set[str], dict[str, str]]:
    """Damage a shard (order, doubles, bits, a cut): its bytes, count of members, codes to expect, true captions."""
    source = pairs(4)
    order = (
        draw(st.lists(st.integers(0, len(source) - 1), min_size=1, max_size=16))
        if draw(st.booleans())
        else list(range(len(source)))
    )
    data = bytearray(tar_bytes([source[i] for i in order]))
    headers = [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]
    end = headers[-1] + 512 + -(-len(source[order[-1]][1]) // 512) * 512
    bad = set()
    for position in draw(st.lists(st.integers(0, end - 1), max_size=4, unique=True)):
        data[position] ^= 0x80
        if (
            position - position % 512 in headers and position % 512 != 155
        ):  # the byte after the checksum's end means nothing
            bad.add(position - position % 512)
    cut = draw(st.integers(1, len(data))) if draw(st.booleans()) else len(data)
    # Bad headers in a row are one stretch of damage: nobody can count what was in it. A header that is cut joins it.
    lost = [
        header
        for before, header in zip([-1, *headers], headers, strict=False)
        if before in bad and (header in bad or header + 512 > cut)
    ]
    count = sum(header < cut for header in headers) - sum(header < cut for header in lost)
    expected = {"header_corrupt"} if any(header + 512 <= cut for header in bad) else set()
    if cut < end + 512:
        expected.add("shard_truncated")
    return (
        Archive(data[:cut]),
        count,
        expected,
        {key: f"picture {int(key)}" for key in ("00000", "00001", "00002", "00003")},
    )


WHOLE = tar_bytes(pairs(3, first=2))  # a second shard; keys 00002 and 00003 may be in the damaged one too


@given(damaged())
@settings(deadline=None, max_examples=300, derandomize=True, database=None)
def test_damaged_shards_are_never_silent_and_never_fatal(case: tuple[bytes, int, set[str], dict[str, str]]) -> None:
    data, count, expected, captions = case
    with tempfile.TemporaryDirectory() as folder:
        shards = [Path(folder) / "damaged.tar", Path(folder) / "whole.tar"]
        shards[0].write_bytes(data)
        shards[1].write_bytes(WHOLE)
        summary = ingest(shards, Path(folder))
        rows, rejects = read_manifest(Path(folder)).frame().to_dict("records"), read_rejects(Path(folder)).to_pylist()
    assert summary["members"] == sum(row["members"] for row in rows) + sum(row["members"] for row in rejects)
    assert len({row["key"] for row in rows}) == len(rows) == summary["rows"]
    assert sum(row["members"] for row in rows + rejects if row["shard"] == str(shards[1])) == 9
    found = {row["code"] for row in rejects if row["shard"] == str(shards[0])}
    assert found <= REASONS.keys() == REMEDIES.keys()
    for row in rows:
        archive = data if row["shard"] == str(shards[0]) else WHOLE
        assert hashlib.sha256(archive[row["offset"] :][: row["length"]]).digest() == row["sha256"]
        # A flipped bit in a caption makes it invalid UTF-8, never another caption.
        assert list(row["captions"]) == [captions.get(row["key"], "picture 4")]
    if "shard_not_tar" in found:
        return  # not one good header left: nobody can count what was in it
    assert expected <= found
    assert sum(row["members"] for row in rows + rejects if row["shard"] == str(shards[0])) == count


def test_flipped_bits_in_pixels_are_found_by_the_checksum_of_png(write_tar: Write) -> None:
    broken = bytearray(PNG)
    broken[len(PNG) // 2] ^= 0x10
    scan = scan_shard(write_tar([("a.png", bytes(broken)), ("a.txt", b"c")]))
    assert codes(scan) == ["image_corrupt"]


def test_scanning_is_deterministic(write_tar: Write) -> None:
    path = write_tar([*pairs(3), ("x.png", b"\x89PNG\r\n\x1a\n" + bytes(np.arange(99, dtype=np.uint8)))])
    assert scan_shard(path).rejects.equals(scan_shard(path).rejects)
