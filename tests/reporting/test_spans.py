from __future__ import annotations

import numpy as np

from superbatch.reporting.spans import spans


def test_spans_cover_all_steps_evenly() -> None:
    index, middles = spans(np.arange(10), 3)
    assert list(np.bincount(index)) == [4, 3, 3] and len(middles) == 3
    assert list(spans(np.array([5, 6]), 40)[1]) == [5, 6]
