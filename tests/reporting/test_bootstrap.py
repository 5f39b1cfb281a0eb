from __future__ import annotations

import numpy as np
import pytest

from superbatch.reporting.bootstrap import mean_interval


def test_mean_interval() -> None:
    mean, low, high = mean_interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2) and 0.1 <= low < mean < high <= 0.3
    assert mean_interval([0.5])[0] == 0.5 and np.isnan(mean_interval([0.5])[1]) and np.isnan(mean_interval([])[0])
