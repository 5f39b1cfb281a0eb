"""What explains where methods end: against ends that were made from what was picked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from superbatch.reporting.explained import FEWEST, fit, fit_cells, fits, method_cells, most_compared

END = "end:classification/top1"


def methods(noise: float = 0.0, count: int = 12) -> pd.DataFrame:
    """Ends are 3 points for a tenth of purity and 5 for twice the concepts."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "method": [f"m{number}" for number in range(count)],
            "f": 0.0,
            "steps": 1_230,
            "seeds": 1,
            "purity": rng.uniform(0.2, 0.95, count),
            "percentile": rng.uniform(0.3, 0.9, count),
            "true_concepts": rng.uniform(10, 80, count),
            "distinct": rng.uniform(4_000, 40_000, count),
            "never": rng.uniform(0, 0.9, count),
        }
    )
    frame[END] = 1 + 30 * frame["purity"] + 5 * np.log2(frame["true_concepts"]) + noise * rng.standard_normal(count)
    return frame


def test_what_the_ends_were_made_from_is_found_and_explains_all():
    found = fit(methods(), END, ("purity", "true_concepts"))
    assert found.slopes == pytest.approx((3.0, 5.0))
    assert found.explained == pytest.approx(1.0) and found.missed == pytest.approx(0.0, abs=1e-9)
    alone = fit(methods(), END, ("purity",))
    assert alone.explained < 0.95 and alone.missed > 1


def test_a_method_is_missed_by_what_the_others_tell_of_it():
    """Against leaving each method out by hand."""
    frame, measures = methods(noise=3.0), ("purity", "distinct")
    missed = []
    for left in range(len(frame)):
        rest = frame.drop(index=left)
        known = np.stack([np.ones(len(frame)), frame["purity"] * 10, np.log2(frame["distinct"])], 1)
        weights = np.linalg.lstsq(known[rest.index], rest[END], rcond=None)[0]
        missed.append(frame[END][left] - known[left] @ weights)
    assert fit(frame, END, measures).missed == pytest.approx(float(np.sqrt(np.mean(np.square(missed)))))


def test_too_few_methods_or_unknown_truth_explain_nothing():
    assert fits(methods(count=FEWEST - 1)) == {}
    assert fits(methods().assign(purity=np.nan, true_concepts=np.nan)) == {}
    assert list(fits(methods())) == [END]


def test_tables_have_the_best_first_and_leave_out_what_nobody_knows():
    frame = methods()
    cells = method_cells(frame.assign(purity=np.nan))
    assert cells["method"][0] == frame["method"][frame[END].idxmax()] and "good pairs %" not in cells
    told = fit_cells(fits(frame))
    assert "good pairs and concepts" in set(told["by"]) and set(told["explained %"]) <= set(
        map(str, told["explained %"])
    )


def test_the_length_of_most_methods_is_compared():
    frame = pd.concat([methods(), methods(count=3).assign(steps=400)], ignore_index=True)
    assert set(most_compared(frame)["steps"]) == {1_230}
