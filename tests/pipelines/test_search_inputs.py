"""What a search refuses, and the command that asks for other words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superbatch.commands import run_command
from superbatch.config import read
from superbatch.errors import UserError
from superbatch.options import SearchSettings
from superbatch.pipelines.search.inputs import asking, check_runs


def test_a_run_that_is_there_or_can_be_made_is_fine(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "stage.stamp").touch()
    check_runs(["mine", "uniform"], ["jest", "uniform"], tmp_path)
    with pytest.raises(UserError, match=r"^search\.runs: no run is called 'unifrom'; did you mean uniform\?$"):
        check_runs(["unifrom"], ["jest", "uniform"], tmp_path)
    with pytest.raises(UserError, match="no run is called 'zzz'; runs: jest, mine"):
        check_runs(["zzz"], ["jest"], tmp_path)


@pytest.mark.parametrize(
    ("given", "queries"),
    [
        (None, ()),
        ("rocket", ("rocket",)),
        (404, ("404",)),
        (["a", " red  fox ", "a"], ("a", "red fox")),
        ([], ()),
    ],
)
def test_queries_are_words_or_a_list_of_them(given: Any, queries: tuple[str, ...]) -> None:
    assert read(SearchSettings, {"query": given}, "search").queries == queries


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"runs": []}, "search.runs: [] has too few entries; use a list of 1 or more"),
        ({"runs": ["jest", "jest"]}, "search.runs: jest is named twice; name each once"),
        ({"limit": 0}, "search.limit: 0 is too small; use 1 or more, or leave it out"),
        ({"top": 0}, "search.top: 0 is too small; use 1 or more"),
        ({"quary": "x"}, "search.quary: unknown parameter; did you mean query?"),
    ],
)
def test_mistakes_in_the_settings_are_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        read(SearchSettings, given, "search")
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("command", "asks"),
    [
        ("kedro run --pipelines=search", "kedro run --pipelines=search '--params=search.query=other words'"),
        (
            "kedro run --pipelines=search --env=icons --params=search.top=3,search.query=rocket",
            "kedro run --pipelines=search --env=icons '--params=search.top=3,search.query=other words'",
        ),
    ],
)
def test_the_page_says_the_command_that_asks_for_other_words(command: str, asks: str) -> None:
    assert asking(command) == asks


@pytest.mark.parametrize("query", [["rocket", "cat"], "a dog, a cat", 'say "a, b": c'])
def test_the_command_leaves_out_the_whole_query(query: Any) -> None:
    command = run_command({"pipeline_names": ["search"], "runtime_params": {"search": {"query": query, "top": 3}}})
    assert asking(command) == "kedro run --pipelines=search '--params=search.top=3,search.query=other words'"
