"""Flatness and perceptual hash of images, against slow forms and by what must not change them."""

from __future__ import annotations

import numpy as np
import pytest

from superbatch.curation.images import difference_hash, flatness, grey
from superbatch.curation.neighbours import bits_apart


@pytest.fixture
def pictures() -> np.ndarray:
    """Three blurred pictures, uint8 (3, 3, 36, 36)."""
    coarse = np.random.default_rng(0).integers(0, 200, (3, 3, 9, 9))
    return coarse.repeat(4, 2).repeat(4, 3).astype(np.uint8)


def test_grey_weighs_the_colours_in_whole_numbers() -> None:
    pixels = np.array([255, 100, 0, 10, 20, 30], np.uint8).reshape(2, 3, 1, 1)
    assert list(grey(pixels).ravel()) == [(299 * 255 + 587 * 100) // 1000, (2990 + 11740 + 3420) // 1000]


def test_flatness_is_the_share_of_the_commonest_level() -> None:
    images = np.zeros((3, 4, 4), np.uint8)
    images[1, :2] = 200
    images[2] = np.arange(16).reshape(4, 4) * 16
    assert flatness(images).tolist() == [1.0, 0.5, 1 / 16]


def test_a_bit_says_whether_a_cell_is_brighter_than_its_left_neighbour(pictures: np.ndarray) -> None:
    found = difference_hash(grey(pictures))
    for image, mark in zip(grey(pictures).astype(np.float64), found.tolist(), strict=True):
        rows = np.stack([image[int(np.floor(i * 4.5)) : int(np.ceil((i + 1) * 4.5))].mean(0) for i in range(8)])
        cells = rows.reshape(8, 9, 4).mean(2)
        bits = "".join("01"[int(b > a)] for row in cells for a, b in zip(row[:-1], row[1:], strict=True))
        assert mark == int(bits, 2)


def test_a_hash_survives_light_and_size_and_tells_others_apart(pictures: np.ndarray) -> None:
    hashes = difference_hash(grey(pictures))
    lighter = difference_hash(grey(pictures + np.uint8(40)))
    larger = difference_hash(grey(pictures.repeat(2, 2).repeat(2, 3)))
    apart = bits_apart(hashes, hashes)
    assert bits_apart(lighter, hashes).diagonal().max() <= 2
    assert bits_apart(larger, hashes).diagonal().max() <= 8
    assert apart.diagonal().max() == 0 and apart[~np.eye(3, dtype=bool)].min() > 10


def test_plain_images_of_any_colour_have_no_bit_set() -> None:
    plain = np.arange(0, 250, 10, dtype=np.uint8).reshape(-1, 1, 1).repeat(33, 1).repeat(33, 2)
    assert not difference_hash(plain).any()
