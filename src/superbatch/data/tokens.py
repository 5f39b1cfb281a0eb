"""Token ids of every caption: made once for each tokenizer, then memory-mapped.

Legend: C captions of the set, N rows, L context length.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from superbatch.artifacts.atomic import atomic_directory, write_json
from superbatch.artifacts.scratch import new_npy
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.files import read_json

CHUNK = 8_192  # captions a call of the tokenizer
ROWS_PER_SCAN = 65_536


def tokenize_captions(
    manifest: Manifest, tokenizer: Callable[[list[str]], Any], context_length: int, out: Path, name: str = ""
) -> dict[str, Any]:
    """Write the token ids of all captions of a set to a directory.

    Args:
        manifest: the set.
        tokenizer: takes a list of strings and returns integers of shape (n, L), as open_clip's tokenizers do.
        context_length: L.
        out: a directory; `tokens.npy` int32 (C, L), `offsets.npy` int64 (N + 1,), `distinct.npy` (the ids that occur in
            first captions) and `tokens.json` are written to it.
        name: what to call the tokenizer in `tokens.json`.

    Returns:
        What `tokens.json` holds: counts, context length, the manifest's fingerprint.

    Raises:
        UserError: the tokenizer gives another length than `context_length`; a full disk.
    """
    captions, offsets = manifest.flat_captions()
    encoded = pc.dictionary_encode(captions)
    index, distinct = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    ids_DL = np.concatenate(
        [np.empty((0, context_length), np.int32)]
        + [_ids(tokenizer, distinct[i : i + CHUNK], context_length) for i in range(0, len(distinct), CHUNK)]
    )
    captioned = np.diff(offsets) > 0
    facts = {
        "manifest": manifest.fingerprint,
        "tokenizer": name,
        "context_length": context_length,
        "rows": manifest.num_rows,
        "captions": len(captions),
        "distinct_captions": len(distinct),
        "captioned_rows": int(captioned.sum()),
    }
    with atomic_directory(Path(out)) as folder:
        ids_CL = new_npy(folder / "tokens.npy", np.int32, (len(captions), context_length)) if len(captions) else None
        if ids_CL is None:
            np.save(folder / "tokens.npy", ids_DL)
        else:
            np.take(ids_DL, index, axis=0, out=ids_CL)
            ids_CL.flush()
        np.save(folder / "offsets.npy", offsets)
        np.save(folder / "distinct.npy", np.unique(ids_DL[np.unique(index[offsets[:-1][captioned]])]))
        write_json(folder / "tokens.json", facts)
    return facts


def _ids(tokenizer: Callable[[list[str]], Any], texts: list[str], context_length: int) -> np.ndarray:
    ids = np.asarray(tokenizer(texts))
    if ids.shape != (len(texts), context_length):
        raise UserError(
            "context_length",
            f"the tokenizer gives {ids.shape[-1]} tokens, the model takes {context_length}",
            "set the tokenizer's context length",
        )
    return ids.astype(np.int32)


class Tokens:
    """Token ids by row.

    Args:
        directory: what `tokenize_captions` wrote.
        expected_manifest: the fingerprint of the manifest in use; None takes any.

    Raises:
        UserError: a missing directory, or one of another manifest.
    """

    def __init__(self, directory: Path, expected_manifest: str | None = None) -> None:
        self.directory, self.expected_manifest = Path(directory), expected_manifest
        self.facts: dict[str, Any] = read_json(self.directory / "tokens.json")
        if expected_manifest is not None and self.facts["manifest"] != expected_manifest:
            what = f"belongs to manifest {self.facts['manifest']}, this run reads {expected_manifest}"
            raise UserError(str(directory), what, "run the embed stage again")
        self.ids_CL: np.ndarray = np.load(self.directory / "tokens.npy", mmap_mode="r")
        self.offsets: np.ndarray = np.load(self.directory / "offsets.npy", mmap_mode="r")

    def __reduce__(self) -> tuple[type[Tokens], tuple[Path, str | None]]:
        return Tokens, (self.directory, self.expected_manifest)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def context_length(self) -> int:
        """Tokens a caption, L."""
        return int(self.ids_CL.shape[1])

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the token ids of each row's first caption, int64 (n, L).

        Raises:
            UserError: a row without a caption.
        """
        rows = np.asarray(rows, np.int64)
        first, end = self.offsets[rows], self.offsets[rows + 1]
        if (first == end).any():
            raise UserError(
                str(self.directory),
                f"row {rows[first == end][0]} has no caption",
                "ingest the set with require_caption: true",
            )
        ids: np.ndarray = self.ids_CL[first].astype(np.int64)
        return ids

    def require_captions(self) -> None:
        """Check that every row has a caption.

        Raises:
            UserError: a row without one.
        """
        if self.facts.get("captioned_rows") == len(self):
            return
        for start in range(0, len(self), ROWS_PER_SCAN):
            self.of_rows(np.arange(start, min(start + ROWS_PER_SCAN, len(self))))

    def distinct(self) -> np.ndarray:
        """Return the ids that occur in the rows' first captions, ascending."""
        path = self.directory / "distinct.npy"
        if path.is_file():
            stored: np.ndarray = np.load(path)
            return stored
        starts = range(0, len(self), ROWS_PER_SCAN)  # written by an earlier version: look through all of them
        parts = [np.unique(self.of_rows(np.arange(i, min(i + ROWS_PER_SCAN, len(self))))) for i in starts]
        return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))

    def captions_of_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the token ids of all captions of some rows, and whose they are.

        Returns:
            ids int64 (c, L), and for each the position in `rows` of its image, int64 (c,).
        """
        rows = np.asarray(rows, np.int64)
        counts = self.offsets[rows + 1] - self.offsets[rows]
        owner = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.ids_CL[self.offsets[rows][owner] + within].astype(np.int64), owner
