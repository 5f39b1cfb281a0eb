from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from superbatch import config
from superbatch.config import IngestSettings, check_parameters, learner_settings, merge, method_names, read
from superbatch.errors import UserError
from superbatch.options import AuditSettings, LearnerSettings, ReferenceSettings, SimwebSettings
from superbatch.pipelines.simweb.nodes import is_used

PROJECT = Path(__file__).parents[1]


def parameters(env: str = "base") -> dict[str, Any]:
    merging = {"parameters": "soft", "globals": "soft"}
    return OmegaConfigLoader(
        str(PROJECT / "conf"), env=env, base_env="base", default_run_env="base", merge_strategy=merging
    )["parameters"]


@pytest.mark.parametrize("env", ["base", "quick", "emoji", "fashion"])
def test_the_projects_own_parameters_are_valid(env: str) -> None:
    check_parameters(parameters(env))


def test_a_method_is_the_template_with_its_own_on_top() -> None:
    given = parameters()
    jest, uniform = (learner_settings(given["learner"], given[m]["learner"], m) for m in ("jest", "uniform"))
    assert jest.selection.method == "joint"
    assert uniform.selection.method == "uniform"
    assert jest.training == uniform.training
    assert jest.model == uniform.model


def test_merge_leaves_both_sides_alone() -> None:
    base, override = {"a": {"b": 1, "c": [1, 2]}, "d": 4}, {"a": {"c": [3]}, "e": 5}
    assert merge(base, override) == {"a": {"b": 1, "c": [3]}, "d": 4, "e": 5}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert merge(base, None) == base


@pytest.mark.parametrize(
    ("kind", "section", "values", "line"),
    [
        (LearnerSettings, "learner", {"trainin": {}}, "learner.trainin: unknown parameter; did you mean training?"),
        (
            LearnerSettings,
            "learner",
            {"training": {"stepps": 3}},
            "learner.training.stepps: unknown parameter; did you mean steps?",
        ),
        (
            LearnerSettings,
            "x",
            {"training": {"optimizer": {"beta": 3}}},
            "x.training.optimizer.beta: unknown parameter; did you mean beta",
        ),
        (
            LearnerSettings,
            "jest.learner",
            {"training": {"learning_rate": 3}},
            "jest.learner.training.learning_rate: unknown parameter; did you mean jest.learner.training.optimizer.learning_rate?",
        ),
        (
            LearnerSettings,
            "jest.learner",
            {"training": {"optimizer": {"warmup": 3}}},
            "jest.learner.training.optimizer.warmup: 3 is not a share",
        ),
        (
            LearnerSettings,
            "learner",
            {"selection": {"method": "joint", "filter_ratio": 1.0}},
            "learner.selection.filter_ratio: f = 1 leaves nothing",
        ),
        (
            LearnerSettings,
            "learner",
            {"selection": {"method": "joint", "filter_ratio": 0}},
            "learner.selection.filter_ratio: f = 0 leaves nothing",
        ),
        (
            LearnerSettings,
            "learner",
            {"selection": {"method": "jont"}},
            "learner.selection.method: 'jont': input should be",
        ),
        (
            LearnerSettings,
            "learner",
            {"training": {"batch_size": 8}, "selection": {"method": "joint"}},
            "learner.selection.num_chunks: N = 16 chunks",
        ),
        (
            LearnerSettings,
            "learner",
            {"training": {"steps": "many"}},
            "learner.training.steps: 'many': input should be a valid integer",
        ),
        (ReferenceSettings, "reference", {"training": {"steps": 0}}, "reference.training.steps: 0 steps train nothing"),
        (SimwebSettings, "simweb", {"shares": {"clean": 2.0}}, "simweb.shares: sum to 2"),
        (
            IngestSettings,
            "ingest",
            {"pool": {"shard": "x"}},
            "ingest.pool.shard: unknown parameter; did you mean shards?",
        ),
        (
            IngestSettings,
            "ingest",
            {"pool": {"shards": "x"}, "curated": {"shards": ["x"]}},
            "ingest.evaluation: missing",
        ),
        (
            IngestSettings,
            "ingest",
            {"pool": {"shards": 3}, "curated": {"shards": "x"}, "evaluation": {}},
            "ingest.pool.shards: 3: input should be",
        ),
        (
            IngestSettings,
            "ingest",
            {"pool": {"shards": "x"}, "curated": {"shards": "x"}, "evaluation": {"a": {"root": "r", "splitt": {}}}},
            "ingest.evaluation.a.splitt: unknown parameter; did you mean splits?",
        ),
        (AuditSettings, "audit", {"rum": "jest"}, "audit.rum: unknown parameter; did you mean run?"),
        (AuditSettings, "audit", {"rarely_chance": 1.5}, "audit.rarely_chance: 1.5 is out of range; use a value"),
        (
            AuditSettings,
            "audit",
            {"export": {"verdicts": ["worthit"]}},
            "audit.export.verdicts: 'worthit' is not a verdict; did you mean worth_it? verdicts: worth_it, learned,",
        ),
        (
            AuditSettings,
            "audit",
            {"export": {"verdict": ["worth_it"]}},
            "audit.export.verdict: unknown parameter; did you mean verdicts?",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(kind: type, section: str, values: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        read(kind, values, section)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def change(given: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    branch: Any = value
    for part in reversed(key.split(".")):
        branch = {part: branch}
    return merge(given, branch)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("lerner.training.steps", 3, "lerner: unknown parameter; did you mean learner?"),
        ("steps", 3, "steps: unknown parameter; did you mean learner.training.steps?"),
        ("training.steps", 3, "training: unknown parameter; did you mean learner.training?"),
        ("jest.selection", {}, "jest.selection: unknown parameter; did you mean jest.learner.selection?"),
        ("jest.lerner", {}, "jest.lerner: unknown parameter; did you mean learner?"),
        ("jest.learner.selction.gain", 3, "jest.learner.selction: unknown parameter; did you mean selection?"),
        ("learner.training.batch_size", 1, "learner.training.batch_size: 1 pairs have no negatives"),
        (
            "jest.learner.training.batch_size",
            4,
            "jest.learner.selection.num_chunks: N = 16 chunks of a batch of b = 4 pairs",
        ),
        (
            "jest.learner.selection.stale_steps",
            -1,
            "jest.learner.selection.stale_steps: k = -1 steps ago is yet to come",
        ),
        ("learner.selection.stale_steps", 4, "learner.selection.stale_steps: with method: uniform no model scores"),
        ("jest.learner.selection.stale_steps", 800, "jest.learner.selection.stale_steps: k = 800 of 800 steps"),
        (
            "easy_reference.learner.selection.proxy",
            {},
            "easy_reference.learner.selection.proxy: with criterion: easy_reference",
        ),
        ("jest.learner.selection.proxy.confg", "x", "jest.learner.selection.proxy.confg: unknown parameter"),
        (
            "jest.learner.selection.proxy.compact_vocabulary",
            False,
            "jest.learner.selection.proxy.compact_vocabulary: is not the learner's",
        ),
        ("methods", ["jest", "unifrom"], "methods: 'unifrom' is not a method; did you mean uniform?"),
        ("jest.learner", 3, "jest.learner: 3 is not a block of settings"),
        ("storage.stats", "x", "storage.stats: unknown parameter; did you mean state?"),
    ],
)
def test_all_parameters_are_checked(key: str, value: Any, line: str) -> None:
    with pytest.raises(UserError) as caught:
        check_parameters(change(parameters(), key, value))
    assert str(caught.value).startswith(line)


def test_a_new_block_is_a_new_method() -> None:
    given = change(parameters(), "mine.learner.selection.gain", 5.0)
    check_parameters(given)
    assert "mine" in method_names(given)
    assert not set(method_names(given)) & set(config.SECTIONS)


def test_an_environment_drops_an_evaluation_set_by_null() -> None:
    changed = change(parameters(), "ingest.evaluation", {"retrieval": None, "birds": {"root": "eval/birds"}})
    assert set(read(IngestSettings, changed["ingest"], "ingest").evaluation) == {"classification", "birds"}
    nothing = change(parameters(), "ingest.evaluation", {"retrieval": None, "classification": None})
    with pytest.raises(UserError, match=r"^ingest.evaluation: \{\}: dictionary should have at least 1 item"):
        read(IngestSettings, nothing["ingest"], "ingest")


def test_the_readmes_example_is_valid() -> None:
    block = (PROJECT / "conf" / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    given = merge(parameters(), yaml.safe_load(block))
    check_parameters(given)
    assert not is_used(read(IngestSettings, given["ingest"], "ingest"))
