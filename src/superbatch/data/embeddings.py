"""The embedding cache: the reference's float16 image and text embeddings by row, in one memory-mapped Arrow IPC file.

The file's metadata has the reference's scale, bias and loss, and the fingerprint of what made it (reference, manifest,
preprocessing, tokenizer), so that a cache of something else is refused.

Legend: N rows of the manifest, D embedding width.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from superbatch.artifacts.atomic import atomic_path
from superbatch.artifacts.scratch import scratch
from superbatch.errors import UserError
from superbatch.files import AGAIN
from superbatch.options import LowSettings

EMBEDDINGS = "embeddings.arrow"  # the cache inside a set's feature directory
ROWS_PER_BLOCK = 65_536
_METADATA_KEY = b"superbatch"
_REQUIRED = ("scale", "bias", "loss", "fingerprint")


def embeddings_file(low: LowSettings | None = None) -> str:
    """Name the cache inside a set's feature directory; each low view of the images has one of its own."""
    return EMBEDDINGS if low is None else f"embeddings-{low.name}.arrow"


class EmbeddingCacheWriter:
    """Write embeddings in row order; the file appears when the `with` block ends without an error.

    Args:
        out: the file to write.
        dim_image, dim_text: widths of the two embeddings.
        metadata: scale, bias, loss and fingerprint, and whatever else should be kept.
    """

    def __init__(self, out: Path, dim_image: int, dim_text: int, metadata: dict[str, Any]) -> None:
        missing = [name for name in _REQUIRED if name not in metadata]
        assert not missing, f"metadata without {missing}"
        self.schema = pa.schema(
            [pa.field("image", pa.list_(pa.float16(), dim_image)), pa.field("text", pa.list_(pa.float16(), dim_text))],
            metadata={_METADATA_KEY: json.dumps(metadata).encode()},
        )
        self._atomic = atomic_path(Path(out))
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._count = 0

    def __enter__(self) -> EmbeddingCacheWriter:
        self._sink = pa.OSFile(str(self._atomic.__enter__()), "wb")
        self._writer = pa.ipc.new_file(self._sink, self.schema)
        return self

    def append(self, image_ND: np.ndarray, text_ND: np.ndarray) -> None:
        """Add the next rows, of any float type; they are stored as float16."""
        assert len(image_ND) == len(text_ND), "image and text of different rows"
        self._pending.append((np.asarray(image_ND, np.float16), np.asarray(text_ND, np.float16)))
        self._count += len(image_ND)
        while self._count >= ROWS_PER_BLOCK:
            self._write(ROWS_PER_BLOCK)

    def _write(self, rows: int) -> None:
        # Blocks of one fixed size let the reader find a row by division.
        parts = [np.concatenate(side) for side in zip(*self._pending, strict=True)]
        columns = [_as_list_array(part[:rows], field.type) for part, field in zip(parts, self.schema, strict=True)]
        self._writer.write_batch(pa.record_batch(columns, schema=self.schema))
        self._pending = [(parts[0][rows:], parts[1][rows:])]
        self._count -= rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._count:
            self._write(self._count)
        self._writer.close()
        self._sink.close()
        self._atomic.__exit__(kind, error, trace)


def _as_list_array(part_ND: np.ndarray, kind: pa.DataType) -> pa.Array:
    assert part_ND.shape[1] == kind.list_size, (
        f"embeddings of width {part_ND.shape[1]}, the cache is for {kind.list_size}"
    )
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(part_ND).reshape(-1)), kind.list_size)


class EmbeddingCache:
    """Read-only view of a cache; nothing is loaded until rows are asked for.

    Args:
        path: the file.
        expected: the fingerprint that the caller's reference, manifest, preprocessing and tokenizer give; None takes
            any.

    Raises:
        UserError: a missing or damaged file, or the cache of another reference or set.
    """

    def __init__(self, path: Path, expected: str | None = None) -> None:
        self.path, self.expected = Path(path), expected
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self.metadata: dict[str, Any] = json.loads(reader.schema.metadata[_METADATA_KEY])
        except FileNotFoundError:
            raise UserError(str(path), "no such embedding cache", "run the embed stage first") from None
        except (pa.ArrowInvalid, OSError, TypeError, KeyError) as error:
            raise UserError(str(path), f"is not an embedding cache ({error})", AGAIN) from None
        if expected is not None and self.fingerprint != expected:
            what = f"was made with fingerprint {self.fingerprint}, this run needs {expected}"
            what += " (another reference, set, preprocessing or tokenizer)"
            raise UserError(str(path), what, "run the embed stage again")
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self._image, self._text = ([_view(batch.column(name)) for batch in batches] for name in ("image", "text"))
        self.num_rows = sum(len(batch) for batch in batches)
        self.dim_image, self.dim_text = (reader.schema.field(name).type.list_size for name in ("image", "text"))
        self.scale, self.bias, self.loss = (
            float(self.metadata["scale"]),
            float(self.metadata["bias"]),
            str(self.metadata["loss"]),
        )

    def __reduce__(self) -> tuple[type[EmbeddingCache], tuple[Path, str | None]]:
        return EmbeddingCache, (self.path, self.expected)

    def __len__(self) -> int:
        return self.num_rows

    @property
    def fingerprint(self) -> str:
        """What the cache was made from, in 16 hexadecimal digits."""
        return str(self.metadata["fingerprint"])

    def rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the embeddings of some rows: float32 image (n, D_image) and text (n, D_text)."""
        rows = np.asarray(rows, np.int64)
        assert not len(rows) or (rows.min() >= 0 and rows.max() < self.num_rows), "row outside the cache"
        return (
            _gather(self._image, rows, self.dim_image, np.float32),
            _gather(self._text, rows, self.dim_text, np.float32),
        )

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Return the image embeddings of some rows as they are stored, float16 (n, D_image)."""
        return _gather(self._image, np.asarray(rows, np.int64), self.dim_image, np.float16)

    def texts(self, rows: np.ndarray) -> np.ndarray:
        """Return the caption embeddings of some rows as they are stored, float16 (n, D_text)."""
        return _gather(self._text, np.asarray(rows, np.int64), self.dim_text, np.float16)

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield image and text embeddings in row order, float32, a block of rows at a time."""
        for image_ND, text_ND in zip(self._image, self._text, strict=True):
            yield image_ND.astype(np.float32), text_ND.astype(np.float32)

    def score_blocks(self) -> Iterator[np.ndarray]:
        """Yield what `pair_scores` returns, a block of rows at a time."""
        return (cosines(image_ND, text_ND) for image_ND, text_ND in self.blocks())

    def pair_scores(self) -> np.ndarray:
        """Return the cosine of each row's image and caption, float32 (N,): the usual CLIP score, no scale, no bias.

        It lies on disk where rows are many (`artifacts.scratch`).
        """
        found, start = scratch(self.num_rows, np.float32), 0
        for scores in self.score_blocks():
            found[start : start + len(scores)] = scores
            start += len(scores)
        return found


def _view(column: pa.Array) -> np.ndarray:
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=True)
    return values.reshape(len(column), -1)


def cosines(image_ND: np.ndarray, text_ND: np.ndarray) -> np.ndarray:
    """Return the cosine of each image and its caption, float (N,)."""
    dots = np.einsum("nd,nd->n", image_ND, text_ND)
    norms = np.linalg.norm(image_ND, axis=1) * np.linalg.norm(text_ND, axis=1)
    found: np.ndarray = dots / np.maximum(norms, 1e-12)
    return found


def _gather(blocks: list[np.ndarray], rows: np.ndarray, width: int, kind: type[np.floating]) -> np.ndarray:
    result = np.empty((len(rows), width), kind)
    block, inside = np.divmod(rows, ROWS_PER_BLOCK)
    for index in np.unique(block):
        mask = block == index
        result[mask] = blocks[index][inside[mask]]
    return result
