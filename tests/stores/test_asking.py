"""Stores that fail: asked again with a limit, and told in one line that names the remedy."""

from __future__ import annotations

import io
import re
import sys
from datetime import UTC, datetime
from typing import Any

import fsspec
import pytest
from fsspec import AbstractFileSystem

from superbatch.errors import UserError
from superbatch.stores import asking
from superbatch.stores.address import Address, Known
from superbatch.stores.asking import ATTEMPTS, ask
from superbatch.stores.objects import CHUNK, ObjectStream, known_of, look_at, look_at_all, read_parts

URL = "memory://asking/a.tar"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """An object, and how long is waited between attempts, without waiting."""
    fsspec.filesystem("memory").pipe("/asking/a.tar", bytes(range(200)))
    found: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", found.append)
    return found


def failing(*errors: Exception):
    """A question that fails in these ways before it is answered."""
    left = list(errors)

    def question(files: AbstractFileSystem, path: str) -> str:
        if left:
            raise left.pop(0)
        return path

    return question


class ClientError(Exception):
    """As botocore has it."""

    __module__ = "botocore.exceptions"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.response = {"Error": {"Code": code, "Message": message}}


class NoCredentialsError(Exception):
    __module__ = "botocore.exceptions"


def from_store(kind: type[OSError], code: str, message: str) -> OSError:
    """An error as s3fs makes it of botocore's."""
    error = kind(message)
    error.__cause__ = ClientError(code, message)
    return error


def test_what_passes_is_asked_again(waits: list[float]) -> None:
    assert ask(URL, failing(TimeoutError("slow"), ConnectionResetError("gone"), OSError("busy"))) == "/asking/a.tar"
    assert len(waits) == 3 and all(0.8 * 0.5 * 2**i <= wait <= 1.2 * 0.5 * 2**i for i, wait in enumerate(waits))


def test_there_is_a_limit(waits: list[float]) -> None:
    with pytest.raises(
        UserError, match=rf"^{URL}: can't be reached: {ATTEMPTS} attempts failed, the last with busy; see"
    ):
        ask(URL, failing(*[OSError("busy")] * ATTEMPTS))
    assert len(waits) == ATTEMPTS - 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (from_store(PermissionError, "ExpiredToken", "It has expired."), r"the credentials have expired \(It has expired"),
        (NoCredentialsError("Unable to locate"), r"no credentials for this store were found; see to the credentials"),
        (from_store(PermissionError, "InvalidAccessKeyId", "Unknown key."), r"the credentials are not accepted \(Unknown"),
        (from_store(PermissionError, "AccessDenied", "No."), r"access is refused \(No\.\); ask its owner for the right"),
        (from_store(FileNotFoundError, "NoSuchBucket", "No bucket."), r"there is no such bucket \(No bucket\.\); correct"),
        (FileNotFoundError("a.tar"), "no such object; correct the address, or put the object back"),
        (OSError(28, "No space left on device"), r"there is no room left \(.*No space left on device\); make room there"),
        (OSError("Forbidden: b/mine/o\nno right"), r"access is refused \(Forbidden: b/mine/o no right\); ask its owner"),
        (ValueError("Bad Request: b/mine\nan invalid name"), r"the store does not take this address \(Bad Request: b/mine"),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_told_at_once(waits: list[float], error: Exception, line: str) -> None:
    with pytest.raises(UserError, match=rf"^ingest\.pool\.shards: {URL}: {line}"):
        ask(URL, failing(error), "ingest.pool.shards")
    assert waits == []


def test_remedies_are_the_stores_own() -> None:
    for protocol, remedy in (("s3", "aws sso login"), ("gs", "gcloud auth"), ("hf", "hf auth login")):
        assert remedy in str(asking._told("x", f"{protocol}://x", from_store(PermissionError, "ExpiredToken", "x")))


def test_mistakes_of_ours_are_not_hidden(waits: list[float]) -> None:
    with pytest.raises(TypeError, match="ours"):
        ask(URL, failing(TypeError("ours")))
    assert waits == []


@pytest.mark.parametrize(
    ("protocol", "package", "extra"), [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gs"), ("gcs", "gcsfs", "gs")]
)
def test_a_protocol_without_its_package(
    monkeypatch: pytest.MonkeyPatch, protocol: str, package: str, extra: str
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    monkeypatch.setitem(sys.modules, package, None)
    line = f"needs the package {package}, which is not installed; run `pip install 'superbatch[{extra}]'`"
    with pytest.raises(UserError, match=f"^{re.escape(f'{protocol}://b/x: {line}')}$"):
        ask(f"{protocol}://b/x", failing())
    with pytest.raises(UserError, match=r"^sftp://b/x: sftp:// needs a package .* \(Install s3fs .*\); install it$"):
        ask("sftp://b/x", failing())


def test_an_object_is_size_and_mark() -> None:
    before = look_at(Address(URL))
    fsspec.filesystem("memory").pipe("/asking/a.tar", bytes(200))
    after = look_at(Address(URL))
    assert before.size == after.size == 200 and before.mark != after.mark


@pytest.mark.parametrize(
    ("info", "mark"),
    [
        ({"ETag": '"s3"', "LastModified": "now"}, "s3"),
        ({"etag": "with metadata", "md5Hash": "md5", "crc32c": "crc", "mtime": "now"}, "md5"),
        ({"etag": "with metadata", "crc32c": "crc", "mtime": "now"}, "crc"),
        ({"blob_id": "of the pointer", "lfs": {"sha256": "sha", "size": 3}, "xet_hash": "xet"}, "sha"),
        ({"blob_id": "git's", "lfs": None}, "git's"),
        ({"created": datetime(2026, 1, 2, tzinfo=UTC)}, "1767312000.0"),
        ({}, ""),
    ],
)
def test_a_mark_is_a_digest_of_the_content_where_there_is_one(info: dict[str, Any], mark: str) -> None:
    assert known_of(Address(URL), info | {"size": 3}) == Known(Address(URL), 3, mark)


def test_many_are_looked_up_by_listing_their_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    addresses = [Address(f"memory://asking/many/{i}.tar") for i in range(12)]
    for i, address in enumerate(addresses):
        memory.pipe(address.url, bytes(i))
    each = [look_at(address) for address in addresses]
    monkeypatch.setattr(type(memory), "info", lambda *_, **__: pytest.fail("listed before"))
    assert look_at_all(addresses) == each
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"^ingest\.pool\.shards: memory://asking/many/99\.tar: no such object"):
        look_at_all([*addresses, Address("memory://asking/many/99.tar")], "ingest.pool.shards")
    with pytest.raises(
        UserError, match=r"memory://asking/many: is a folder; name the shards in it: memory://asking/many/\*"
    ):
        look_at_all([Address("memory://asking/many")])


def test_parts_and_streams_are_the_bytes() -> None:
    address, whole = Address(URL), bytes(range(200))
    assert read_parts([(address, 3, 5), (address, 0, 200), (address, 199, 1)]) == [whole[3:8], whole, whole[199:]]
    with pytest.raises(UserError, match=r"gave 10 of 20 bytes from byte 190 on; put the object back"):
        read_parts([(address, 190, 20)])
    with io.BufferedReader(ObjectStream(look_at(address)), CHUNK) as stream:
        assert stream.read(7) == whole[:7] and stream.seek(-5, io.SEEK_END) == 195 and stream.read() == whole[195:]
        assert stream.seek(10) == 10 and stream.read(2) == whole[10:12]
