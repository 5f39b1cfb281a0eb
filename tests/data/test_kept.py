from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.data.kept import KeptPixels

ROWS, SIZE = np.array([7, 3, 11, 5]), 2


class Counted:
    """Images that tell their row; counts how often each is decoded."""

    image_size = SIZE

    def __init__(self) -> None:
        self.decoded: list[int] = []

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.decoded += rows.tolist()
        return np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (len(rows), 3, SIZE, SIZE)).copy()


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), unique=True), max_size=6), st.booleans())
def test_images_are_what_is_decoded_and_each_is_decoded_once_where_all_fit(reads: list[list[int]], fit: bool) -> None:
    source, whole = Counted(), len(ROWS) * 3 * SIZE**2
    kept = KeptPixels(source, ROWS, whole if fit else whole - 1)
    assert kept.num_bytes == (whole if fit else 0)
    for read in reads:
        places = np.array(read, np.int64)
        found = kept.read(places)
        assert found.dtype == np.uint8 and np.array_equal(found, Counted().read(ROWS[places]))
        found[:] = 0  # what is given away may be changed
    asked = [int(ROWS[place]) for read in reads for place in read]
    assert sorted(source.decoded) == (sorted(set(asked)) if fit else sorted(asked))
