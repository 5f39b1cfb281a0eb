"""All checks, in the order in which a reader would go through them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from superbatch.doctor.finding import Finding
from superbatch.doctor.machine import check_programs, check_room, check_torch, free_memory, usable_cores
from superbatch.doctor.packages import check_packages


def examine(env: str | None = None) -> Iterator[Finding]:
    """Check environment, machine and the project that the working directory is in; nothing is asked of a network.

    Args:
        env: the project's environment of configuration; None: `local`.
    """
    yield from check_packages()
    yield from check_torch(usable_cores())
    project = find_project()
    yield from check_room(project or Path.cwd(), free_memory())
    yield from check_programs()
    if project is not None:
        os.chdir(project)  # paths in parameters count from there
    yield from _check_project(project, env)


def find_project() -> Path | None:
    """Return the folder of the project that the working directory is in; None where there is none, or no Kedro to ask."""
    try:
        from kedro.utils import find_kedro_project
    except ImportError:
        return None
    found = find_kedro_project(Path.cwd())
    return Path(found) if found is not None else None


def _check_project(project: Path | None, env: str | None) -> Iterator[Finding]:
    """Check the project as far as the installed packages can read it; missing packages are already reported."""
    from superbatch.doctor.project import check_project

    try:
        yield from check_project(project, env)
    except ImportError as error:
        yield Finding("project", "missing", f"can't be read: {error}", "install what is missing first")
