from __future__ import annotations

import pytest
from synthetic import FRAME, with_reference

from superbatch.reporting.comparison import compare
from superbatch.reporting.tables import final_table


def test_table_by_hand() -> None:
    table = final_table(with_reference(0.2), compare(FRAME))
    assert list(table["method"]) == ["uniform"] * 3 + ["filtered"] + ["jest"] * 3 + ["reference"]
    jest = table[table["method"] == "jest"].set_index("steps")
    assert jest.loc[400, "vs uniform"] == pytest.approx(0.5 - 0.31) and jest.loc[100, "value"] == pytest.approx(0.42)
    assert jest.loc[100, "to target: steps"] == 8 and jest["to target: steps"].notna().sum() == 1
    assert jest.loc[100, "high"] - 0.42 == pytest.approx(
        12.706 * 0.01, abs=1e-4
    )  # half the distance of two seeds, times t
    assert (jest.loc[400, "vs uniform low"], jest.loc[400, "vs uniform high"]) == pytest.approx(
        (0.0629, 0.3171), abs=1e-4
    )
