"""The embedding cache: rows in, the same rows out, and only for the reference that made it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from superbatch.data import embeddings
from superbatch.data.embeddings import EmbeddingCache, EmbeddingCacheWriter
from superbatch.errors import UserError

METADATA = {"scale": 10.5, "bias": -3.25, "loss": "sigmoid", "fingerprint": "0123456789abcdef", "model": "tiny"}


def write(path: Path, image: np.ndarray, text: np.ndarray, batch: int = 7) -> Path:
    with EmbeddingCacheWriter(path, image.shape[1], text.shape[1], METADATA) as writer:
        for start in range(0, len(image), batch):
            writer.append(image[start : start + batch], text[start : start + batch])
    return path


def unit(rows: int, width: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [10, 25, 64])
def test_rows_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(embeddings, "ROWS_PER_BLOCK", block)
    image, text = unit(50, 8, 0), unit(50, 8, 1)
    cache = EmbeddingCache(write(tmp_path / "e.arrow", image, text))
    rows = np.array([49, 0, 24, 25, 25, 9, 10])
    for view in (cache, pickle.loads(pickle.dumps(cache))):
        found_image, found_text = view.rows(rows)
        assert found_image.dtype == np.float32
        assert np.array_equal(found_image, image[rows].astype(np.float16).astype(np.float32))
        assert np.array_equal(found_text, text[rows].astype(np.float16).astype(np.float32))
    assert len(cache) == 50 and (cache.dim_image, cache.dim_text) == (8, 8)
    assert np.array_equal(np.concatenate([part for part, _ in cache.blocks()]), image.astype(np.float16))
    np.testing.assert_allclose(cache.pair_scores(), (image * text).sum(1), atol=2e-3)


def test_metadata(tmp_path: Path) -> None:
    cache = EmbeddingCache(write(tmp_path / "e.arrow", unit(3, 4, 0), unit(3, 4, 1)), expected="0123456789abcdef")
    assert (cache.scale, cache.bias, cache.loss) == (10.5, -3.25, "sigmoid") and cache.metadata["model"] == "tiny"


def test_another_reference_is_refused_by_both_names(tmp_path: Path) -> None:
    path = write(tmp_path / "e.arrow", unit(3, 4, 0), unit(3, 4, 1))
    with pytest.raises(UserError) as caught:
        EmbeddingCache(path, expected="ffff")
    assert all(word in str(caught.value) for word in (str(path), "0123456789abcdef", "ffff", "embed stage"))


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), EmbeddingCacheWriter(tmp_path / "e.arrow", 4, 4, METADATA) as writer:
        writer.append(unit(3, 4, 0), unit(3, 4, 1))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_missing_damaged_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the embed stage first"):
        EmbeddingCache(tmp_path / "e.arrow")
    path = write(tmp_path / "e.arrow", unit(30, 4, 0), unit(30, 4, 1))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="is not an embedding cache"):
        EmbeddingCache(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="is not an embedding cache"):
        EmbeddingCache(path)


def test_wrong_shapes_and_rows_are_our_own_mistakes(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="width 5, the cache is for 4"):
        write_wide(tmp_path / "e.arrow")
    cache = EmbeddingCache(write(tmp_path / "e.arrow", unit(3, 4, 0), unit(3, 4, 1)))
    with pytest.raises(AssertionError, match="outside"):
        cache.rows(np.array([3]))


def write_wide(path: Path) -> None:
    with EmbeddingCacheWriter(path, 4, 4, METADATA) as writer:
        writer.append(unit(2, 5, 0), unit(2, 4, 0))


def test_an_empty_cache(tmp_path: Path) -> None:
    cache = EmbeddingCache(write(tmp_path / "e.arrow", unit(0, 4, 0), unit(0, 4, 1)))
    assert len(cache) == 0 and cache.pair_scores().shape == (0,)
