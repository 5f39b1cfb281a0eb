"""The distinct pictures of some sets, numbered through: what a search looks among (`pictures.parquet`, `words.json`).

Legend: N pictures, S image side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.artifacts.atomic import write_json
from superbatch.data.manifest import Manifest, image_digests
from superbatch.data.reader import Pixels
from superbatch.files import read_json
from superbatch.tasks.words import frequent_words

PICTURES, WORDS = "pictures.parquet", "words.json"
SEED = 0  # of random samples


@dataclass(frozen=True)
class SearchedSet:
    """A set as it is searched: its name, its samples, and a caption of each; `features` where the embed stage was there."""

    name: str
    manifest: Manifest
    captions: Sequence[str]
    features: Path | None = None


@dataclass(frozen=True)
class Pictures:
    """What `write_pictures` wrote.

    Attributes:
        directory: where it lies.
    """

    directory: Path

    @cached_property
    def _table(self) -> pa.Table:
        return pq.read_table(self.directory / PICTURES)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @cached_property
    def rows(self) -> np.ndarray:
        """The manifest row of each picture, int64 (N,)."""
        return np.asarray(self._table["row"].to_numpy())

    @cached_property
    def set_names(self) -> list[str]:
        """The sets by number."""
        return list(self._table["set"].combine_chunks().dictionary.to_pylist())

    @cached_property
    def set_numbers(self) -> np.ndarray:
        """The set of each picture, int64 (N,)."""
        return np.asarray(self._table["set"].combine_chunks().indices.to_numpy(), np.int64)

    def captions(self, numbers: np.ndarray | None = None) -> list[str]:
        """Return the captions of some pictures, of all by default."""
        column = self._table["caption"]
        return list((column if numbers is None else column.take(pa.array(numbers))).to_pylist())

    @cached_property
    def words(self) -> list[str]:
        """Frequent words and phrases of the captions, class names first."""
        return list(read_json(self.directory / WORDS))


def write_pictures(
    sets: Sequence[SearchedSet], names: Sequence[str], out: Path, *, limit: int | None, words: int
) -> None:
    """Write the distinct pictures of some sets and the words of their captions into a directory.

    Pictures are the same if their bytes are (the first 64 bits of their SHA-256); the first one in the order of sets and
    rows stands for all.

    Args:
        sets: where to look, in this order.
        names: class names, which are among the words in any case.
        out: the directory.
        limit: keep a random sample of so many pictures; None keeps all.
        words: how many words to keep at most.
    """
    digests = [_digests(one.manifest) for one in sets]
    first = np.sort(np.unique(np.concatenate(digests), return_index=True)[1])
    if limit is not None:
        first = first[sample(len(first), limit)]
    ends = np.cumsum([len(one) for one in digests])
    number = np.searchsorted(ends, first, side="right")
    row = first - np.concatenate([[0], ends[:-1]])[number]
    captions = [sets[s].captions[r] for s, r in zip(number.tolist(), row.tolist(), strict=True)]
    of_set = pa.DictionaryArray.from_arrays(pa.array(number, pa.int32()), pa.array([one.name for one in sets]))
    pq.write_table(pa.table({"set": of_set, "row": pa.array(row), "caption": pa.array(captions)}), out / PICTURES)
    write_json(out / WORDS, frequent_words(captions, names, words))


def _digests(manifest: Manifest) -> np.ndarray:
    known = manifest.digests
    found = known if known is not None else image_digests(pq.read_table(manifest.path, columns=["sha256"]))
    return np.asarray(found).view(np.uint64)


def shuffled(count: int, size: int) -> np.ndarray:
    """Draw `size` of `count` numbers at random, all where there are no more; always the same ones in the same order."""
    return np.random.default_rng(SEED).permutation(count)[:size]


def sample(count: int, size: int) -> np.ndarray:
    """Draw as `shuffled` does, in ascending order."""
    return np.sort(shuffled(count, size))


class PicturePixels:
    """Pixels by the number of a picture.

    Args:
        pictures: the pictures.
        readers: of each set's pixels, all at one size S, in the order of `pictures.set_names`.
    """

    def __init__(self, pictures: Pictures, readers: Sequence[Pixels]) -> None:
        self.pictures, self.readers = pictures, list(readers)
        self.image_size = self.readers[0].image_size

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Return uint8 images (n, 3, S, S)."""
        found = np.empty((len(numbers), 3, self.image_size, self.image_size), np.uint8)
        sets, rows = self.pictures.set_numbers[numbers], self.pictures.rows[numbers]
        for number in np.unique(sets):
            mask = sets == number
            found[mask] = self.readers[number].read(rows[mask])
        return found
