"""Commands that a report suggests."""

from __future__ import annotations

import re


def kedro_run(made_by: str | None, *options: str) -> str:
    """Return a `kedro run` in the environment of the command that made the report."""
    environment = re.search(r"--env[= ]\S+", made_by or "")
    return " ".join(["kedro run", *([environment[0]] if environment else []), *options])
