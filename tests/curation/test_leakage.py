"""What a pool has in common with other images, against a look at every pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from superbatch.curation import neighbours
from superbatch.curation.leakage import Seen, compare, nothing, told
from tests.manifests import write_made_up


def seen(folder: Path, images: list[int], seed: int) -> Seen:
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(len(images), 4)).astype(np.float32)
    hashes = rng.integers(0, 16, len(images), dtype=np.uint64)  # few, so that some are equal
    return Seen(write_made_up(folder, images, "set"), hashes, embedding.__getitem__)


def test_each_image_of_both_sides_has_its_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CELLS", 30)
    pool, other = seen(tmp_path / "a", list(range(25)), 0), seen(tmp_path / "b", [24, 90, 91, 3, 3], 1)
    of_rows, of_others = compare(pool, other)
    assert list(np.flatnonzero(of_rows.same)) == [3, 24] and list(of_others.same) == [True, False, False, True, True]
    bits = [[(a ^ b).bit_count() for b in other.hashes.tolist()] for a in pool.hashes.tolist()]
    left, right = (one.read(np.arange(len(one.manifest))).astype(np.float64) for one in (pool, other))
    cosine = left @ right.T / np.outer(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1))
    for axis, found in ((1, of_rows), (0, of_others)):
        assert list(found.bits) == list(np.min(bits, axis))
        assert found.cosine == pytest.approx(cosine.max(axis), abs=1e-6)
    counts = told(of_rows, of_others, 0, 0.95)
    assert counts["images"] == 5 and counts["leaked"]["same_file"] == 3 and counts["rows"]["same_file"] == 2
    assert counts["rows"]["same_embedding"] == (cosine.max(1) >= 0.95).sum()
    leaks = of_rows.same | (np.min(bits, 1) == 0) | (cosine.max(1) >= 0.95)
    assert counts["rows"]["any"] == leaks.sum()


def test_the_nearest_of_two_sets_is_the_nearer_one(tmp_path: Path) -> None:
    pool = seen(tmp_path / "a", list(range(6)), 0)
    one, two = (compare(pool, seen(tmp_path / name, [row, 99], row))[0] for row, name in ((2, "b"), (4, "c")))
    both = nothing(6).joined(one).joined(two)
    assert list(np.flatnonzero(both.same)) == [2, 4]
    assert (both.bits == np.minimum(one.bits, two.bits)).all() and (
        both.cosine == np.maximum(one.cosine, two.cosine)
    ).all()
