"""What `--params` is given: settings by dotted name, with lists and mappings as YAML has them."""

from __future__ import annotations

from typing import Any

import click

from superbatch.errors import UserError
from superbatch.nested import entries_of

EXAMPLE = "write key=value, with commas between, such as --params=learner.training.steps=100,search.runs=[jest,uniform]"


def split_params(_: click.Context, __: click.Parameter, value: Any) -> dict[str, Any]:
    """Return the settings that `--params` gives, nested: click's callback. Errors as of `read_params`."""
    return value if isinstance(value, dict) else read_params(value or "")


def read_params(text: str) -> dict[str, Any]:
    """Read what `--params` is given as nested settings.

    Kedro's own splits at every comma, so that no list of two could be given.

    Raises:
        click.ClickException: an entry without a key, or a value that YAML or OmegaConf can't read.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    entries = []
    for entry in _entries(text):
        key, equals, given = (part.strip() for part in entry.partition("="))
        if not key or not equals:
            raise click.ClickException(f"--params: {entry!r} is no key=value; {EXAMPLE}")
        entries.append(f"{key}={given}")
    try:
        found = OmegaConf.to_container(OmegaConf.from_dotlist(entries))
    except (YAMLError, OmegaConfBaseException, ValueError) as error:  # ValueError: a name inside a list
        raise click.ClickException(f"--params: {' '.join(str(error).split())}; {EXAMPLE}") from None
    assert isinstance(found, dict)
    return {str(key): given for key, given in found.items()}


def _entries(text: str) -> list[str]:
    try:
        return entries_of(text)
    except UserError as error:
        raise click.ClickException(f"--params: {error.what}; {EXAMPLE}") from None
