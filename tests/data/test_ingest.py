"""Shards into a set: what is written, what adds up, what stops."""

from __future__ import annotations

import json
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_helpers import encode, noise, pairs

from superbatch.data import manifest as manifest_module
from superbatch.data.ingest import _merge, ingest
from superbatch.data.manifest import MANIFEST_FILE, MANIFEST_SCHEMA, REJECTS_SCHEMA, read_manifest, read_rejects
from superbatch.data.shards import ShardScan
from superbatch.errors import UserError

Write = Callable[..., Path]
REAL_DATA = Path(__file__).parents[3] / "shared" / "data"
BAD = [("bad.png", b"no picture"), ("bad.txt", b"c"), ("blank.png", encode(noise())), ("blank.txt", b" ")]


def test_three_files_that_add_up(write_tar: Write, tmp_path: Path) -> None:
    shards = [write_tar(pairs(3) + BAD, "a.tar"), write_tar(pairs(3, first=10), "b.tar")]
    summary = ingest(shards, tmp_path / "out")
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary
    counts = {
        "shards": 2,
        "members": 22,
        "rows": 6,
        "rejected": 2,
        "captions": 6,
        "distinct_captions": 6,
        "rejected_share": 0.25,
    }
    assert {name: summary[name] for name in counts} == counts
    assert summary["rejected_by_reason"] == {"image_corrupt": 1, "caption_empty": 1}
    assert summary["shorter_side"] == [8.0] * 5 and summary["formats"] == {"png": 6}
    assert read_manifest(tmp_path / "out").keys == ["00000", "00001", "00002", "00010", "00011", "00012"]
    assert read_rejects(tmp_path / "out")["key"].to_pylist() == ["bad", "blank"]
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


def test_any_number_of_jobs_gives_the_same_files(write_tar: Write, tmp_path: Path) -> None:
    shards = [write_tar(pairs(4, first=4 * i) + BAD, f"{i}.tar") for i in range(3)]
    ingest(shards, tmp_path / "one")
    ingest(shards, tmp_path / "two", jobs=2)
    for name in ("manifest.parquet", "rejects.parquet", "summary.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_key_of_an_earlier_shard_is_rejected(write_tar: Write, tmp_path: Path) -> None:
    shards = [write_tar(pairs(2), "a.tar"), write_tar(pairs(2, first=1), "b.tar")]
    summary = ingest(shards, tmp_path / "out")
    assert summary["members"] == 12 and summary["rejected_by_reason"] == {"duplicate_key": 1}
    manifest, (reject,) = read_manifest(tmp_path / "out"), read_rejects(tmp_path / "out").to_pylist()
    assert manifest.keys == ["00000", "00001", "00002"]
    assert (
        reject["key"] == "00001"
        and reject["members"] == 3
        and reject["shard"] == str(shards[1])
        and str(shards[0]) in reject["detail"]
    )


def test_a_repeated_key_among_more_text_than_32_bits_count() -> None:
    """All 130 tables share two texts of 8 MiB; only those of the first are copied."""
    row = {"shard": "", "length": 1, "format": "png", "width": 1, "height": 1, "captions": [], "sha256": bytes(32)}
    row |= {"source": "x" * (8 << 20), "notes": []}
    rows = [row | {"key": "a", "offset": 0, "members": 2}, row | {"key": "b", "offset": 512, "members": 3}]
    table, none = pa.Table.from_pylist(rows, MANIFEST_SCHEMA), REJECTS_SCHEMA.empty_table()
    column = MANIFEST_SCHEMA.get_field_index("shard"), MANIFEST_SCHEMA.field("shard")
    names = [f"{number}.tar" for number in range(130)]
    scans = [ShardScan(name, 1, table.set_column(*column, pa.array([name] * 2)), none) for name in names]
    found, rejects = _merge(scans)
    assert found["shard"].to_pylist() == ["0.tar"] * 2 and found["key"].to_pylist() == ["a", "b"]
    assert rejects["key"].to_pylist() == ["a", "b"] * 129 and rejects["members"].to_pylist() == [2, 3] * 129
    assert rejects["shard"].to_pylist()[::2] == names[1:] and set(rejects["detail"].to_pylist()) == {
        "0.tar has the key"
    }


def test_a_summary_of_more_text_than_32_bits_count_is_the_same(
    write_tar: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = [
        write_tar(pairs(3) + BAD, "a.tar"),
        write_tar([("9.png", encode(noise())), ("9.txt", "ä\nб".encode())], "b.tar"),
    ]
    summary = ingest(shards, tmp_path / "small", captions_per_line=True)
    assert {"latin", "cyrillic"} == set(summary["scripts"])
    monkeypatch.setattr(manifest_module, "MOST_TEXT", 1)
    assert ingest(shards, tmp_path / "large", captions_per_line=True) == summary


def test_fingerprint_follows_content_not_place(write_tar: Write, tmp_path: Path) -> None:
    def mark(name: str, members: list[tuple[str, bytes]], **kind: int) -> str:
        (tmp_path / name).mkdir()
        ingest([write_tar(members, f"{name}/x.tar", **kind)], tmp_path / name / "out")
        return read_manifest(tmp_path / name / "out").fingerprint

    same = mark("a", pairs(3))
    assert mark("b", pairs(3)) == same
    assert mark("c", pairs(3), form=tarfile.PAX_FORMAT) == same
    assert mark("d", pairs(4)) != same
    assert mark("e", [(n, b"other" if n == "00001.txt" else d) for n, d in pairs(3)]) != same


def test_too_few_samples_stop_and_leave_the_reasons(write_tar: Write, tmp_path: Path) -> None:
    good = write_tar(pairs(3), "good.tar")
    ingest([good], tmp_path / "out")
    with pytest.raises(UserError) as caught:
        ingest([write_tar(BAD, "bad.tar")], tmp_path / "out")
    line = str(caught.value)
    assert (
        "0 usable samples" in line
        and "bad.tar" in line
        and "image_corrupt 1" in line
        and "1 are needed" in line
        and "\n" not in line
    )
    assert not (tmp_path / "out" / MANIFEST_FILE).exists()  # the earlier set's rows don't lie beside this one's rejects
    assert read_rejects(tmp_path / "out")["code"].to_pylist() == ["image_corrupt", "caption_empty"]
    with pytest.raises(UserError, match=r"3 usable samples .* 4 are needed"):
        ingest([good], tmp_path / "out", min_rows=4)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the list is empty"):
        ingest([], tmp_path)
    with pytest.raises(UserError, match=r"gone\.tar: can't be read"):
        ingest([tmp_path / "gone.tar"], tmp_path / "out")


def test_settings_reach_the_scan(write_tar: Write, tmp_path: Path) -> None:
    path = write_tar(
        [
            ("a.png", encode(noise())),
            ("a.txt", b"one\ntwo"),
            ("b.png", encode(noise(1))),
            ("b.cls", b"3"),
            ("c.png", encode(noise(0, 20, 20))),
        ]
    )
    summary = ingest([path], tmp_path / "out", captions_per_line=True, require_caption=False, max_pixels=100)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.captions() == [["one", "two"], []] and manifest.labels.tolist() == [-1, 3]
    assert summary["rejected_by_reason"] == {"image_too_large": 1} and summary["labels"] == 1


def test_a_kill_while_writing_leaves_no_manifest(
    write_tar: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = write_tar(pairs(2))
    ingest([shard], tmp_path / "out")
    replace = os.replace

    def stop_before_manifest(source: object, target: object) -> None:
        if str(target).endswith(MANIFEST_FILE):
            raise KeyboardInterrupt
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr("os.replace", stop_before_manifest)
    with pytest.raises(KeyboardInterrupt):
        ingest([shard], tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST_FILE).exists()


def test_nothing_is_unpickled_or_run(write_tar: Write, tmp_path: Path) -> None:
    """Members with other extensions are counted and left alone, whatever a reader of theirs would do."""
    mark = tmp_path / "was run"
    pickled = pickle.dumps(Touch(mark))
    others = [(f"00000.{extension}", pickled) for extension in ("pyd", "pickle", "pkl", "pth", "pt", "npy", "py", "sh")]
    assert ingest([write_tar([*pairs(1), *others])], tmp_path / "out")["members"] == 3 + len(others)
    assert not mark.exists()
    pickle.loads(pickled)
    assert mark.exists()  # so the trap was a good one


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no ../shared/data")
@pytest.mark.parametrize(
    ("pattern", "rows"), [("demo-free/*.tar", 685), ("coco-mini-free/*.tar", 51), ("emoji/test_openmoji-*.tar", None)]
)
def test_real_shards(pattern: str, rows: int | None, tmp_path: Path) -> None:
    shards = sorted(REAL_DATA.glob(pattern))
    summary = ingest(shards, tmp_path / "out")
    assert summary["rejected"] == 0 and summary["members"] == 3 * summary["rows"]
    assert rows is None or summary["rows"] == rows
    for row in pq.read_table(tmp_path / "out/manifest.parquet").slice(0, 20).to_pylist():
        with tarfile.open(row["shard"]) as tar:
            member = next(m for m in tar if m.offset_data == row["offset"])
        assert member.size == row["length"] and member.name.startswith(row["key"] + ".")
