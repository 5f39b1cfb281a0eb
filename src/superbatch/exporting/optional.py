"""Packages of the extra `export`: imported when needed; a one-line error names a missing one."""

from __future__ import annotations

from importlib.util import find_spec

from superbatch.errors import UserError

EXTRA = "pip install 'superbatch[export]'"


def require_packages(where: str, *names: str) -> None:
    """Refuse to begin without packages of the extra.

    Args:
        where: the setting that asks for them.
        names: as they are imported.

    Raises:
        UserError: the first that is missing.
    """
    for name in names:
        if find_spec(name) is None:
            raise UserError(where, f"needs the package {name}, which is not installed", EXTRA)
