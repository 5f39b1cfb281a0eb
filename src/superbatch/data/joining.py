"""Which rows join first where a run begins with few (`training.first_share`): those whose captions have few words, and common ones.

The rarity of a caption is -sum log p(word), p being a word's share of all words of the sets: the difficulty of a sentence in competence-based
curriculum learning (Platanios et al. 2019, arXiv 1903.09848, section 2.2).

Legend: N rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from superbatch.data.fields import Source
from superbatch.data.manifest import Manifest
from superbatch.data.order import JOINED, permute, places_of_joining, round_keys

# How likely two rows have the same caption: above it captions are labels. Free text has 0.00001 (icons) to 0.0004 (simweb), ten classes 0.1.
CHANCE = 0.002
ENOUGH = 20  # rows with the same caption: among labels, one of fewer rows is none


def rarity(manifests: Sequence[Manifest]) -> np.ndarray:
    """Return the rarity of each row's first caption, float64 (N,); rows of later sets follow those of the first.

    Words are in lower case, between spaces. The sets are read a piece at a time; only the words in use are held. Captions that are labels
    get the values of other rows, evenly: to begin with a class or two would teach nothing.
    """
    counts = Counter[str]()
    for words, _ in _pieces(manifests):
        for word, count in zip(*(part.to_pylist() for part in pc.value_counts(words).flatten()), strict=True):
            counts[word] += count
    known, cost_V = pa.array(list(counts), pa.large_string()), -np.log(np.fromiter(counts.values(), np.float64))
    cost_V += np.log(counts.total())
    mark_V = np.random.default_rng(0).random(len(cost_V))  # sums of it tell captions apart, whatever their rarity
    found, marks = [np.empty(0)], [np.empty(0)]
    for words, starts in _pieces(manifests):
        at = pc.index_in(words, known).to_numpy()
        found.append(np.add.reduceat(cost_V[at], starts))
        marks.append(np.add.reduceat(mark_V[at], starts))
    return _with_labels_spread(np.concatenate(found), np.concatenate(marks))


def _with_labels_spread(key_N: np.ndarray, mark_N: np.ndarray) -> np.ndarray:
    """Give rows of marks that are labels' the keys of other rows, evenly; which has which is by chance. Without other rows all get the same."""
    _, of_N, counts = np.unique(mark_N, return_inverse=True, return_counts=True)
    if counts @ (counts - 1) <= CHANCE * len(of_N) * (len(of_N) - 1):
        return key_N
    is_label = counts[of_N] >= ENOUGH
    others, labels = np.sort(key_N[~is_label]), np.flatnonzero(is_label)
    evenly = others[np.arange(len(labels)) * len(others) // max(1, len(labels))] if len(others) else 0.0
    key_N[np.random.default_rng(0).permutation(labels)] = evenly
    return key_N


def _pieces(manifests: Sequence[Manifest]) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """Yield the words of some captions, one after the other, and where each caption's begin; a blank caption has one, the empty word."""
    for manifest in manifests:
        for batch in manifest.batches(["captions"]):
            column = batch.column(0)
            # Values and offsets are of the whole array, also where this is a part of one.
            firsts = column.values.take(column.offsets[:-1]).cast(pa.large_string())
            words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pc.utf8_lower(firsts)))
            yield words.flatten(), words.offsets.to_numpy()[:-1]


def joining(rows: np.ndarray, key: np.ndarray, seed: int) -> np.ndarray:
    """Arrange rows such that an order that lets them join begins with those of the lowest keys; equal ones come by chance.

    Args:
        rows: in use, int64 (n,). key: of each, (n,). seed: of the order.

    Returns:
        `Source.rows`, int64 (n,): the order draws places, and here is which row has which.
    """
    count = len(rows)
    chance = permute(np.arange(count), count, round_keys(seed, JOINED, 1))
    arranged = np.empty_like(rows)
    arranged[places_of_joining(count, seed)] = rows[np.lexsort((chance, key))]
    return arranged


def arranged(source: Source, key_N: np.ndarray, seed: int) -> Source:
    """Arrange the rows of a source as `joining` does; those that the order leaves out stay aside, behind all others.

    Args:
        key_N: of each row of the manifest. seed: of the order.
    """
    in_use = source.manifest_rows(np.arange(source.num_rows))
    rows = joining(in_use, key_N[in_use], seed)
    if source.aside is None:
        return replace(source, rows=rows)
    aside = source.aside if source.rows is None else source.rows[source.aside]
    return replace(source, rows=np.concatenate([rows, aside]), aside=len(rows) + np.arange(len(aside)))
