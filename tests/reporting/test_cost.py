from __future__ import annotations

import numpy as np
import pytest

from superbatch.reporting import Report, Sources
from superbatch.reporting.accounts import by_tower, one_off_seconds, spent_on
from superbatch.reporting.cost import amount, cost_table, sentence, split_table, uniform_beside, whole


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


def test_operations_are_told_by_tower_in_both_accountings(report: Report) -> None:
    cells = cost_table(report)
    towers = cells[cells["cost"].str.contains(" tower")]
    assert list(towers["times uniform"]) == ["2.33×", "2.33×", "2.67×", "2.67×"]
    own, beside = whole(report.main), uniform_beside(report)
    assert beside is not None
    for accounting in ("paper", "as_executed"):
        parts = own[f"flops_{accounting}_image"] + own[f"flops_{accounting}_text"]
        assert parts == pytest.approx(own[f"flops_{accounting}"])
    assert (
        own["seconds_charged"] == pytest.approx(own["seconds"] + 32)
        and whole(beside)["seconds_charged"] == whole(beside)["seconds"]
    )
    told = sentence(report)
    assert (
        "took 2.67× uniform's operations as executed (image tower 2.67×, text tower 2.67×), 2.33× by the paper's"
        in told
    )
    assert sentence(Report(Sources([report.main]))) == ""


def test_what_it_was_spent_on_adds_up(report: Report) -> None:
    found, own = spent_on(report.main.record, report.main.ledger), whole(report.main)
    assert list(found.index) == ["train", "score", "data", "select", "reference", "embed"]
    assert found["flops_as_executed"].sum() == pytest.approx(own["flops_charged"])
    assert found["flops_paper"].sum() == pytest.approx(own["flops_paper"])
    assert found["seconds"].sum() == pytest.approx(own["seconds_charged"])
    cells = split_table(report.main).set_index("spent on")
    assert cells.loc["choosing", "FLOPs, as executed"] == "–" and cells.loc["scoring", "time"].endswith(" s")


def test_older_records_tell_what_they_know(report: Report) -> None:
    record = {
        "flops": {"as_executed_total": 5.0, "charged": {"reference_training": 2.0}},
        "seconds": {"seconds_train": 3.0},
    }
    assert np.isnan(one_off_seconds(record)) and by_tower(record, "paper") == {}
    assert spent_on(record, None).index.tolist() == ["reference_training"]
