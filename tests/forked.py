"""Commands (`kedro`, `ipython`, `dvc`) in processes forked from ones that have imported what is slow to import: a fraction of the
time of fresh ones.

The servers that fork them are shared by all workers of a run of the tests.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.command_client import ask
from tests.project import ENVIRONMENT, PROJECT

PLACE = "SUPERBATCH_TESTS_SERVERS"  # environment variable: the folder of the servers' sockets

# The thread that waits must sleep, as in superbatch.settings, which is too late for a process that has loaded torch.
SERVER = ENVIRONMENT | {"GOMP_SPINCOUNT": "20000", "PYTHONPATH": f"{PROJECT}/src{os.pathsep}{PROJECT}"}

STANDS_IN = """\
#!{python} -IS
import os, sys
sys.path.insert(0, {project!r})
from tests.command_client import ask
sys.exit(ask({server!r}, "kedro", sys.argv[1:], os.getcwd(), os.environ, (0, 1, 2)))
"""


@dataclass(frozen=True)
class Done:
    """A finished command: exit code, and all that it wrote to the terminal."""

    returncode: int
    stdout: str
    stderr: str


def start_servers() -> None:
    """Start the servers for this process and for the workers it starts; they import nothing before somebody asks.

    A worker finds its own running already.
    """
    if PLACE in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="commands-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for ready in ("kedro", "dvc"):
        arguments = [sys.executable, "-m", "tests.command_server", ready, str(folder / f"{ready}.socket")]
        process = subprocess.Popen(arguments, cwd=PROJECT, env=SERVER, stdin=subprocess.PIPE)
        atexit.register(process.kill)
    script = folder / "bin" / "kedro"
    script.parent.mkdir()
    script.write_text(
        STANDS_IN.format(python=sys.executable, project=str(PROJECT), server=str(folder / "kedro.socket"))
    )
    script.chmod(0o755)
    os.environ[PLACE] = str(folder)


def server(program: str) -> Path:
    """Where the server listens that is ready for a program."""
    socket = Path(os.environ[PLACE], "dvc.socket" if program == "dvc" else "kedro.socket")
    until = time.monotonic() + 60
    while not socket.exists():
        assert time.monotonic() < until, f"the server for {program} did not start"
        time.sleep(0.05)
    return socket


def stand_in() -> str:
    """A PATH on which `kedro` is forked likewise, for those who start it themselves, such as DVC."""
    return f"{Path(os.environ[PLACE], 'bin')}{os.pathsep}{ENVIRONMENT['PATH']}"


def forked(
    program: str, folder: Path, *arguments: str, check: bool = False, seconds: float = 300, **environment: str
) -> Done:
    """Run `kedro`, `ipython` or `dvc` in a folder."""
    with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        streams = [stream.fileno() for stream in (nothing, out, err)]
        code = ask(server(program), program, arguments, folder, ENVIRONMENT | environment, streams, seconds)
        said = [stream.seek(0) or stream.read() for stream in (out, err)]
    done = Done(code, *said)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done
