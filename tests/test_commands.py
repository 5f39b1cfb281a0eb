from __future__ import annotations

import shlex
from typing import Any

import pytest
from kedro.runner import ParallelRunner, SequentialRunner
from omegaconf import OmegaConf

from superbatch.commands import run_command
from superbatch.given import read_params


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({}, "kedro run"),
        ({"pipeline_names": ["jest"], "env": None, "runner": str(SequentialRunner())}, "kedro run --pipelines=jest"),
        ({"pipeline_names": ["compare", "report"], "env": "quick"}, "kedro run --pipelines=compare,report --env=quick"),
        (
            {"pipeline_names": ["learner"], "namespaces": ["jest"], "runner": str(ParallelRunner())},
            "kedro run --pipelines=learner --namespaces=jest --runner=ParallelRunner",
        ),
        (
            {"runtime_params": {"a": {"b": 3, "c": {"d": True}}, "e": "x y"}},
            "kedro run '--params=a.b=3,a.c.d=true,e=x y'",
        ),
    ],
)
def test_the_command_is_the_one_that_was_given(given: dict[str, Any], command: str) -> None:
    assert run_command(given) == command


def test_parameters_come_back_as_they_were() -> None:
    params = {
        "learner": {"training": {"steps": 5, "fresh": False, "keep_best": None}},
        "rate": 1e-05,
        "glob": "a/*.tar",
    }
    word = shlex.split(run_command({"runtime_params": params}))[-1]
    items = word.removeprefix("--params=").split(",")
    assert OmegaConf.to_container(OmegaConf.from_dotlist(items)) == params


@pytest.mark.parametrize(
    "text",
    [
        "cat: a dog",
        "2024",
        "C #1",
        "yes",
        "null",
        "",
        " a ",
        "?",
        "it's",
        "a, b",
        "p/{0..3}.tar",
        "[x",
        'x "y, z": w',
        "x\\",
    ],
)
def test_a_text_comes_back_as_this_text(text: str) -> None:
    """Also as one of a list, and before another setting."""
    params = {"search": {"query": text, "queries": [text, "b"]}, "report": {"title": "Mine"}}
    (word,) = shlex.split(run_command({"runtime_params": params}))[2:]
    assert read_params(word.removeprefix("--params=")) == params


def test_quotes_stand_only_where_they_are_needed() -> None:
    params = {"a": "the cat's", "b": "p/{0..3}.tar", "c": "x y", "d": "12"}
    (word,) = shlex.split(run_command({"runtime_params": params}))[2:]
    assert word == '--params=a=the cat\'s,b=p/{0..3}.tar,c=x y,d="12"'
