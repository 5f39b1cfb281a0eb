"""The `kedro` command in a process forked from one that has imported what is slow to import: a tenth of the time of a fresh one."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kedro_client import ask
from tests.project import ENVIRONMENT, ONE_THREAD, PROJECT, copy_project

# The thread that waits must sleep, as in superbatch.settings, which is too late for a process that has loaded torch.
SERVER = ENVIRONMENT | {"GOMP_SPINCOUNT": "20000", "PYTHONPATH": f"{PROJECT}/src{os.pathsep}{PROJECT}"}

SMALL = "simweb.pool_pairs=400"  # in every run that renders the pool of `ready_project`

STANDS_IN = """\
#!{python} -IS
import os, sys
sys.path.insert(0, {project!r})
from tests.kedro_client import ask
sys.exit(ask({server!r}, sys.argv[1:], os.getcwd(), os.environ, (0, 1, 2)))
"""


@dataclass(frozen=True)
class Done:
    """A finished command: exit code, and all that it wrote to the terminal."""

    returncode: int
    stdout: str
    stderr: str


@functools.cache
def server() -> Path:
    """Where the server listens; one a process that tests."""
    folder = Path(tempfile.mkdtemp(prefix="kedro-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [sys.executable, "-m", "tests.kedro_server", str(folder / "socket")]
    process = subprocess.Popen(command, cwd=PROJECT, env=SERVER, stdin=subprocess.PIPE)
    atexit.register(process.kill)
    until = time.monotonic() + 300
    while not (folder / "socket").exists():
        assert process.poll() is None and time.monotonic() < until, "the server for kedro did not start"
        time.sleep(0.05)
    return folder / "socket"


def forked_kedro(folder: Path, *arguments: str, check: bool = False, seconds: float = 300, **environment: str) -> Done:
    """Run `kedro <arguments>` in a folder; settings must keep it to one process (`jobs: 1`)."""
    outputs = folder / ".stdout", folder / ".stderr"
    with open(os.devnull) as nothing, open(outputs[0], "w") as out, open(outputs[1], "w") as err:
        streams = [stream.fileno() for stream in (nothing, out, err)]
        code = ask(server(), arguments, folder, ENVIRONMENT | environment, streams, seconds)
    done = Done(code, *(path.read_text() for path in outputs))
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


@functools.cache
def stand_in() -> str:
    """A PATH on which `kedro` is forked likewise, for those who start it themselves, such as DVC."""
    script = server().with_name("kedro")
    script.write_text(STANDS_IN.format(python=sys.executable, project=str(PROJECT), server=str(server())))
    script.chmod(0o755)
    return f"{script.parent}{os.pathsep}{ENVIRONMENT['PATH']}"


def ready_project(folder: Path) -> None:
    """Make a project in `<folder>/project` with everything a learner reads, of the quick environment: a small pool, a reference
    of two steps, its embeddings."""
    small = f"{SMALL},{ONE_THREAD},reference.training.steps=2,reference.training.evaluate_every=2"
    stages = "--pipelines=simweb,ingest,reference,embed"
    forked_kedro(copy_project(folder / "project"), "run", stages, "--env=quick", f"--params={small}", check=True)
