"""A real S3 server on loopback (moto's), which can be slow, refuse, or break off; and how many requests it was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[str, bytes]  # status and body
EXPIRED = (
    "400 Bad Request",
    b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
)
BUSY = ("503 Service Unavailable", b"<Error><Code>ServiceUnavailable</Code><Message>Please wait.</Message></Error>")


@dataclass
class S3:
    """A server that runs, and what it does to requests.

    Attributes:
        url: where.
        delay: seconds before each answer.
        answers: instead of the server's own, one a request, until they are used up; `always` has them for all.
        requests: method and path of each.
    """

    url: str = ""
    delay: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)

    def wrap(self, application: Callable[..., Any]) -> Callable[..., Any]:
        """Put this before a WSGI application."""

        def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            time.sleep(self.delay)
            answer = self.always or (self.answers.pop(0) if self.answers else None)
            if answer is None:
                return application(environ, start_response)
            status, body = answer
            start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

        return wrapped


@contextmanager
def serving() -> Iterator[S3]:
    """Run a server with nothing in it."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open, as a store's do

        def log(self, *_: object) -> None:
            pass

    s3 = S3()
    application = s3.wrap(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    s3.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield s3
    finally:
        server.shutdown()
        thread.join()


def environment(s3: S3) -> dict[str, str]:
    """What a process needs in its environment to use the server."""
    return {
        "AWS_ENDPOINT_URL": s3.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",  # of botocore's own, which wait for seconds
    }
