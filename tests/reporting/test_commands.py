"""Suggested commands are as the one that made the page was given, but for what they change."""

from __future__ import annotations

import pytest

from superbatch.reporting.commands import kedro_run


@pytest.mark.parametrize(
    ("made_by", "params", "expected"),
    [
        (None, [], "kedro run --pipelines=report"),
        ("kedro run --pipeline=jest --env=mydata", [], "kedro run --pipelines=report --env=mydata"),
        (
            "kedro run --pipeline=jest --params=learner.training.batch_size=8,jest.learner.pool.keep_share=0.5",
            [],
            "kedro run --pipelines=report --params=learner.training.batch_size=8,jest.learner.pool.keep_share=0.5",
        ),
        (
            "kedro run '--params=a=[1,2],learner.training.steps=5,jest.learner.training.steps=6,advise.probe=3'",
            ["learner.training.steps=9"],
            "kedro run --pipelines=report '--params=a=[1,2],learner.training.steps=9'",
        ),
    ],
)
def test_environment_and_parameters_stay_but_for_what_is_set_anew(
    made_by: str | None, params: list[str], expected: str
) -> None:
    assert kedro_run(made_by, "--pipelines=report", params=params, without=["advise"]) == expected
