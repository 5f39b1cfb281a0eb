from __future__ import annotations

import pandas as pd
from synthetic import finals

from superbatch.reporting.tuning import choices, tuned


def test_tuning_goes_by_validation_and_by_seeds() -> None:
    cell = finals({"filtered": {100: [0.5, 0.5]}})
    cell["validation"], cell["variant"] = [0.2, 0.2], "lr 1"
    rival = cell.assign(configuration="two", variant="lr 2", value=0.3, validation=0.4)
    lucky = cell[:1].assign(configuration="three", variant="lr 3", value=0.9, validation=0.9)  # one seed only
    kept = tuned(pd.concat([cell, rival, lucky]))
    assert set(kept["configuration"]) == {"two"}
    assert set(kept["candidates"]) == {("lr 2", "lr 1", "lr 3")}
    assert choices(kept) == "Chosen by validation: filtered at 100 steps lr 2 (not lr 1; lr 3)."
    assert tuned(cell.assign(complete=False)).empty and choices(tuned(cell)) == ""
