"""What `--params` is given: settings by dotted name, with lists and mappings as YAML has them."""

from __future__ import annotations

from typing import Any

import click

PAIRS = {"[": "]", "{": "}"}
EXAMPLE = "write key=value, with commas between, such as --params=learner.training.steps=100,search.runs=[jest,uniform]"


def split_params(_: click.Context, __: click.Parameter, value: Any) -> dict[str, Any]:
    """Return the settings that `--params` gives, nested.

    Kedro's own splits at every comma, so that no list of two could be given.

    Raises:
        click.ClickException: an entry without a key, or a value that YAML can't read.
    """
    from omegaconf import OmegaConf
    from yaml import YAMLError

    if isinstance(value, dict):
        return value
    entries = []
    for entry in entries_of(value or ""):
        key, equals, given = (part.strip() for part in entry.partition("="))
        if not key or not equals:
            raise click.ClickException(f"--params: {entry!r} is no key=value; {EXAMPLE}")
        entries.append(f"{key}={given}")
    try:
        found = OmegaConf.to_container(OmegaConf.from_dotlist(entries))
    except YAMLError as error:
        raise click.ClickException(f"--params: {' '.join(str(error).split())}; {EXAMPLE}") from None
    assert isinstance(found, dict)
    return {str(key): given for key, given in found.items()}


def entries_of(text: str) -> list[str]:
    """Split at commas, but not at those inside brackets, braces or quotes.

    Raises:
        click.ClickException: one of these is never closed.
    """
    entries, start, closing = [], 0, ""  # closing: the signs that are awaited, the next last
    for place, sign in enumerate(text):
        if closing and sign == closing[-1]:
            closing = closing[:-1]
        elif closing[-1:] in ("'", '"') or (sign in "'\"" and text[place - 1 : place].isalnum()):
            continue  # inside quotes, or an apostrophe
        elif sign in "'\"":
            closing += sign
        elif sign in PAIRS:
            closing += PAIRS[sign]
        elif sign == "," and not closing:
            entries.append(text[start:place])
            start = place + 1
    if closing:
        raise click.ClickException(f"--params: {closing[-1]} is missing in {text[start:].strip()!r}; {EXAMPLE}")
    return [entry.strip() for entry in (*entries, text[start:]) if entry.strip()]
