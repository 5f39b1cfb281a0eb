from __future__ import annotations

import pandas as pd
from synthetic import finals

from superbatch.reporting.tuning import tuned


def test_tuning_goes_by_validation_and_by_seeds() -> None:
    cell = finals({"filtered": {100: [0.5, 0.5]}})
    cell["validation"] = [0.2, 0.2]
    rival = cell.assign(configuration="two", value=0.3, validation=0.4)
    lucky = cell[:1].assign(configuration="three", value=0.9, validation=0.9)  # one seed only
    kept = tuned(pd.concat([cell, rival, lucky]))
    assert set(kept["configuration"]) == {"two"}
    assert tuned(cell.assign(complete=False)).empty
