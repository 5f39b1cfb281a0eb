"""The Hugging Face hub as an object store: its own library against a hub on loopback, under sets, trainings and evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfFileSystem, constants

from superbatch.errors import UserError
from superbatch.evaluation import ingest_evaluation_sets, load_evaluation_sets
from superbatch.files import expand_shards
from superbatch.stores import asking
from superbatch.stores.address import Address
from superbatch.stores.copies import local_copy
from superbatch.stores.objects import look_at, look_at_all, read_parts
from tests.evaluation.handmade import classification_samples, write_classification_root, write_split
from tests.far_runs import assert_same_run, shards
from tests.hf_server import Hub, environment, refused, serving
from tests.object_server import Answer

POOL = "hf://datasets/me/pool/data"
FIRST = Address(f"{POOL}/0.tar")
BUSY = Answer(503, b"busy")


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(server: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub with a data set of shards, and a process that uses it; well-behaved at first."""
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    template = server.url + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)  # both are read when the library is imported
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("SUPERBATCH_SHARD_CACHE", raising=False)
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.01)
    HfFileSystem.clear_instance_cache()
    server.objects = {f"datasets/me/pool/data/{number}.tar": data for number, data in enumerate(shards())}
    server.behave()
    yield server
    server.behave()
    HfFileSystem.clear_instance_cache()


@pytest.mark.slow
def test_a_run_is_the_same_through_the_cache_by_ranges_and_on_files(hub: Hub, tmp_path: Path) -> None:
    assert_same_run(hub, POOL, BUSY, "/content", tmp_path)


def test_a_look_finds_what_changed_since_the_last(hub: Hub) -> None:
    """The hub's file system keeps the listings of folders; here each look asks."""
    before = look_at(FIRST)
    assert len(before.mark) == 64, "a SHA-256"
    hub.objects["datasets/me/pool/data/0.tar"] = bytes(before.size + 1)
    after = look_at(FIRST)
    assert after.size == before.size + 1 and after.mark != before.mark
    hub.objects |= {f"datasets/me/pool/data/{number}.tar": bytes(number) for number in range(2, 40)}
    assert len(expand_shards(f"{POOL}/*.tar")) == 40
    hub.requests.clear()
    many = look_at_all(Address(f"{POOL}/{number}.tar") for number in range(40))
    assert many[0] == after and len(hub.requests) < 8
    assert read_parts([(FIRST, before.size, 1)]) == [b"\0"], "what is there now, not what was listed"


def test_a_range_is_no_more_bytes_than_asked_for(hub: Hub) -> None:
    """The hub's file system would read 5 MiB ahead of each."""
    whole = hub.objects["datasets/me/pool/data/0.tar"]
    read_parts([(FIRST, 0, 1)])
    hub.requests.clear()
    assert read_parts([(FIRST, 100, 50), (FIRST, 7, 1)]) == [whole[100:150], whole[7:8]]
    assert {asked for _, _, asked in hub.requests} == {"bytes=100-149", "bytes=7-7"}
    assert len(hub.requests) == 4, "each once of the hub, and once of where that sends to"


EXPIRED = refused(401, "", "Invalid credentials in Authorization header")
GATED = refused(403, "GatedRepo", "Access to dataset me/pool is restricted")
FORBIDDEN = refused(403, "", "Your token lacks the right")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (EXPIRED, r"the credentials have expired \(.*Invalid credentials.*\); sign in again \(hf auth login\), or set HF_T"),
        (GATED, r"access is refused \(.*\); ask its owner for the right, or use other credentials$"),
        (FORBIDDEN, r"access is refused \(.*\); ask its owner for the right, or use other credentials$"),
    ],
)  # fmt: skip
def test_credentials_that_have_expired_or_are_refused(hub: Hub, answer: Answer, line: str) -> None:
    hub.always = answer
    with pytest.raises(UserError, match=rf"^hf://datasets/me/pool/data/0\.tar: {line}"):
        look_at(FIRST)
    with pytest.raises(UserError, match=rf"^ingest\.pool\.shards: {POOL}/\*\.tar: {line}".replace("/*", r"/\*")):
        expand_shards(f"{POOL}/*.tar", "ingest.pool.shards")


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (f"{POOL}/9.tar", "no such object; correct the address"),
        ("hf://datasets/me/none/9.tar", r"there is no such repository, or it is private; correct the address, or sign in \(hf"),
        ("hf://datasets/me/pool@v9/data/0.tar", "its repository has no such revision; correct what stands after @$"),
        ("hf://datasets/pool", r"the store does not take this address \(.*must be 'namespace/name'.*\); correct it$"),
    ],
)  # fmt: skip
def test_what_is_not_there(hub: Hub, url: str, line: str) -> None:
    with pytest.raises(UserError, match=rf"^{url}: {line}"):
        look_at(Address(url))


def test_folders_ends_and_networks(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=rf"^{POOL}: is a folder; name the shards in it: {POOL}/\*\.tar"):
        look_at_all([Address(POOL)])
    with pytest.raises(UserError, match=r"0\.tar: is shorter than it was; put the object back"):
        read_parts([(FIRST, 10**7, 9)])
    with monkeypatch.context() as context:
        context.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(UserError, match=r"0\.tar: HF_HUB_OFFLINE is set, so the hub is not asked; unset it$"):
            look_at(FIRST)
    monkeypatch.setattr(asking, "ATTEMPTS", 2)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"0\.tar: can't be reached: 2 attempts failed, the last with .*refused"):
        look_at(FIRST)


def test_an_evaluation_set_as_clip_benchmark_has_them_there(hub: Hub, tmp_path: Path) -> None:
    root = write_classification_root(tmp_path / "colours")
    for split in ("validation", "test"):
        write_split(root, split, classification_samples(8))
    for file in root.rglob("*.*"):
        hub.objects[f"datasets/me/colours/{file.relative_to(root)}"] = file.read_bytes()
    splits = {"validation": "validation", "test": "test"}
    here, far = {"colours": (root, splits)}, {"colours": ("hf://datasets/me/colours", splits)}
    for name, sets in (("here", here), ("far", far)):
        ingest_evaluation_sets(sets, tmp_path / name)
    by_path, by_address = (load_evaluation_sets(tmp_path / name) for name in ("here", "far"))
    assert [one.fingerprint for one in by_address] == [one.fingerprint for one in by_path]


def test_files_are_copied_as_they_are_now(hub: Hub, tmp_path: Path) -> None:
    for content in (b"one", b"another"):
        hub.objects["me/model/open_clip_config.json"] = content
        assert local_copy("hf://me/model/open_clip_config.json", tmp_path, list).read_bytes() == content
