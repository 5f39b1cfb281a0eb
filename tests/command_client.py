"""Asks a server (command_server) for its command. Standard library only: it stands in for the command itself."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path


def ask(
    server: str | Path,
    program: str,
    arguments: Sequence[str],
    folder: str | Path,
    environment: Mapping[str, str],
    streams: Sequence[int],
    seconds: float | None = None,
) -> int:
    """Run `<program> <arguments>` in a folder, on three open streams; returns its exit code (negative: the signal it died of).

    Raises:
        TimeoutError: it was still running after so many seconds, and was killed.
    """
    request = {
        "program": program,
        "arguments": list(arguments),
        "folder": str(folder),
        "environment": dict(environment),
    }
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(server))
        socket.send_fds(connection, [b" "], list(streams))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile() as answer:
            process = int(answer.readline())
            try:
                return int(answer.readline())
            except TimeoutError:
                os.kill(process, 9)
                raise
