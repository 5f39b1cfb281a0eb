from __future__ import annotations

import pandas as pd
from synthetic import FRAME, finals, with_reference

from superbatch.reporting.weak_reference import reference_sentence


def test_reference_sentence() -> None:
    assert "ends below uniform: 20.0 % against 41.0 %" in reference_sentence(with_reference(0.2))
    assert "NOT below" in reference_sentence(with_reference(0.6))
    memorised = pd.concat([with_reference(0.2), finals({"uniform": {1600: [0.1, 0.1]}})], ignore_index=True)
    assert "ends below uniform: 20.0 % against 41.0 %" in reference_sentence(memorised), "T is not the longest schedule"
    assert "was not evaluated" in reference_sentence(FRAME)
    alone = with_reference(0.2)
    assert "no uniform run" in reference_sentence(alone[alone["role"] != "uniform"])
