"""Nested settings: merge them, use dotted names, and split what `--params` is given. OmegaConf does the work, as in Kedro and DVC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from superbatch.errors import UserError

Nested = dict[str, Any]
PAIRS = {"[": "]", "{": "}"}
CLASH = "a list and a block of keys cannot be merged"


def merge(base: Mapping[str, Any] | None, override: Mapping[str, Any] | None, place: str = "") -> Nested:
    """Lay nested settings over others; values and lists replace what lies below, None too. `${...}` stays as it is written.

    Args:
        base, override: the settings; None counts as empty.
        place: where they stand in the parameters, for messages.

    Raises:
        UserError: a list where the other side has a block; a `${` that is never closed.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    layers = [dict(base or {}), dict(override or {})]
    try:  # unsafe for objects of OmegaConf's own, which it would change; twice as quick
        return _plain(OmegaConf.unsafe_merge(*layers))
    except OmegaConfBaseException as error:
        clash = "" if error.full_key else _clash(layers)
        where = ".".join(filter(None, [place, str(error.full_key or clash)]))
        raise UserError(where or "settings", CLASH if clash else _first_line(error)) from None


def from_dotted(values: Mapping[str, Any]) -> Nested:
    """Turn `{"pool.keep_share": 0.3}` into `{"pool": {"keep_share": 0.3}}`; later names win, dotted names inside blocks count too.

    Raises:
        UserError: a name inside a list, a `${` that is never closed.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    settings = OmegaConf.create()
    for name, value in dotted(values):
        try:
            OmegaConf.update(settings, name, value, force_add=True)
        except (OmegaConfBaseException, ValueError) as error:  # ValueError: a name where a list has a number
            raise UserError(name, f"cannot be set ({_first_line(error)})") from None
    return _plain(settings)


def dotted(values: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """List nested settings by dotted name: the way back, which OmegaConf does not have. Lists and empty blocks are values."""
    for key, value in values.items():
        name = (*place, str(key))
        if isinstance(value, Mapping) and value:
            yield from dotted(value, name)
        else:
            yield ".".join(name), value


def entries_of(text: str) -> list[str]:
    """Split what `--params` is given at commas, but not at those inside brackets, braces or quotes.

    Raises:
        UserError: one of these is never closed.
    """
    entries, start, closing, escaped = [], 0, "", False  # closing: the signs that are awaited, the next last
    for place, sign in enumerate(text):
        if escaped or (sign == "\\" and closing[-1:] == '"'):
            escaped = not escaped  # YAML's: the next sign is one of the text
        elif closing and sign == closing[-1]:
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
        raise UserError("--params", f"{closing[-1]} is missing in {text[start:].strip()!r}")
    return [entry.strip() for entry in (*entries, text[start:]) if entry.strip()]


def _plain(settings: Any) -> Nested:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(settings)  # type: ignore[return-value]  # a dictionary's container is a dictionary


def _clash(layers: list[Nested]) -> str:
    """Name the key where one layer has a list and another a block: OmegaConf does not."""
    found = [(name, value) for layer in layers for name, value in dotted(layer)]
    lists = [name for name, value in found if isinstance(value, list)]
    blocks = [name if value == {} else name.rpartition(".")[0] for name, value in found]
    return next((one for one in lists if any(f"{block}.".startswith(f"{one}.") for block in blocks)), "")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
