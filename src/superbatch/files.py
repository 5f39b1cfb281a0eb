"""Reading files, and listing those that a pattern names."""

from __future__ import annotations

import json
import os
from glob import escape, has_magic
from pathlib import Path
from typing import Any

from superbatch.errors import UserError
from superbatch.stores.address import Address, Place, is_address

# For a damaged file that has its size: its stage sees that a file is missing, and not what is in it.
AGAIN = "delete it and run its stage again"


def read_json(path: Path, remedy: str = AGAIN) -> Any:
    """Read a JSON file; one that is missing or isn't JSON is a UserError.

    Args:
        path: of the file. remedy: for one that isn't JSON; one that a stage wrote is made again.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(str(path), "no such file", "run the stage that writes it first") from None
    except ValueError as error:
        raise UserError(str(path), f"is not valid JSON ({error})", remedy) from None


def shown(path: Path) -> Path:
    """Return a path as a user would write it: relative to the working directory where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def expand_shards(spec: str | list[str], setting: str = "shards", root: str = "") -> list[Place]:
    """List the shards that a glob, a brace pattern (`pool/{00000..00039}.tar`) or a list of them names, in order.

    A name that is there as it is written counts as a name, whatever brackets it has; `~` is the home folder. Patterns of a store
    (`s3://bucket/pool/*.tar`) give addresses.

    Args:
        spec: the pattern or patterns, relative to the working directory.
        setting: where it stands in the parameters, for messages.
        root: a folder or an address that the patterns lie below; taken as it is written, whatever brackets and braces it has.

    Raises:
        UserError: a pattern that matches nothing or whose braces don't match; something that is named but is no plain
            file or object: a folder, a pipe, a command, a link that leads nowhere; a store that can't be read.
    """
    found: list[Place] = []
    for pattern in [spec] if isinstance(spec, str) else spec:
        path = _path_of(pattern, setting)
        names = _braces(path, setting, root)
        if is_address(root or path):
            found += _objects(names, setting, root)
            continue
        for name in names:
            found += _files(name, setting, root)
    if not found:
        raise UserError(setting, "the list is empty", "name at least one .tar")
    return list(dict.fromkeys(found))


def _below(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name


def _files(name: str, setting: str, root: str) -> list[Path]:
    """List the local files that a name or a glob stands for. Refuse one that matches nothing, or something other than a file."""
    whole = _below(root, name)
    try:
        hits = [whole] if os.path.lexists(whole) else _matches(_below(escape(root), name), setting)
        _require_not_deeper(whole, hits, setting)
        for hit in hits or [whole]:
            _require_file(hit, setting, "[" in name)
    except PermissionError as error:
        what = f"{error.filename or whole}: can't be looked at ({error.strerror})"
        raise UserError(setting, what, "give this user the right to read its folder") from None
    return [Path(hit) for hit in hits]


def _objects(names: list[str], setting: str, root: str) -> list[Address]:
    """List the objects of a store that some names and globs stand for. A named object is not looked up before it is read."""
    found = []
    for name in names:
        hits = _matches(_below(escape(root), name), setting) if has_magic(name) else [_below(root, name)]
        if not hits:
            raise UserError(setting, f"{_below(root, name)}: no such shard", "correct the address")
        found += [Address(hit) for hit in hits]
    return found


def _path_of(pattern: str, setting: str) -> str:
    """Return a pattern of this machine's files as a path, and an address as it is."""
    from superbatch.listing import place_of

    if pattern.startswith("pipe:"):
        remedy = "shards are read at random, from files or objects of a store: write it to one and name that"
        raise UserError(setting, f"{pattern}: is a command, not a file", remedy)
    protocol, path = place_of(pattern)
    if protocol:
        return pattern
    path = os.path.expanduser(path)
    if path.startswith("~"):
        raise UserError(setting, f"{pattern}: no home folder of that user is known", "write the whole path")
    return path


def _braces(path: str, setting: str, root: str) -> list[str]:
    from braceexpand import braceexpand

    if os.path.exists(_below(root, path)):
        return [path]
    try:
        return list(braceexpand(path))
    except ValueError:  # its UnbalancedBracesError
        remedy = "close it, as in {00000..00039}; in a name, write \\{ or \\}"
        raise UserError(setting, f"{path}: an unmatched brace", remedy) from None


def _matches(name: str, setting: str) -> list[str]:
    from superbatch.listing import matches

    try:
        return matches(name)
    except UserError as error:  # a store's
        raise UserError(f"{setting}: {error.where}", error.what, error.remedy) from None
    except ValueError:
        remedy = "write ** alone between slashes, for folders at any depth, or a single *"
        raise UserError(setting, f"{name}: ** is next to other characters", remedy) from None


def _require_not_deeper(name: str, hits: list[str], setting: str) -> None:
    """Refuse a glob that finds nothing in its folder but would in a subfolder, and say so."""
    folder, last = Path(name).parent, Path(name).name
    if hits or not has_magic(last) or has_magic(str(folder)) or not folder.is_dir():
        return
    deeper = next((file for depth in ("*", "*/*") for file in folder.glob(f"{depth}/{last}")), None)
    if deeper is not None:
        what = f"{name}: no such shard, but further down there is {deeper}"
        raise UserError(setting, what, f"** stands for folders at any depth: {folder / '**' / last}")


def _require_file(name: str, setting: str, brackets: bool) -> None:
    """Refuse anything that is not a plain file, and say what it is; of a name that is not there, that its brackets may be the cause."""
    path = Path(name)
    if path.is_file():
        return
    if path.is_dir():
        what, remedy = "is a folder", f"name the shards in it: {path / '*.tar'}"
    elif path.is_symlink():
        what, remedy = (
            f"is a link to {os.readlink(path)}, which is not there",
            "repair the link, or name the file itself",
        )
    elif path.exists():
        kind = "a pipe" if path.is_fifo() else "not a plain file"
        what, remedy = f"is {kind}", "shards are read at random: write it to a file and name that"
    elif brackets:
        what = "no such shard"
        remedy = "correct the path; [...] stands for one of its characters: write [[] for a bracket that is meant"
    else:
        what, remedy = "no such shard", "correct the path (it counts from the project's folder)"
    raise UserError(setting, f"{name}: {what}", remedy)
