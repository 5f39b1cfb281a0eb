"""A Hugging Face hub on loopback: as much of its API as reading asks for. Its `objects` are named by address, without hf://.

Files are large ones (LFS): a look tells their SHA-256, a download leads to another place, as to the hub's content network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.object_server import Answer, ObjectServer, part_of, told

API = re.compile(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
FILE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.*)")
COMMIT = "5" * 40


@dataclass
class Hub(ObjectServer):
    """The hub; a repository is there as long as it has files."""

    def respond(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> Answer:
        """Answer a request as the hub does."""
        if path.startswith("/content/"):
            return part_of(self.objects[unquote(path.removeprefix("/content/"))], headers)
        if found := API.fullmatch(path):
            kind, repository, question, revision, inner = found.groups()
            if revision not in (None, "main"):
                return refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return self._about(kind, repository, question, unquote(inner or ""), body)
        if found := FILE.fullmatch(path):
            kind, repository, _, inner = found.groups()
            return self._download(f"{_root(kind or 'models', repository)}/{unquote(inner)}")
        return Answer(404)

    def _about(self, kind: str, repository: str, question: str | None, inner: str, body: bytes) -> Answer:
        root = f"{_root(kind, repository)}/"
        files = {name.removeprefix(root): data for name, data in self.objects.items() if name.startswith(root)}
        if not files:
            return refused(401, "RepoNotFound", "Repository not found")
        if question == "paths-info":
            wanted = parse_qs(body.decode())["paths"]
            folders = {name for name in wanted if any(file.startswith(f"{name}/") for file in files)}
            found = [
                _folder(name) if name in folders else _entry(name, files[name])
                for name in wanted
                if name in folders | files.keys()
            ]
            return told(found)
        if question == "tree":
            found = list(_children(files, inner))
            return told(found) if found else refused(404, "EntryNotFound", f"{inner} does not exist")
        return told({"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]})

    def _download(self, name: str) -> Answer:
        if name not in self.objects:
            return refused(404, "EntryNotFound", "Entry not found")
        digest = hashlib.sha256(self.objects[name]).hexdigest()
        size = str(len(self.objects[name]))
        about = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"', "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": size}
        return Answer(302, b"", about | {"Location": f"{self.url}/content/{name}"})


def _root(kind: str, repository: str) -> str:
    return repository if kind == "models" else f"{kind}/{repository}"


def _children(files: dict[str, bytes], inner: str) -> Iterator[dict[str, Any]]:
    """Files and folders of a folder."""
    prefix = f"{inner}/" if inner else ""
    below = {name: data for name, data in files.items() if name.startswith(prefix)}
    for folder in sorted({name.removeprefix(prefix).split("/")[0] for name in below if "/" in name[len(prefix) :]}):
        yield _folder(f"{prefix}{folder}")
    for name, data in sorted(below.items()):
        if "/" not in name[len(prefix) :]:
            yield _entry(name, data)


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}


def _entry(name: str, data: bytes) -> dict[str, Any]:
    pointer = hashlib.sha1(b"pointer" + data, usedforsecurity=False).hexdigest()
    lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return {"type": "file", "oid": pointer, "size": len(data), "path": name, "lfs": lfs}


def refused(status: int, code: str, message: str) -> Answer:
    """An error as the hub puts it."""
    return told({"error": message}, status, **{"X-Error-Code": code, "X-Error-Message": message})


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a hub with nothing in it."""
    hub = Hub()
    with hub.serving():
        yield hub


def environment(hub: Hub) -> dict[str, str]:
    """What a process needs in its environment to use the server."""
    return {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
