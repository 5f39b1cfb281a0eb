"""Commands that a report suggests."""

from __future__ import annotations

import re

_ENV = re.compile(r"--env[= ](\S+)")


def environment(command: str | None) -> str:
    """The environment that a command reads; empty for none."""
    found = _ENV.search(command or "")
    return found[1] if found else ""


def kedro_run(made_by: str | None, *options: str) -> str:
    """Return a `kedro run` in the environment of the command that made the report."""
    env = environment(made_by)
    return " ".join(["kedro run", *([f"--env={env}"] if env else []), *options])
