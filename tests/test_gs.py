"""Google Cloud Storage for real, but for Google: gcsfs against a server on loopback, under sets, trainings and directories."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from superbatch.artifacts.stamps import build_once
from superbatch.datasets.aside import TextDataset
from superbatch.errors import UserError
from superbatch.files import expand_shards
from superbatch.stores import asking, kinds
from superbatch.stores.address import Address
from superbatch.stores.directories import bring_directory, has_directory, send_directory
from superbatch.stores.objects import look_at, look_at_all, read_parts
from tests.far_runs import assert_same_run, shards
from tests.gs_server import GoogleStorage, environment, refused, serving
from tests.object_server import Answer

pytestmark = pytest.mark.extras
FIRST = Address("gs://mine/pool/0.tar")
BUSY = refused(503, "We encountered an internal error. Please try again.")


@pytest.fixture(scope="module")
def server() -> Iterator[GoogleStorage]:
    pytest.importorskip("gcsfs")  # as whoever imports it first
    with serving() as store:
        yield store


@pytest.fixture
def gs(server: GoogleStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleStorage]:
    """The server with a bucket of shards, and a process that uses it; well-behaved at first."""
    import fsspec

    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SUPERBATCH_SHARD_CACHE", raising=False)
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})  # what FSSPEC_GS_TOKEN gives a process that starts
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.01)
    server.objects = {f"mine/pool/{number}.tar": data for number, data in enumerate(shards())}
    server.buckets = {"mine"}
    server.behave()
    yield server
    server.behave()


def test_a_run_is_the_same_through_the_cache_by_ranges_and_on_files(gs: GoogleStorage, tmp_path: Path) -> None:
    assert_same_run(gs, "gs://mine/pool", BUSY, "/download", tmp_path)


def test_a_look_finds_what_changed_and_not_what_was_only_touched(gs: GoogleStorage) -> None:
    before = look_at(FIRST)
    gs.touched["mine/pool/0.tar"] = 2  # its metadata were changed, and with them its etag
    assert look_at(FIRST) == before
    gs.objects["mine/pool/0.tar"] = bytes(before.size)
    assert look_at(FIRST).mark != before.mark
    gs.composite.add("mine/pool/0.tar")
    assert look_at(FIRST).mark.endswith("=="), "its CRC32C, where there is no MD5"
    gs.objects |= {f"mine/many/{number}.tar": bytes(9) for number in range(40)}
    gs.requests.clear()
    many = look_at_all(Address(f"gs://mine/many/{number}.tar") for number in range(40))
    assert many[0] == look_at(many[0].address) and len(gs.requests) < 8


def test_a_range_is_one_request_and_no_more_bytes(gs: GoogleStorage) -> None:
    gs.requests.clear()
    whole = gs.objects["mine/pool/0.tar"]
    assert read_parts([(FIRST, 100, 50), (FIRST, 7, 1)]) == [whole[100:150], whole[7:8]]
    assert sorted(asked for _, _, asked in gs.requests) == ["bytes=100-149", "bytes=7-7"]


ANONYMOUS = refused(
    401, "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object."
)
FORBIDDEN = refused(403, "me@mine does not have storage.objects.get access")
PAYS = refused(400, "Bucket is requester pays bucket but no user project provided.")
NAMED = refused(400, "Invalid bucket name: 'A_'")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (ANONYMOUS, r"no credentials for this store were found; sign in \(gcloud auth application-default login\)"),
        (FORBIDDEN, r"access is refused \(Forbidden: .*me@mine does not have storage.objects.get access\); ask its owner"),
        (PAYS, r"who reads this bucket pays for it; set FSSPEC_GS_REQUESTER_PAYS to the project that pays$"),
        (NAMED, r"the store does not take this address \(Invalid bucket name: 'A_', 400\); correct it$"),
    ],
)  # fmt: skip
def test_what_no_further_attempt_will_change_is_told_at_once(
    gs: GoogleStorage, answer: Answer, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    gs.always = answer
    with caplog.at_level(logging.INFO):
        with pytest.raises(UserError, match=rf"^gs://mine/pool/0\.tar: {line}"):
            look_at(FIRST)
        with pytest.raises(UserError, match=rf"^gs://mine/pool/0\.tar: {line}"):
            read_parts([(FIRST, 0, 9)])
        with pytest.raises(UserError, match=rf"^ingest\.pool\.shards: gs://mine/pool/\*\.tar: {line}"):
            expand_shards("gs://mine/pool/*.tar", "ingest.pool.shards")
    assert caplog.messages == [], "one line says it, and no traceback above it"


def test_what_is_not_there(gs: GoogleStorage) -> None:
    for url in ("gs://mine/pool/9.tar", "gs://nobodys/0.tar"):
        with pytest.raises(UserError, match=rf"^{url}: no such object; correct the address"):
            look_at(Address(url))
    with pytest.raises(UserError, match=r"^shards: gs://mine/none/\*\.tar: no such shard; correct the address"):
        expand_shards("gs://mine/none/*.tar")
    with pytest.raises(UserError, match=r"^gs://mine/pool/0\.tar: is shorter than it was; put the object back"):
        read_parts([(FIRST, 10**7, 9)])


def test_gcsfs_asks_for_no_layout_unless_it_is_told_to(gs: GoogleStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes a minute for each request where nobody answers, also when gcsfs was imported before us."""
    from fsspec import register_implementation
    from gcsfs.core import GCSFileSystem
    from gcsfs.extended_gcsfs import ExtendedGcsFileSystem

    for wanted, kind in (("true", ExtendedGcsFileSystem), ("false", GCSFileSystem)):
        monkeypatch.setenv(kinds.ASKS_LAYOUT, wanted)
        register_implementation("gs", ExtendedGcsFileSystem, clobber=True)
        assert type(asking.filesystem(FIRST.url)[0]) is kind


def test_pages_of_the_report_go_there(gs: GoogleStorage) -> None:
    page = TextDataset(filepath="gs://mine/report/report.html")
    page.save("<!doctype html>")
    assert gs.objects["mine/report/report.html"] == b"<!doctype html>" and page.load() == "<!doctype html>"


def test_a_directory_goes_there_and_comes_back(gs: GoogleStorage, tmp_path: Path) -> None:
    made = build_once("x", "0" * 16, tmp_path / "stages", lambda out: (out / "w.bin").write_bytes(bytes(99)) and None)
    assert not has_directory("gs://mine/models/jest")
    assert send_directory(made.path, "gs://mine/models/jest") and not send_directory(made.path, "gs://mine/models/jest")
    assert gs.objects["mine/models/jest/w.bin"] == bytes(99)
    bring_directory("gs://mine/models/jest", tmp_path / "back")
    assert (tmp_path / "back" / "w.bin").read_bytes() == bytes(99)
