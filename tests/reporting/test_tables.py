from __future__ import annotations

import pandas as pd
import pytest
from test_targets import UNIFORM, finals

from superbatch.reporting.tables import final_table, readable, reference_sentence, target_table, to_markdown, to_text
from superbatch.reporting.targets import compare

FRAME = finals(
    {"uniform": UNIFORM, "filtered": {400: [0.35, 0.37]}, "jest": {50: [0.3, 0.3], 100: [0.41, 0.43], 400: [0.5, 0.5]}}
)


def with_reference(value: float) -> pd.DataFrame:
    reference = finals({"reference": {0: [value]}}).assign(role="reference", f=0.0)
    return pd.concat([FRAME, reference], ignore_index=True)


def test_table_by_hand() -> None:
    table = final_table(with_reference(0.2), compare(FRAME))
    assert list(table["method"]) == ["uniform"] * 3 + ["filtered"] + ["jest"] * 3 + ["reference"]
    jest = table[table["method"] == "jest"].set_index("steps")
    assert jest.loc[400, "vs uniform"] == pytest.approx(0.5 - 0.31) and jest.loc[100, "value"] == pytest.approx(0.42)
    assert jest.loc[100, "to target: steps"] == 8 and jest["to target: steps"].notna().sum() == 1
    assert jest.loc[100, "low"] >= 0.41 and jest.loc[100, "high"] <= 0.43


def test_cells_markdown_and_text() -> None:
    cells = readable(final_table(with_reference(0.2), compare(FRAME)))
    markdown = to_markdown(cells)
    assert "| jest (f = 0.8) |" in markdown and "8×" in markdown and "+19.0" in markdown
    assert len(markdown.splitlines()) == 10 and len({line.count("|") for line in markdown.splitlines()}) == 1
    text = to_text(cells)
    assert len({len(line) for line in text.splitlines()}) == 1 and "42.0 [41.0, 43.0]" in text


def test_pipes_do_not_break_markdown() -> None:
    assert r"a\|b" in to_markdown(pd.DataFrame({"x": ["a|b"]}))


def test_empty_tables_are_a_sentence() -> None:
    cells = readable(final_table(FRAME.assign(complete=False)))
    assert to_markdown(cells) == to_text(cells) == "No finished runs."


def test_settings_that_all_share_are_left_out() -> None:
    frame = FRAME.assign(variant=["best 30 %, lr 0.001" if m == "filtered" else "lr 0.001" for m in FRAME["method"]])
    assert set(readable(final_table(frame))["setting"]) == {"", "best 30 %"}
    assert "setting" not in readable(final_table(FRAME.assign(variant="lr 0.001")))


def test_reference_sentence() -> None:
    assert "ends below uniform: 20.0 % against 41.0 %" in reference_sentence(with_reference(0.2))
    assert "NOT below" in reference_sentence(with_reference(0.6))
    memorised = pd.concat([with_reference(0.2), finals({"uniform": {1600: [0.1, 0.1]}})], ignore_index=True)
    assert "ends below uniform: 20.0 % against 41.0 %" in reference_sentence(memorised), "T is not the longest schedule"
    assert "was not evaluated" in reference_sentence(FRAME)
    alone = with_reference(0.2)
    assert "no uniform run" in reference_sentence(alone[alone["role"] != "uniform"])


def test_target_table_words() -> None:
    cells = target_table(compare(FRAME)).set_index(["method", "target"])
    assert cells.loc[("jest (f = 0.8)", "uniform, 41.0 % at 800"), "steps needed"] == "100"
    assert cells.loc[("filtered", "uniform, 41.0 % at 800"), "steps needed"] == "not reached (best 36.0 % at 400)"
    only = target_table(compare(finals({"uniform": UNIFORM, "jest": {100: [0.5]}})))
    assert only["steps needed"][0] == "≤ 100" and only["steps"][0].startswith("≥ 8×")
