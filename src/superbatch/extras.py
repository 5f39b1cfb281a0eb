"""Packages of the optional extras: one line where one is not installed, whoever needs it."""

from __future__ import annotations

from importlib.util import find_spec

from superbatch.errors import UserError


def require_packages(where: str, extra: str, *packages: str, otherwise: str = "") -> None:
    """Make sure that packages of an extra are installed; nothing is imported.

    Args:
        where: the setting that asks for them.
        extra: that brings them, as pyproject.toml names it.
        packages: as they are imported.
        otherwise: what else would help, such as "set it to false".

    Raises:
        UserError: the first that is missing.
    """
    for package in packages:
        if find_spec(package) is None:
            raise missing_package(where, package, of_extra(extra), otherwise)


def missing_package(where: str, package: str, requirement: str, otherwise: str = "") -> UserError:
    """Return the error that says of a package that it is missing, and how to install it.

    Args:
        where: what needs it. package: its name.
        requirement: what brings it, as pip takes it. otherwise: what else would help.
    """
    remedy = installing(requirement) + (f", or {otherwise}" if otherwise else "")
    return UserError(where, f"needs the package {package}, which is not installed", remedy)


def of_extra(extra: str) -> str:
    """Return an extra as pip takes it."""
    return f"superbatch[{extra}]"


def installing(requirement: str) -> str:
    """Return the remedy for what is not installed."""
    return f"run `pip install '{requirement}'`"
