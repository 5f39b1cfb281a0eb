from __future__ import annotations

from pathlib import Path

import pytest
import synthetic

from superbatch.reporting.runs import Run


def test_costs_count_and_charge(tmp_path: Path) -> None:
    run = Run(synthetic.write_run(tmp_path, "jest", 20, b=16, rows=100))
    totals, forward = run.totals(), synthetic.FORWARD
    assert totals["flops_as_executed"] == 20 * 16 * forward * (3 + 5)
    assert totals["flops_paper"] == 20 * 16 * forward * (2 + 5)
    assert totals["flops_charged"] == totals["flops_as_executed"] + 2e9 + 100 * forward
    assert totals["seconds"] == pytest.approx(20 * 0.059)
