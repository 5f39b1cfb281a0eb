from __future__ import annotations

import pandas as pd
from synthetic import FRAME, UNIFORM, finals, with_reference

from superbatch.reporting.cells import readable, target_table, to_markdown, to_text
from superbatch.reporting.comparison import compare
from superbatch.reporting.tables import final_table


def test_cells_markdown_and_text() -> None:
    cells = readable(final_table(with_reference(0.2), compare(FRAME)))
    markdown = to_markdown(cells)
    assert "| jest (f = 0.8) |" in markdown and "8×" in markdown and "+19.0" in markdown
    assert len(markdown.splitlines()) == 10 and len({line.count("|") for line in markdown.splitlines()}) == 1
    text = to_text(cells)
    assert len({len(line) for line in text.splitlines()}) == 1 and "42.0 [29.3, 54.7]" in text


def test_pipes_do_not_break_markdown() -> None:
    assert r"a\|b" in to_markdown(pd.DataFrame({"x": ["a|b"]}))


def test_empty_tables_are_a_sentence() -> None:
    cells = readable(final_table(FRAME.assign(complete=False)))
    assert to_markdown(cells) == to_text(cells) == "No finished runs."


def test_settings_that_all_share_are_left_out() -> None:
    frame = FRAME.assign(variant=["best 30 %, lr 0.001" if m == "filtered" else "lr 0.001" for m in FRAME["method"]])
    assert set(readable(final_table(frame))["setting"]) == {"", "best 30 %"}
    assert "setting" not in readable(final_table(FRAME.assign(variant="lr 0.001")))


def test_target_table_words() -> None:
    cells = target_table(compare(FRAME)).set_index(["method", "target"])
    assert cells.loc[("jest (f = 0.8)", "uniform, 41.0 % at 800"), "steps needed"] == "100"
    assert cells.loc[("filtered", "uniform, 41.0 % at 800"), "steps needed"] == "not reached (best 36.0 % at 400)"
    only = target_table(compare(finals({"uniform": UNIFORM, "jest": {100: [0.5]}})))
    assert only["steps needed"][0] == "≤ 100" and only["steps"][0].startswith("≥ 8×")
