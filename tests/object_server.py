"""A server of objects on loopback, as the stores' own libraries expect one: it can be slow, refuse, or be busy, and knows what it was asked."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Answer(NamedTuple):
    """What a server says: status, content and headers."""

    status: int
    content: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})


@dataclass
class ObjectServer:
    """A server that runs, what lies there, and what it does to requests.

    Attributes:
        objects: content by name.
        url: where.
        delay: seconds before each answer.
        answers: instead of the server's own, one a request, until they are used up; `always` has them for all.
        requests: method, path and range (empty for the whole) of each.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    delay: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    def respond(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> Answer:
        """Answer a request as the store does."""
        raise NotImplementedError

    def behave(self) -> None:
        """Be quick and in order again."""
        self.delay, self.always = 0.0, None
        self.answers.clear()
        self.requests.clear()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run."""
        server = _Quiet(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up: gcsfs asks two questions at once, and drops one."""


def told(content: Any, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json", **headers})


def part_of(content: bytes, headers: Any, **more: str) -> Answer:
    """An object, or the range of it that was asked for."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range") or "")
    if asked is None:
        return Answer(200, content, more)
    start, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
    if start > end:
        return Answer(416, b"", more | {"Content-Range": f"bytes */{len(content)}"})
    return Answer(206, content[start : end + 1], more | {"Content-Range": f"bytes {start}-{end}/{len(content)}"})


def _handler(server: ObjectServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open, as a store's do

        def answer(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.requests.append((self.command, unquote(parts.path), self.headers.get("Range") or ""))
            time.sleep(server.delay)
            found = server.always or (server.answers.pop(0) if server.answers else None)
            if found is None:
                found = server.respond(self.command, parts.path, query, body, self.headers)
            self.send_response(found.status)
            for name, value in {"Content-Length": str(len(found.content)), **found.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    return Handler
