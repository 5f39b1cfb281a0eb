from __future__ import annotations

import numpy as np
import pytest

from superbatch.reporting import Report, Sources
from superbatch.reporting.cost import amount, cost_table


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("samples", 51_200, "51,200"),
        ("flops_paper", 4.7215e12, "4.72 TFLOPs"),
        ("flops_charged", 2.5e23, "250 ZFLOPs"),
        ("seconds", 70.31, "70.3 s"),
        ("seconds", 600, "10 min"),
        ("seconds", 7_500, "2 h 05 min"),
        ("seconds", np.nan, "–"),
    ],
)
def test_amounts_have_units(key: str, value: float, shown: str) -> None:
    assert amount(key, value) == shown


def test_the_cost_stands_beside_that_of_uniform(report: Report) -> None:
    cells = cost_table(report).set_index("cost")
    assert cells.loc["FLOPs, as executed", "times uniform"] == "2.67×"  # 3 + B/b = 8 forward passes against 3
    assert cells.loc["samples trained", "times uniform"] == "1×" and cells.loc["samples scored", "uniform"] == "0"
    alone = Report(Sources([report.main]))
    assert list(cost_table(alone)) == ["cost", report.main.name]
