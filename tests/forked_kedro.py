"""The `kedro` command in a process forked from one that has imported what is slow to import: a tenth of the time of a fresh one."""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.project import ENVIRONMENT

# Nothing of kedro.framework: it reads the project's logging.yml when it is imported.
PRELOAD = [
    "great_expectations.expectations.core.expect_column_values_to_be_between",
    "open_clip",
    "pandas",
    "superbatch.data.ingest",
    "superbatch.evaluation.run",
    "superbatch.evaluation.results",
    "superbatch.simweb",
    "superbatch.tasks",
]
_context = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Done:
    """A finished command: exit code, and all that it wrote to the terminal."""

    returncode: int
    stdout: str
    stderr: str


def forked_kedro(folder: Path, *arguments: str, seconds: float = 300) -> Done:
    """Run `kedro <arguments>` in a folder; settings must keep it to one process (`jobs: 1`)."""
    _context.set_forkserver_preload(PRELOAD)  # type: ignore[attr-defined]
    outputs = folder / ".stdout", folder / ".stderr"
    process = _context.Process(
        target=_main, args=(str(folder), ["kedro", *arguments], [str(path) for path in outputs], dict(ENVIRONMENT))
    )
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode is not None, f"kedro {' '.join(arguments)}: still running after {seconds:g} s"
    return Done(process.exitcode, *(path.read_text() for path in outputs))


def _main(folder: str, arguments: list[str], outputs: list[str], environment: dict[str, str]) -> None:
    """Be the command: standard output and error go to files."""
    os.environ.update(environment)
    os.chdir(folder)
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = arguments
    from kedro.framework.cli.cli import main

    sys.exit(main())
