"""The nodes of `ingest`: what stops a run, what only warns, what is kept for the next try, Data Docs on request."""

from __future__ import annotations

import gzip
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from superbatch.artifacts.stamps import Staged
from superbatch.config import IngestSettings, Storage
from superbatch.data import decode, scans
from superbatch.data.manifest import read_manifest, read_rejects
from superbatch.errors import UserError
from superbatch.pipelines.ingest import judging
from superbatch.pipelines.ingest.nodes import ingest_curated, ingest_evaluation, ingest_pool
from tests.data.shard_helpers import Members, encode, noise, tar_bytes

UNREAD = {"unread_shards_by_reason": {"shard_compressed": 3}}


def pairs(count: int, side: int = 16) -> Members:
    return [
        member
        for i in range(count)
        for member in ((f"{i}.png", encode(noise(i, side, side))), (f"{i}.txt", f"picture {i}".encode()))
    ]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with a pool of two shards: eight good samples, one bad."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tar").write_bytes(tar_bytes(pairs(8)))
    (tmp_path / "b.tar").write_bytes(tar_bytes([("x.png", encode(noise(9, 16, 16))), ("x.txt", b" ")]))
    return tmp_path


FAILED = "</i> Failed"  # as Great Expectations marks it
Run = Callable[..., Staged]


@pytest.fixture
def pool(place: Path) -> Run:
    def run(expect: dict[str, Any] | None = None, **more: Any) -> Staged:
        sets = {"pool": {"shards": "[ab].tar", "expect": expect or {}}, "curated": {"shards": "a.tar"}}
        evaluation = {"birds": {"root": "birds", "splits": {"validation": "one", "test": "two"}}}
        return ingest_pool(sets | {"evaluation": evaluation, "jobs": 1} | more, {"stages": "stages"} | DOCS)

    return run


DOCS = {"data_docs": "docs"}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    whole = scans.scan_shard
    monkeypatch.setattr(scans, "scan_shard", lambda shard, how: (names.append(shard.name), whole(shard, how))[1])
    return names


def test_what_became_of_a_set_is_said(pool: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "superbatch"):
        pool()
    assert "ingest.pool: 8 rows; 1 rejected (caption_empty 1)" in caplog.messages
    assert judging.told({"rows": 1_000, "rejected": 0, "rejected_by_reason": {}, "notes": {"alpha": 12}} | UNREAD) == (
        "1,000 rows; 0 rejected; shards not read whole: shard_compressed 3; alpha 12"
    )


def test_a_warning_lets_the_run_go_on(pool: Run, caplog: pytest.LogCaptureFixture) -> None:
    staged = pool({"rejected_share": {"max": 0.05, "severity": "warn"}})
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line == (
        "ingest.pool: expected rejected_share to be at most 0.05, found 0.111111 (caption_empty 1: write a caption, or "
        "leave the sample out; such as x (caption_empty)); the run continues (ingest.pool.expect.rejected_share.severity)"
    )
    found = json.loads((staged.path / "expectations.json").read_text())
    assert found["success"] and list(found["warnings"]) == ["rejected_share"]
    assert read_manifest(staged.path).num_rows == 8


def test_a_refused_set_is_not_read_again_for_other_expectations(pool: Run, place: Path, read: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        pool({"rejected_share": {"max": 0.05}})
    assert str(caught.value) == (
        "ingest.pool: expected rejected_share to be at most 0.05, found 0.111111 (caption_empty 1: write a caption, or "
        "leave the sample out; such as x (caption_empty)); see stages/refused/pool/rejects.parquet for the reasons, or change "
        "ingest.pool.expect.rejected_share"
    )
    assert read_rejects(place / "stages/refused/pool")["code"].to_pylist() == ["caption_empty"]
    assert read == ["a.tar", "b.tar"]
    pool({"rejected_share": {"max": 0.2}})
    assert read == ["a.tar", "b.tar"]
    assert not (place / "stages/scans/pool").exists()  # nobody needs them any more
    assert not list(place.rglob("*.tmp"))


def test_unread_shards_stop_a_run_and_the_line_says_how_to_go_on(pool: Run, place: Path) -> None:
    (place / "b.tar").write_bytes(gzip.compress(tar_bytes(pairs(8))))
    with pytest.raises(UserError) as caught:
        pool()
    line, _, allowed = str(caught.value).partition(", or continue without the unread parts: --params=")
    assert line.startswith(
        "ingest.pool: expected unread_shard_share to be at most 0, found 0.5 (shard_compressed 1: unpack the archive "
        "(gunzip, zstd -d); such as b.tar (shard_compressed)); expected unread_byte_share to be at most 0, found 0."
    )
    expect: dict[str, Any] = {}
    for setting in allowed.split(","):
        name, value = setting.removeprefix("ingest.pool.expect.").split("=")
        expect[name.removesuffix(".max")] = {"max": float(value)}
    assert read_manifest(pool(expect).path).num_rows == 8


def test_a_default_can_be_dropped(pool: Run, place: Path) -> None:
    (place / "a.tar").write_bytes(tar_bytes(pairs(8, side=8)))
    with pytest.raises(UserError, match=r"expected shorter_side to be at least 16 in 0\.5 of the samples, found 0 "):
        pool()
    assert read_manifest(pool({"shorter_side": None}).path).num_rows == 8


def test_thresholds_are_checked_before_anything_is_read(pool: Run, read: list[str]) -> None:
    with pytest.raises(UserError, match=r"^ingest\.pool\.expect\.rowz: the set has no such statistic"):
        pool({"rowz": {"min": 1}})
    for expect, words in [
        ({"rows": {"mni": 1}}, r"^ingest\.pool\.expect\.rows\.mni: unknown parameter; did you mean min\?"),
        (
            {"rows": {"min": 1, "severity": "shout"}},
            r"^ingest\.pool\.expect\.rows\.severity: 'shout' is unknown; known: stop, warn",
        ),
    ]:
        with pytest.raises(UserError, match=words):
            pool(expect)
    assert not read


def test_the_pixel_limit_is_a_parameter(pool: Run) -> None:
    staged = pool({"rejected_share": None}, max_pixels=16 * 16)
    assert read_manifest(staged.path).num_rows == 8
    with pytest.raises(UserError, match="0 usable samples .*image_too_large 9"):
        pool({"rejected_share": None}, max_pixels=16 * 16 - 1)
    with pytest.raises(UserError, match=r"^ingest\.max_pixels: 200000000 is too large"):
        pool(max_pixels=200_000_000)
    assert IngestSettings.model_fields["max_pixels"].default == decode.MAX_PIXELS


def test_what_was_ingested_is_up_to_date_until_something_changes(pool: Run, read: list[str]) -> None:
    marks = [pool().fingerprint, pool(jobs=2).fingerprint, pool(data_docs=True).fingerprint]
    assert len(set(marks)) == 1 and read == ["a.tar", "b.tar"]
    others = {
        pool(max_pixels=1_000).fingerprint,
        pool({"rows": {"min": 2}}).fingerprint,
        pool({"rows": {"min": 2, "severity": "warn"}}).fingerprint,
    }
    assert len(others | set(marks)) == 4


def test_no_data_docs_unless_they_are_asked_for(pool: Run, place: Path) -> None:
    pool()
    assert not (place / "docs").exists()
    pool(data_docs=True)  # the set is up to date: its summary is enough
    assert (place / "docs/pool/index.html").is_file()
    made = os.stat(place / "docs/pool").st_ino
    pool(data_docs=True)
    assert os.stat(place / "docs/pool").st_ino == made, "made again for nothing"


def test_data_docs_of_a_set_that_is_refused(pool: Run, place: Path) -> None:
    with pytest.raises(UserError, match="expected rows to be at least 100"):
        pool({"rows": {"min": 100}}, data_docs=True)
    pages = (place / "docs/pool/validations").rglob("*.html")
    assert [page.parts[-4] for page in pages if FAILED in page.read_text()] == ["statistics"]


def test_curated_and_evaluation_sets_the_same_way(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    birds = {"root": "birds", "splits": {"validation": "one", "test": "two"}}
    for split in ("one", "two"):
        (place / "birds" / split).mkdir(parents=True)
        (place / "birds" / split / "0.tar").write_bytes(tar_bytes(pairs(4)))
    (place / "birds/dataset_type.txt").write_text("retrieval")
    settings = {
        "pool": {"shards": "a.tar"},
        "curated": {"shards": "a.tar", "expect": {"rows": {"min": 9, "severity": "warn"}}},
        "evaluation": {"birds": birds | {"expect": {"rows": {"min": 5, "severity": "warn"}}}},
        "jobs": 1,
        "data_docs": True,
    }
    ingest_curated(settings, {"stages": "stages"} | DOCS)
    staged = ingest_evaluation(settings, {"stages": "stages"} | DOCS)
    warned = [record.getMessage().split(" to be")[0] for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == ["ingest.curated: expected rows"] + 2 * ["ingest.evaluation.birds: expected rows"]
    assert (staged.path / "birds/test/expectations.json").is_file()
    index = (place / "docs/evaluation/index.html").read_text()
    assert "ingest.evaluation.birds.validation" in index and "ingest.evaluation.birds.test" in index
    assert Storage().data_docs == "data/08_reporting/data_docs"


def test_evaluation_sets_of_a_store_are_made_anew_when_something_there_changes(place: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for split in ("one", "two"):
        memory.pipe(f"/sets/birds/{split}/0.tar", tar_bytes(pairs(4)))
    memory.pipe("/sets/birds/dataset_type.txt", b"retrieval")
    birds = {"root": "memory://sets/birds", "splits": {"validation": "one", "test": "two"}}
    settings = {
        "pool": {"shards": "a.tar"},
        "curated": {"shards": "a.tar"},
        "evaluation": {"birds": birds},
        "jobs": 1,
    }
    first = ingest_evaluation(settings, {"stages": "stages"})
    assert ingest_evaluation(settings, {"stages": "stages"}) == first
    assert list(read_manifest(first.path / "birds" / "test").objects) == ["memory://sets/birds/two/0.tar"]
    assert (first.path / "birds" / "dataset_type.txt").read_text() == "retrieval"
    memory.pipe("/sets/birds/dataset_type.txt", b"retrieval\n")
    assert ingest_evaluation(settings, {"stages": "stages"}).fingerprint != first.fingerprint
