"""A Google Cloud Storage on loopback: as much of its JSON API as gcsfs asks for. Its `objects` are named bucket/name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from tests.object_server import Answer, ObjectServer, part_of, told

OBJECT = re.compile(r"/storage/v1/b/([^/]+)(?:/o(?:/([^/]+))?)?")
DOWNLOAD = re.compile(r"/download/storage/v1/b/([^/]+)/o/([^/]+)")
UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
TIME = "2026-01-02T03:04:05.678Z"


@dataclass
class GoogleStorage(ObjectServer):
    """The store; a bucket is there as long as it has objects, or is one of `buckets`.

    Attributes:
        composite: objects that were put together of others have no MD5.
        touched: how often each object's metadata were changed, which its etag tells too.
    """

    buckets: set[str] = field(default_factory=set)
    composite: set[str] = field(default_factory=set)
    touched: dict[str, int] = field(default_factory=dict)

    def respond(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> Answer:
        """Answer a request as the store does."""
        if found := DOWNLOAD.fullmatch(path):
            name = f"{found[1]}/{unquote(found[2])}"
            return part_of(self.objects[name], headers) if name in self.objects else refused(404, "No such object")
        if found := UPLOAD.fullmatch(path):
            return self._upload(found[1], query, body)
        found = OBJECT.fullmatch(path)
        bucket, name = (found[1], unquote(found[2] or "")) if found else ("", "")
        if bucket not in self.buckets | {name.split("/")[0] for name in self.objects}:
            return refused(404, "The specified bucket does not exist.")
        if not name:
            return (
                self._list(bucket, query) if path.endswith("/o") else told({"kind": "storage#bucket", "name": bucket})
            )
        if f"{bucket}/{name}" not in self.objects:
            return refused(404, f"No such object: {bucket}/{name}")
        if method == "DELETE":
            del self.objects[f"{bucket}/{name}"]
            return Answer(204)
        return told(self._about(f"{bucket}/{name}"))

    def _about(self, full: str) -> dict[str, Any]:
        bucket, _, name = full.partition("/")
        data, touched = self.objects[full], self.touched.get(full, 1)
        about = {"kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(data)), "updated": TIME}
        about |= {"generation": "1", "metageneration": str(touched), "timeCreated": TIME}
        about |= {"etag": _base64(f"{touched}".encode() + data), "crc32c": _base64(b"crc" + data)[:6] + "=="}
        return about if full in self.composite else about | {"md5Hash": _base64(data)}

    def _list(self, bucket: str, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        items, folders = [], set()
        for full in sorted(self.objects):
            name = full.removeprefix(f"{bucket}/")
            if name == full or not name.startswith(prefix):
                continue
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                items.append(self._about(full))
        return told({"kind": "storage#objects", "items": items, "prefixes": sorted(folders)})

    def _upload(self, bucket: str, query: dict[str, str], body: bytes) -> Answer:
        """Take an object, with its name in one request or at an address that a first one gives."""
        if query["uploadType"] == "resumable":
            place = f"{self.url}/upload/storage/v1/b/{bucket}/o?uploadType=rest&name={quote(query['name'], safe='')}"
            return Answer(200, b"", {"Location": place})
        name = query.get("name", "")
        if query["uploadType"] == "multipart":
            _, metadata, content, _ = body.split(b"--==0==")
            name, body = json.loads(metadata.split(b"\n\n", 1)[1])["name"], content.split(b"\n\n", 1)[1][:-1]
        self.objects[f"{bucket}/{name}"] = body
        return told(self._about(f"{bucket}/{name}"))


def refused(status: int, message: str) -> Answer:
    """An error as the store puts it."""
    return told({"error": {"code": status, "message": message, "errors": []}}, status)


def _base64(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@contextmanager
def serving() -> Iterator[GoogleStorage]:
    """Run a store with nothing in it."""
    store = GoogleStorage()
    with store.serving():
        yield store


def environment(store: GoogleStorage) -> dict[str, str]:
    """What a process needs in its environment to use the server."""
    return {"STORAGE_EMULATOR_HOST": store.url, "FSSPEC_GS_TOKEN": "anon"}
