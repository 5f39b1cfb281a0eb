"""Lists of samples as DataComp's tools read them: a sorted `.npy` of 128-bit uids, dtype "u8,u8".

DataComp's pools have the uid, 32 hexadecimal digits, in each sample's JSON; its resharder looks it up there and reads
the array's two fields as the high and the low 64 bits. A sample without that field gets the first 128 bits of its
image's SHA-256 here: as good a name, but one that the resharder does not find in the shards.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from superbatch.artifacts.atomic import atomic_path
from superbatch.data.manifest import Manifest

UID = np.dtype("u8,u8")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{1,32}")


def uid_of(source: str | None, sha256: bytes) -> tuple[int, bool]:
    """Return a sample's uid, 128 bits, and whether its JSON has it.

    Args:
        source: the text of its JSON. sha256: of its image, 32 bytes.
    """
    found = json.loads(source).get("uid") if source else None
    if isinstance(found, str) and _HEXADECIMAL.fullmatch(found):
        return int(found, 16), True
    return int.from_bytes(sha256[:16], "big"), False


def uids_of(manifest: Manifest, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the uids of some rows, sorted and each once, and how many of the rows have theirs from JSON.

    Args:
        manifest: the set. rows: int64 (n,).

    Returns:
        UID (m,) with m <= n: rows of one image, or of one uid, share an entry.
    """
    wanted = pa.array(rows, pa.int64())
    sources, digests = (manifest.column(name).take(wanted).to_pylist() for name in ("source", "sha256"))
    found = [uid_of(source, digest) for source, digest in zip(sources, digests, strict=True)]
    pairs = np.array([divmod(uid, 1 << 64) for uid, _ in found], UID)
    return np.unique(pairs), sum(in_json for _, in_json in found)


def write_uids(path: Path, uids: np.ndarray) -> None:
    """Write a list of uids as `.npy`."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, uids)
