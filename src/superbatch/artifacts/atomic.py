"""Files and directories that are never half-written: made aside and renamed into place, never written into."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import canonical
from superbatch.errors import DiskFull, UserError

FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk is full, or the user's quota is used up
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def write_json(path: Path, obj: Any) -> None:
    """Write JSON beside the path and rename it into place."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(json.dumps(canonical(obj), indent=1, allow_nan=True) + "\n")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is flushed and renamed to `path`, else removed."""
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
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
    aside = target.with_name(f".{target.name}.{os.uname().nodename}.{os.getpid()}.old")
    # One of this name was left by a process that was killed; in a container all have the same number.
    shutil.rmtree(aside, ignore_errors=True)
    while True:
        with suppress(FileNotFoundError):  # there was none, or another command has just moved it
            os.rename(target, aside)
        try:
            return os.rename(source, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else another command has just put one there
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _copy_directory(source: Path, target: Path) -> None:
    """Move to another disk, where a rename is impossible: copy first, and give the copy its name once it is complete."""
    with atomic_directory(target) as directory:
        shutil.copytree(source, directory, dirs_exist_ok=True)
    shutil.rmtree(source)


@contextmanager
def told_if_full(path: Path) -> Iterator[None]:
    """Report a full disk, or a folder that can't be written to, as a one-line error.

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
        # copytree reports failures as text, and safetensors raises an error of its own.
        if getattr(error, "errno", None) in FULL or "No space left on device" in str(error):
            raise DiskFull(str(path)) from None
        if isinstance(error, OSError) and _is_denied(error):
            what = f"can't be read or written ({error.strerror})"
            remedy = "give this user the right to, or use another folder (`data` in conf/base/globals.yml)"
            raise UserError(str(error.filename), what, remedy) from None
        raise


def _is_denied(error: OSError) -> bool:
    """Whether a place can't be written to. A folder that already exists is a bug of ours, not the user's mistake."""
    ours = error.errno == errno.EEXIST and os.path.isdir(error.filename or "")
    return error.errno in DENIED and bool(error.filename) and not ours


def _flush(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())
