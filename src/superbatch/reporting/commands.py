"""Commands that a report, an advice or a page suggests: as the command that made it was given, but for what they change."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from superbatch.nested import entries_of

PARAMS = "--params="
_ENV = re.compile(r"--env[= ](\S+)")


def environment(command: str | None) -> str:
    """The environment that a command reads; empty for none."""
    found = _ENV.search(command or "")
    return found[1] if found else ""


def kedro_run(made_by: str | None, *options: str, params: Sequence[str] = (), without: Sequence[str] = ()) -> str:
    """Return a `kedro run` with the environment and the parameters of another command.

    Args:
        made_by: that command.
        options: of this one, such as `--pipelines=report`.
        params: that it adds, `key=value`. They replace those of the same name, and of this name in a method's own block.
        without: blocks whose parameters are left out.
    """
    env = environment(made_by)
    kept = [one for one in parameters(made_by) if not _is_replaced(_key(one), list(map(_key, params)), without)]
    given = [f"{PARAMS}{','.join([*kept, *params])}"] if kept or params else []
    return shlex.join(["kedro", "run", *options, *([f"--env={env}"] if env else []), *given])


def parameters(command: str | None) -> list[str]:
    """The parameters that a command was given, `key=value`."""
    words = shlex.split(command or "")
    return [entry for word in words if word.startswith(PARAMS) for entry in entries_of(word.removeprefix(PARAMS))]


def _key(entry: str) -> str:
    return entry.partition("=")[0]


def _is_replaced(key: str, new: Sequence[str], without: Sequence[str]) -> bool:
    return key.partition(".")[0] in without or any(key == one or key.endswith(f".{one}") for one in new)
