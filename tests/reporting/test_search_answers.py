"""Answers as a console and a table show them."""

from __future__ import annotations

import searching

from superbatch.reporting.search.answers import COLUMNS, Answer, console_text, frame


def test_the_runs_stand_beside_each_other() -> None:
    answers = [searching.answer("red square", "line\nbreaks and very much more than a console has room for")]
    lines = console_text(answers, "Searched: something.").splitlines()
    assert lines[:2] == ["Searched: something.", ""] and lines[2] == "red square"
    assert lines[3].split() == ["rank", "jest", "uniform"]
    assert lines[4].split()[:2] == ["1", "+0.500"] and lines[4].count("+0.500  line breaks and") == 2
    assert len(lines) == 7 and max(map(len, lines)) < 140


def test_fewer_pictures_of_one_run_leave_a_gap() -> None:
    made = searching.answer()
    made = Answer("x", {"jest": made.hits["jest"], "uniform": made.hits["uniform"][:1]}, ("x",))
    lines = console_text([made], "").splitlines()
    assert [line.count("pool") for line in lines[4:7]] == [2, 1, 1]
    assert lines[-1] == "No caption searched has “x”: the runs may never have learned what that means."


def test_the_table_has_every_picture_found() -> None:
    table = frame([searching.answer("a"), searching.answer("b")])
    assert tuple(table.columns) == COLUMNS and len(table) == 12
    last = table.iloc[-1]
    assert (last["query"], last["run"], last["rank"], last["row"], last["set"]) == ("b", "uniform", 3, 2, "pool")
