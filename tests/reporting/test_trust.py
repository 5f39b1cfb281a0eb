"""The checklist: what is open has what settles it, and the head of the page follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from test_findings import made

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.templating import render
from superbatch.reporting.tiles import tiles
from superbatch.reporting.trust import Check, cautions, checks
from superbatch.reporting.verdict import model_words, verdict

SETTLED = {"uniform": {20: 0.30, 40: 0.30}, "filtered": {10: 0.31, 20: 0.31}, "jest": {10: 0.30, 20: 0.40}}


def asked(report: Report) -> dict[str, Check]:
    return {check.question: check for check in checks(report)}


def test_with_all_settled_the_result_is_solid_and_saves_steps(tmp_path: Path) -> None:
    report = made(tmp_path, SETTLED, reference=0.235)
    assert cautions(report) == [] and all(check.words for check in checks(report))
    found = verdict(report)
    assert found.chip == "solid"
    assert found.sentence.startswith(
        "jest (f = 0.8): +10.0 points over uniform at 20 steps; at least 2× fewer steps to the same accuracy"
    )
    assert [value for value, _ in tiles(report)][:2] == ["40.0 %", "≥ 2×"]


def test_every_open_question_has_a_command(tmp_path: Path) -> None:
    report = made(tmp_path, {"uniform": {20: 0.30}, "jest": {20: 0.40}}, seeds=1, reference=0.10)
    still_open = [check for check in checks(report) if check.open]
    assert len(still_open) >= 4 and all(check.command.startswith("kedro run --pipeline") for check in still_open)
    found = asked(report)
    assert found["Would another seed say the same?"].runs == (
        "{method: jest, filter_ratio: 0.8, steps: 20, seeds: [1, 2]}",
        "{method: uniform, steps: 20, seeds: [1, 2]}",
    )
    assert found["Has uniform converged?"].runs == ("{method: uniform, steps: 40, seeds: [0]}",)
    assert found["Was a shorter run tried?"].runs == ("{method: jest, filter_ratio: 0.8, steps: 10, seeds: [0]}",)
    assert found["Is the reference strong enough?"].command.startswith(
        "kedro run --pipeline=jest --params=reference.training.steps="
    )
    assert verdict(report).chip == "provisional"


@pytest.mark.parametrize(("env", "file"), [("", "conf/local"), (" --env=mydata", "conf/mydata")])
def test_entries_go_where_the_command_reads_them(tmp_path: Path, env: str, file: str) -> None:
    report = made(tmp_path, {"uniform": {20: 0.30}, "jest": {20: 0.40}}, seeds=1)
    report = Report(replace(report.sources, command=f"kedro run --pipelines=report{env}"))
    check = asked(report)["Has uniform converged?"]
    assert check.command == f"kedro run --pipelines=compare,report{env}"
    told = render("report/trust.html.j2", checks=[check], of_images=True)
    assert f"in {file}/parameters.yml, then run <code>{check.command}</code>" in told


def test_without_a_shorter_run_no_speed_up_is_shown(tmp_path: Path) -> None:
    report = made(tmp_path, {"uniform": {20: 0.30}, "jest": {20: 0.40}})
    assert dict(tiles(report))["–"] == "steps saved: no shorter run was tried"
    assert "fewer steps" not in verdict(report).sentence and not any(value == "1×" for value, _ in tiles(report))


def test_seeds_of_other_methods_do_not_count(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, "independent", 20, b=4, rows=200)
    report = made(tmp_path, {"uniform": {20: 0.30}, "jest": {20: 0.40}})
    assert asked(report)["Would another seed say the same?"].state == "yes"


def test_a_reference_above_uniform_is_unfair(tmp_path: Path) -> None:
    report = made(tmp_path, {"uniform": {20: 0.30, 40: 0.30}, "jest": {20: 0.40}}, reference=0.50)
    assert verdict(report).chip == "unfair reference"
    assert asked(report)["Is the reference weaker than uniform?"].command.endswith("--params=reference.held_out=0.5")


@pytest.mark.parametrize(("values", "chip", "said"), [
    ({"uniform": {10: 0.005}, "jest": {10: 0.007}}, "near chance", "All runs are near chance"),
    ({"uniform": {40: 0.30}, "jest": {20: 0.40}}, "no comparison", "jest (f = 0.8): 40.0 % top-1 after 20 steps; uniform 30.0 % after 40"),
    ({"jest": {20: 0.40}}, "no comparison", "jest (f = 0.8): 40.0 % top-1 after 20 steps"),
])  # fmt: skip
def test_what_cannot_be_compared_is_not(
    tmp_path: Path, values: dict[str, dict[int, float]], chip: str, said: str
) -> None:
    report = made(tmp_path, values)
    found = verdict(report)
    assert found.chip == chip and found.sentence.startswith(said)
    assert all(check.command for check in checks(report) if check.open)


def test_a_loss_and_a_tie_are_called_so(tmp_path: Path) -> None:
    worse = made(tmp_path / "a", {"uniform": {20: 0.40}, "jest": {20: 0.30}})
    assert verdict(worse).sentence == "jest (f = 0.8): 10.0 points below uniform at 20 steps"
    level = made(tmp_path / "b", {"uniform": {20: 0.30}, "jest": {20: 0.303}}, seeds=1)
    assert verdict(level).sentence == "jest (f = 0.8): no clear difference from uniform at 20 steps"


def test_facts_name_pool_model_run_and_day(tmp_path: Path) -> None:
    vision = {"model_cfg": {"vision_cfg": {"image_size": 32, "layers": 4}}}
    path = synthetic.write_run(tmp_path, "jest", 20, model={"config": vision})
    report = Report(replace(Sources(find_runs(tmp_path)), pool="mine"))
    rows, model, run, day = verdict(report).facts
    assert (rows, model, run) == ("pool mine of 2,000 rows", "ViT, 32 px", f"run {path.name}") and len(day) == 10
    assert model_words(find_runs(tmp_path)[0]) == "ViT, 32 px" and "on mine" in verdict(report).subject
