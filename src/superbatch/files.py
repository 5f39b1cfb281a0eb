"""Files that are never half-written, and fingerprints of what went into them."""

from __future__ import annotations

import dataclasses
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superbatch.errors import DiskFull, UserError

FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or what a user may have of it
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def canonical(obj: Any) -> Any:
    """Reduce dataclasses, paths and tuples to what JSON knows, so that equal content gives equal text."""
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return {f.name: canonical(getattr(obj, f.name)) for f in dataclasses.fields(obj)}
    if isinstance(obj, dict):
        return {str(k): canonical(v) for k, v in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [canonical(v) for v in obj]
    return str(obj) if isinstance(obj, Path) else obj


def fingerprint(obj: Any) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the object's canonical JSON."""
    text = json.dumps(canonical(obj), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def directory_digest(path: Path) -> str:
    """Return one SHA-256 over names and bytes of every file below a directory."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return fingerprint([[p.relative_to(path).as_posix(), file_sha256(p)] for p in files])


def read_json(path: Path) -> Any:
    """Read a JSON file; one that is missing or isn't JSON is a UserError."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(str(path), "no such file", "run the stage that writes it first") from None
    except ValueError as error:
        raise UserError(str(path), f"is not valid JSON ({error})", "delete it and run its stage again") from None


def write_json(path: Path, obj: Any) -> None:
    """Write JSON beside the path and rename it into place."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(json.dumps(canonical(obj), indent=1, allow_nan=True) + "\n")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is flushed and renamed to `path`, else removed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with told_if_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
    finally:
        if temporary.exists():
            temporary.unlink()


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory beside `path`; on success it takes the place of `path`, else it is removed."""
    with told_if_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        os.chmod(temporary, 0o755)  # mkdtemp makes it private; data folders are shared
        try:
            yield temporary
            replace_directory(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_directory(source: Path, target: Path) -> None:
    """Move a finished directory to `target`; whatever was there is moved aside first and deleted last."""
    for file in (p for p in source.rglob("*") if p.is_file()):
        _flush(file)
    with told_if_full(target):
        _move_directory(source, target)


def _move_directory(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.stat().st_dev != target.parent.stat().st_dev:
        return _copy_directory(source, target)
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        os.rename(target, aside)
    shutil.move(source, target)
    shutil.rmtree(aside, ignore_errors=True)


def _copy_directory(source: Path, target: Path) -> None:
    """Move to another disk: nothing can be renamed across, so the copy gets its name when it is whole."""
    with atomic_directory(target) as directory:
        shutil.copytree(source, directory, dirs_exist_ok=True)
    shutil.rmtree(source)


@contextmanager
def told_if_full(path: Path) -> Iterator[None]:
    """Turn a full disk, and a folder that nothing can be written to, into one line.

    Args:
        path: what is being written.

    Raises:
        DiskFull: no space left, or the user's share of it is used up.
        UserError: no right to write there, or a file stands where a folder should.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # copytree lists what failed in words, and safetensors has an error of its own.
        if getattr(error, "errno", None) in FULL or "No space left on device" in str(error):
            raise DiskFull(str(path)) from None
        if isinstance(error, OSError) and _is_denied(error):
            what = f"can't be read or written ({error.strerror})"
            remedy = "give this user the right to, or use another folder (`data` in conf/base/globals.yml)"
            raise UserError(str(error.filename), what, remedy) from None
        raise


def _is_denied(error: OSError) -> bool:
    """Whether a place can't be written to; a folder that is there already is our mistake, not the user's."""
    ours = error.errno == errno.EEXIST and os.path.isdir(error.filename or "")
    return error.errno in DENIED and bool(error.filename) and not ours


def shown(path: Path) -> Path:
    """Return a path as a user would write it: relative to the working directory where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _flush(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def expand_shards(spec: str | list[str], setting: str = "shards") -> list[Path]:
    """List the shards that a glob, a brace pattern (`pool/{00000..00039}.tar`) or a list of them names, in order.

    A name that is there as it is written counts as a name, whatever brackets it has; `~` is the home folder.

    Args:
        spec: the pattern or patterns, relative to the working directory.
        setting: where it stands in the parameters, for messages.

    Raises:
        UserError: a pattern that matches nothing or whose braces don't match; something that is named but is no plain
            file: a folder, a pipe, a command, an address, a link that leads nowhere.
    """
    found: list[Path] = []
    for pattern in [spec] if isinstance(spec, str) else spec:
        for name in _braces(pattern, setting):
            hits = _matches(name)
            for hit in hits or [name]:
                _require_file(hit, setting)
            found += [Path(hit) for hit in hits]
    if not found:
        raise UserError(setting, "the list is empty", "name at least one .tar")
    return list(dict.fromkeys(found))


def _braces(pattern: str, setting: str) -> list[str]:
    from braceexpand import braceexpand

    if re.match(r"pipe:|[a-z][a-z0-9+.-]*://", pattern):
        what = "is a command" if pattern.startswith("pipe:") else "is an address"
        remedy = "shards are read at random, from files: fetch them first and name the files"
        raise UserError(setting, f"{pattern}: {what}, not a file", remedy)
    path = os.path.expanduser(pattern)
    if path.startswith("~"):
        raise UserError(setting, f"{pattern}: no home folder of that user is known", "write the whole path")
    if os.path.exists(path):
        return [path]
    try:
        return list(braceexpand(path))
    except ValueError:  # its UnbalancedBracesError
        remedy = "close it, as in {00000..00039}; in a name, write \\{ or \\}"
        raise UserError(setting, f"{pattern}: a brace without its partner", remedy) from None


def _matches(name: str) -> list[str]:
    """Find what a name or a glob stands for; empty where it stands for nothing."""
    if os.path.lexists(name):
        return [name]
    return sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []


def _require_file(name: str, setting: str) -> None:
    """Refuse what is no plain file, in words of its own."""
    path = Path(name)
    if path.is_file():
        return
    if path.is_dir():
        what, remedy = "is a folder", f"name the shards in it: {path / '*.tar'}"
    elif path.is_symlink():
        what, remedy = f"is a link to {os.readlink(path)}, which is not there", "mend the link, or name the file itself"
    elif path.exists():
        kind = "a pipe" if path.is_fifo() else "not a plain file"
        what, remedy = f"is {kind}", "shards are read at random: write it to a file and name that"
    elif "[" in name:
        what = "no such shard"
        remedy = "correct the path; [...] stands for one of its characters: write [[] for a bracket that is meant"
    else:
        what, remedy = "no such shard", "correct the path (it counts from the project's folder)"
    raise UserError(setting, f"{name}: {what}", remedy)
