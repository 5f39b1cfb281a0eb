"""Which preset is advised: rule by rule, the order between them, how sure it is, and that the recorded rows are the recorded ones."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.commands import run_command
from superbatch.pipeline_registry import ADVISED
from superbatch.reporting.advice.budget import affordable
from superbatch.reporting.advice.measured import Costs, Measured, PoolFacts, Probe, ReferenceFacts
from superbatch.reporting.advice.recorded import ROWS, plain_steps
from superbatch.reporting.advice.rules import advise
from superbatch.reporting.advice.words import command_for, line, page, record, recorded_line
from tests.project import PROJECT

RESULTS = PROJECT / "benchmarks" / "results"
FLAT = (0.0, 0.31, 0.34, 0.35, 0.33, 0.36, 0.35, 0.36, 0.37, 0.35, 0.36, 0.36)
GROWING = (0.0, 0.24, 0.35, 0.36, 0.40, 0.43, 0.45, 0.47)
RIGHT = (0.0, 0.25, 0.33, 0.36, 0.38, 0.42, 0.44, 0.46, 0.52, 0.54, 0.57, 0.57)
HELPS = ReferenceFacts("helps", (0.92, 0.87, 0.96), 0.37, 77)
LABELS = replace(HELPS, verdict="unsure", of_labels=True)
WEAK = ReferenceFacts("would_harm", (0.64, 0.62, 0.66), 0.05, 1_000)


def probe(name: str, value: float, tflop: float = 1.33, shares: tuple[float, ...] = ()) -> Probe:
    return Probe(name, 600, value, 960, tflop, shares, name != "uniform")


def probes(
    uniform: float = 0.06, easy: float = 0.41, own: float = 0.42, shares: tuple[float, ...] = FLAT
) -> tuple[Probe, ...]:
    return (
        probe("uniform", uniform),
        probe("easy_reference", easy),
        probe("adaptive_self_paced", own, 1.84, shares),
    )


# A pool like simweb, asked about 1,230 steps.
NOISY = Measured(
    HELPS,
    PoolFacts(39_600, 64, 0.56, 59.0, 64),
    probes(),
    Costs(0.002213, 2.23),
    1_230,
    None,
    ADVISED,
    "classification/top1",
)


@pytest.mark.parametrize(
    ("changed", "rule", "preset", "runner_up"),
    [
        ({}, "noisy", "adaptive_common", "adaptive_self_paced"),
        ({"reference": replace(HELPS, verdict="unsure")}, "noisy", "adaptive_self_paced", "adaptive_common"),
        ({"probes": probes(shares=RIGHT)}, "mostly_right", "safe_common", "adaptive_common"),
        ({"probes": probes(shares=RIGHT), "steps": None, "tflop": 8.0}, "needs_none", "common_first", "safe_common"),
        ({"probes": probes(shares=RIGHT), "steps": None, "tflop": 2.0}, "needs_none", "common_first", "safe_common"),
        (
            {"probes": probes(shares=RIGHT), "steps": None, "tflop": 15.0},
            "mostly_right",
            "safe_common",
            "adaptive_common",
        ),
        (
            {"probes": probes(shares=RIGHT), "pool": PoolFacts(316_000, 64, 0.56, 59.0, 64)},
            "short",
            "easy_reference",
            "adaptive_common",
        ),
        ({"probes": probes(shares=GROWING)}, "not_known", "adaptive_common", "adaptive_self_paced"),
        ({"probes": probes(shares=FLAT[:4])}, "not_known", "adaptive_common", "adaptive_self_paced"),
        ({"probes": probes(shares=())}, "not_known", "adaptive_common", "adaptive_self_paced"),
        ({"probes": probes(shares=(0.02,) * 12)}, "not_known", "adaptive_common", "adaptive_self_paced"),
        ({"reference": WEAK}, "weak_reference", "adaptive_self_paced", "self_paced"),
        ({"reference": WEAK, "probes": probes(shares=RIGHT)}, "weak_reference", "adaptive_self_paced", "self_paced"),
        (
            {"reference": replace(WEAK, auc=(0.52, 0.49, 0.56))},
            "no_reference",
            "uniform",
            "adaptive_common",
        ),
        (
            {"reference": replace(WEAK, auc=(0.52, 0.49, 0.56)), "probes": probes(shares=RIGHT)},
            "no_reference",
            "common_first",
            "uniform",
        ),
        ({"steps": 1_200}, "probes", "adaptive_self_paced", "easy_reference"),
        ({"steps": 1_200, "probes": probes(own=0.40)}, "probes", "easy_reference", "adaptive_self_paced"),
        ({"steps": 1_200, "probes": probes(own=0.50)}, "probes", "adaptive_self_paced", "easy_reference"),
        ({"steps": 1_200, "probes": probes(0.40)}, "noisy", "adaptive_common", "adaptive_self_paced"),
        ({"reference": LABELS}, "labels", "adaptive_common", "uniform"),
        (
            {"probes": (*probes(), replace(probe("adaptive_common", 0.41), of_labels=True))},
            "labels",
            "adaptive_common",
            "uniform",
        ),
        ({"reference": LABELS, "steps": None, "tflop": 8.0}, "labels", "uniform", "adaptive_common"),
        ({"reference": LABELS, "steps": 1_200}, "probes", "adaptive_self_paced", "easy_reference"),
        ({"reference": LABELS, "steps": 1_200, "probes": probes(0.40)}, "labels", "adaptive_common", "uniform"),
        ({"probes": probes(0.60)}, "uniform_is_ahead", "uniform", "adaptive_self_paced"),
        ({"steps": None, "tflop": 8.0}, "noisy", "adaptive_common", "adaptive_self_paced"),
        ({"steps": None, "tflop": 5.5}, "noisy", "flexi_self_paced", "adaptive_common"),
        (
            {"reference": replace(HELPS, verdict="unsure"), "probes": probes(shares=GROWING)},
            "not_known",
            "adaptive_self_paced",
            "adaptive_common",
        ),
        ({"steps": None, "tflop": 15.0}, "noisy", "adaptive_common", "adaptive_self_paced"),
        ({"steps": None, "tflop": 2.5}, "too_dear", "uniform", "easy_reference"),
        ({"steps": None, "tflop": 2.0}, "too_dear", "uniform", "easy_reference"),
        ({"steps": None, "tflop": 4.0}, "probes", "easy_reference", "adaptive_self_paced"),
    ],
)
def test_each_case_has_its_rule(changed: dict, rule: str, preset: str, runner_up: str) -> None:
    advice = advise(replace(NOISY, **changed))
    assert (advice.rule, advice.preset, advice.runner_up) == (rule, preset, runner_up)
    assert advice.why and advice.change


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 1_200}, "adaptive_self_paced and easy_reference lead, too close to call, and the first scores highest"),
        ({"steps": None, "tflop": 4.0}, "easy_reference and adaptive_self_paced lead, too close to call, and the first costs least"),
        ({"steps": 1_200, "probes": probes(own=0.50)}, "adaptive_self_paced leads ("),
    ],
)  # fmt: skip
def test_of_candidates_too_close_to_call_the_budget_decides(changed: dict, said: str) -> None:
    assert said in advise(replace(NOISY, **changed)).why


def test_a_pool_that_is_not_settled_needs_a_larger_share_of_the_budget_than_a_noisy_one() -> None:
    """7.4 TFLOP are spent of 10, which noise makes up for."""
    dear = replace(NOISY, costs=Costs(0.002213, 7.4), steps=None, tflop=10.0)
    assert advise(dear).rule != "too_dear"
    assert advise(replace(dear, probes=probes(shares=GROWING))).rule == "too_dear"


def test_a_preset_that_is_not_there_is_never_advised() -> None:
    advice = advise(replace(NOISY, known=("uniform", "easy_reference", "flexi_self_paced")))
    assert (advice.preset, advice.runner_up) == ("flexi_self_paced", "uniform")
    assert (
        advise(replace(NOISY, known=("mine",))).preset == "mine"
        and not advise(replace(NOISY, known=("mine",))).runner_up
    )


@pytest.mark.parametrize(
    ("changed", "confidence", "doubt"),
    [
        ({}, "high", ""),
        ({"steps": 600}, "high", ""),
        ({"steps": 1_000}, "medium", "longer than the probes"),
        ({"reference": replace(HELPS, verdict="unsure")}, "medium", "unsure"),
        ({"reference": ReferenceFacts("unsure", None, None, 10)}, "medium", "too few curated pairs"),
        ({"reference": WEAK}, "medium", "one seed each"),
        ({"probes": probes(shares=GROWING)}, "medium", "is not settled"),
        ({"probes": probes(shares=())}, "low", "not known"),
        ({"steps": 16_000}, "medium", "through the pool 25.9 times"),
        ({"steps": 16_000, "reference": replace(HELPS, verdict="unsure")}, "low", "unsure"),
        ({"pool": PoolFacts(4_471, 64)}, "low", "too small"),
        ({"probes": probes(0.40)}, "medium", "clearly ahead of uniform's"),
        ({"probes": probes(shares=RIGHT)}, "medium", "on icons alone"),
        ({"probes": probes(shares=(0.6,) * 12)}, "low", "right pairs is 60.0 %, unlike on any recorded pool"),
        ({"probes": probes(shares=(0.2,) * 12)}, "medium", "right pairs is 20.0 %"),
        ({"probes": probes(shares=(0.95,) * 12)}, "medium", "on icons alone"),
        ({"probes": probes(shares=RIGHT), "pool": PoolFacts(200_000, 64)}, "medium", "safe has one seed on record"),
        (
            {"steps": 600, "reference": replace(HELPS, validation=0.46)},
            "medium",
            "the reference alone is ahead of every probe",
        ),
        ({"steps": 600, "reference": replace(HELPS, validation=0.45)}, "high", ""),
        ({"reference": replace(HELPS, validation=0.46)}, "high", ""),
        ({"steps": None, "tflop": 2.3}, "high", ""),
        ({"steps": None, "tflop": 2.5}, "medium", "near the limit"),
        ({"steps": 600, "probes": probes()[1:]}, "medium", "no probe of uniform"),
    ],
)
def test_every_doubt_takes_confidence(changed: dict, confidence: str, doubt: str) -> None:
    advice = advise(replace(NOISY, **changed))
    assert advice.confidence == confidence
    assert any(doubt in said for said in advice.doubts) if doubt else not advice.doubts


def test_a_budget_in_operations_pays_fewer_steps_of_what_costs_more() -> None:
    given = replace(NOISY, steps=None, tflop=10.0)
    assert affordable(given, "uniform") == int(10 / 0.002213)
    assert affordable(given, "easy_reference") == int((10 - 2.23) / 0.002213)
    assert affordable(given, "adaptive_self_paced") == pytest.approx((10 - 2.23) / (5.76 / 1_230), rel=0.01)
    assert affordable(replace(given, tflop=1.0), "easy_reference") == 1, "nothing is left"
    assert advise(replace(NOISY, steps=77)).steps == 77


SHARES = st.lists(st.floats(0, 1), max_size=14).map(tuple)
PROBE = st.builds(
    Probe, st.sampled_from(["uniform", *ADVISED, "mine"]), st.integers(1, 10**6), st.floats(0, 1), st.integers(0, 10**6),
    st.floats(0, 1e9), SHARES, st.booleans(),
)  # fmt: skip
SHARE = st.none() | st.floats(0, 1)
REFERENCE = st.builds(
    ReferenceFacts, st.sampled_from(["helps", "unsure", "would_harm"]), st.none() | st.tuples(*[st.floats(0, 1)] * 3), SHARE,
    st.integers(0, 10**6), SHARE, SHARE,
)  # fmt: skip
POOL = st.builds(
    PoolFacts, st.integers(1, 10**10), st.integers(1, 10**5), SHARE, st.floats(1, 64), st.just(64), st.floats(0, 1)
)
BUDGET = st.tuples(st.integers(1, 10**9), st.none()) | st.tuples(st.none(), st.floats(1e-9, 1e9))
KNOWN = st.lists(st.sampled_from([*ADVISED, "mine"]), min_size=1, unique=True).map(tuple)


@given(REFERENCE, POOL, st.lists(PROBE, max_size=4).map(tuple), st.floats(1e-12, 1e3), st.floats(0, 1e6), BUDGET, KNOWN)
def test_whatever_was_measured_a_known_preset_is_advised(
    reference: ReferenceFacts, pool: PoolFacts, tried: tuple, plain: float, before: float, budget: tuple, known: tuple
) -> None:
    measured = Measured(reference, pool, tried, Costs(plain, before), *budget, known)
    advice = advise(measured)
    assert advice.preset in known and advice.runner_up in {*known, None} - {advice.preset} and advice.steps >= 1
    assert (advice.confidence == "high") == (not advice.doubts)
    assert line(advice).startswith("run ") and f"`{advice.preset}`" in page(advice, measured)
    again = json.loads(json.dumps(record(advice, measured, "pool", "reference")))
    assert Measured.of_record(again["measured"]) == measured, "it can be decided anew from its record"


def test_the_page_names_the_command_and_what_is_on_record(tmp_path: Path) -> None:
    advice = advise(NOISY)
    told = page(advice, NOISY, "kedro run --pipelines=advise --env=icons")
    assert "kedro run --pipeline=adaptive_common --env=icons --params=learner.training.steps=1230\n" in told
    assert "- simweb: adaptive_self_paced, 1,230 steps: top-1 53.6 %" in told and "| uniform | 600 | 6.0 % [" in told


def test_the_command_keeps_what_the_advice_was_asked_with() -> None:
    """All but the advice's own settings and the steps, which it sets itself."""
    given = {
        "advise": {"probe": 12, "candidates": ["uniform", "safe"]},
        "learner": {"training": {"batch_size": 8, "steps": 50}},
        "adaptive_common": {"learner": {"training": {"steps": 60}}},
        "reference": {"import_from": "checkpoints/my own"},
    }
    asked = run_command({"pipeline_names": ["advise"], "env": "mydata", "runtime_params": given})
    kept = (
        "'--params=learner.training.batch_size=8,reference.import_from=checkpoints/my own,learner.training.steps=1230'"
    )
    assert command_for(advise(NOISY), asked) == f"kedro run --pipeline=adaptive_common --env=mydata {kept}"
    assert command_for(advise(NOISY), "") == (
        "kedro run --pipeline=adaptive_common --params=learner.training.steps=1230"
    )


def test_an_advice_about_another_pool_is_not_shown(tmp_path: Path) -> None:
    assert recorded_line(tmp_path, "mine") == ""
    (tmp_path / "advice.json").write_text(json.dumps(record(advise(NOISY), NOISY, "mine", "weights")))
    assert recorded_line(tmp_path, "mine").startswith("Advice: run adaptive_common for 1,230 steps (confidence high)")
    assert recorded_line(tmp_path, "other") == ""


# The record


def grid(world: str) -> dict[tuple[str, int], list[tuple[float, ...]]]:
    found = defaultdict(list)
    for row in json.loads((RESULTS / f"compare_{world}.json").read_text()):
        found[row["label"], row["plan"]["steps"]].append(_numbers(row["test"]) + tuple(_costs(row["flops"])))
    return found


def _numbers(test: dict[str, float]) -> tuple[float, float]:
    return 100 * test["classification/top1"], 50 * (
        test["retrieval/image_to_text_r1"] + test["retrieval/text_to_image_r1"]
    )


def _costs(flops: dict[str, float]) -> list[float]:
    return [flops[name] / 1e12 for name in ("as_executed_total", "charged_total")]


@pytest.mark.parametrize("world", ["simweb", "icons"])
def test_the_rows_are_those_on_record(world: str) -> None:
    found = grid(world)
    for row in (row for row in ROWS if row.pool == world and not row.reference):
        recorded = found[row.run, row.steps]
        assert len(recorded) == row.seeds, row
        assert np.abs(np.mean(recorded, 0) - [row.top1, row.r1, row.tflop, row.charged]).max() <= 0.051, row


def test_the_rows_of_weak_references_are_those_on_record() -> None:
    lines = [json.loads(text) for text in (RESULTS / "reference_map.jsonl").open()]
    found = {(one["world"], one["method"], one["label"]): one for one in lines if one["kind"] == "learner"}
    weak = [row for row in ROWS if row.reference]
    assert weak
    for row in weak:
        recorded = found[row.pool, row.run, None if row.run == "uniform" else row.reference]
        assert recorded["steps"] == row.steps
        assert np.abs(np.array(_numbers(recorded["test"])) - [row.top1, row.r1]).max() <= 0.051, row


def test_costs_are_by_the_record() -> None:
    assert plain_steps("simweb", "adaptive_self_paced") == pytest.approx(2.12, abs=0.01)
    assert plain_steps("icons", "adaptive_self_paced") == pytest.approx(1.10, abs=0.01)
    assert plain_steps("simweb", "flexi_self_paced") == pytest.approx(1.26, abs=0.01)
    assert plain_steps("simweb", "easy_reference") == pytest.approx(1.0, abs=0.01) == plain_steps("simweb", "no run")


def test_what_the_check_found_is_read_also_where_it_could_say_little() -> None:
    auc = {"value": 0.9, "low": 0.8, "high": 0.95, "pairs": 77}
    check = {
        "verdict": "helps", "line": "the reference helps", "pairs": {"held_out": 77}, "auc": {"pair": {"all": auc}},
        "recall": {"held_out": {"value": 0.3}}, "bad_share": {"value": 0.7},
        "loss": {"held_out": {"as_it_is": 3.9}, "training": {"as_it_is": 0.7}},
    }  # fmt: skip
    found = ReferenceFacts.of(check, 0.31)
    assert found == ReferenceFacts("helps", (0.9, 0.8, 0.95), 0.3, 77, 0.7, 0.31, "the reference helps", (3.9, 0.7))
    little = {
        "verdict": "unsure",
        "pairs": {"held_out": 3},
        "auc": None,
        "recall": None,
        "bad_share": None,
        "loss": None,
    }
    assert ReferenceFacts.of(little) == ReferenceFacts("unsure", None, None, 3)
    assert ReferenceFacts.of(little | {"loss": {"held_out": None, "training": {"as_it_is": 1.0}}}).loss is None
