"""Lists of samples as DataComp's tools read them: a sorted `.npy` of 128-bit uids, dtype "u8,u8".

DataComp's pools have the uid, 32 hexadecimal digits, in each sample's JSON; its resharder looks it up there and reads
the array's two fields as the high and the low 64 bits. A sample without that field gets the first 128 bits of its
image's SHA-256 here: as good a name, but one that the resharder does not find in the shards.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from superbatch.artifacts.atomic import atomic_path
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError

UID = np.dtype("u8,u8")
ROWS_AT_ONCE = 65_536
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
    pairs, in_json = _uids(*manifest.take(["source", "sha256"], rows).columns)
    return np.unique(pairs), in_json


def listed(manifest: Manifest, uids: np.ndarray) -> Iterator[np.ndarray]:
    """Tell which rows of a set stand in a list, bool, some rows at a time."""
    wanted = _as_bytes(uids)
    for batch in manifest.batches(["source", "sha256"], ROWS_AT_ONCE):
        found = pc.is_in(_as_bytes(_uids(*batch.columns)[0]), value_set=wanted)
        yield found.to_numpy(zero_copy_only=False)


def sources_digest(manifest: Manifest) -> str:
    """Name the JSON of a set's samples by 16 hexadecimal digits: uids come from it, and a manifest's fingerprint leaves it out."""
    digest = hashlib.sha256()
    for batch in manifest.batches(["source"], ROWS_AT_ONCE):
        for source in batch.column("source").to_pylist():
            digest.update(repr(source).encode())
    return digest.hexdigest()[:16]


def read_uids(path: Path) -> np.ndarray:
    """Read a list of uids, UID (m,).

    Raises:
        UserError: it is not there, or is no such list.
    """
    remedy = 'give a .npy of uids as DataComp has it (dtype "u8,u8")'
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(str(path), f"can't be read as a list of uids ({error})", remedy) from None
    if not isinstance(found, np.ndarray) or found.dtype != UID or found.ndim != 1:
        raise UserError(str(path), "is not a list of uids", remedy)
    return found


def _uids(sources: pa.ChunkedArray, digests: pa.ChunkedArray) -> tuple[np.ndarray, int]:
    """Return the uid of each of some rows, UID (n,), and how many have theirs from JSON."""
    found = [uid_of(source, digest) for source, digest in zip(sources.to_pylist(), digests.to_pylist(), strict=True)]
    return np.array([divmod(uid, 1 << 64) for uid, _ in found], UID), sum(in_json for _, in_json in found)


def _as_bytes(uids: np.ndarray) -> pa.Array:
    plain = np.ascontiguousarray(uids)
    return pa.Array.from_buffers(pa.binary(UID.itemsize), len(plain), [None, pa.py_buffer(plain)])


def write_uids(path: Path, uids: np.ndarray) -> None:
    """Write a list of uids as `.npy`."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, uids)
