"""Fingerprints of settings, files and directories: equal content gives equal text, everywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from superbatch.bounds import LATER


def canonical(obj: Any) -> Any:
    """Reduce dataclasses, paths and tuples to what JSON knows, so that equal content gives equal text."""
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        kept = (f for f in dataclasses.fields(obj) if not (f.metadata == LATER and getattr(obj, f.name) == f.default))
        return {f.name: canonical(getattr(obj, f.name)) for f in kept}
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


def file_digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a directory, by its path from there."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): file_sha256(path) for path in files}


def directory_digest(path: Path) -> str:
    """Return one SHA-256 over names and bytes of every file below a directory."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return fingerprint([[p.relative_to(path).as_posix(), file_sha256(p)] for p in files])
