from __future__ import annotations

import functools
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from superbatch import config
from superbatch.config import IngestSettings, check_parameters, learner_settings, method_names, read
from superbatch.errors import UserError
from superbatch.models import read_config
from superbatch.nested import dotted, from_dotted, merge
from superbatch.options import AuditSettings, LearnerSettings, ReferenceSettings, SimwebSettings
from superbatch.pipelines.sources import used_sources

PROJECT = Path(__file__).parents[1]


def parameters(env: str = "base") -> dict[str, Any]:
    return deepcopy(_read(env))


REAL = ("vit_b32", "vit_b16")


@functools.cache
def _read(env: str) -> dict[str, Any]:
    merging = {"parameters": "soft", "globals": "soft"}
    return OmegaConfigLoader(
        str(PROJECT / "conf"), env=env, base_env="base", default_run_env="base", merge_strategy=merging
    )["parameters"]


@pytest.mark.parametrize(
    "env",
    [
        "base",
        "quick",
        "emoji",
        "fashion",
        "phrased",
        "names",
        "fashion_labels",
        "icons",
        "mix",
        *REAL,
        *(f"{env}_tiny" for env in REAL),
    ],
)
def test_the_projects_own_parameters_are_valid(env: str) -> None:
    check_parameters(parameters(env))


@pytest.mark.parametrize("env", REAL)
def test_a_real_size_in_miniature_differs_in_sizes_alone(env: str) -> None:
    """What the tests run in miniature is what the large one does; a setting changed in one of them alone is found here."""
    large, tiny = (dict(dotted(parameters(name))) for name in (env, f"{env}_tiny"))
    differ = {key for key in large.keys() | tiny.keys() if large.get(key, ...) != tiny.get(key, ...)}
    training = "batch_size|steps|evaluate_every|checkpoint_every|threads|processes|workers|score_batch|accumulate"
    sizes = rf"((.*\.)?(model|proxy)\.config|(learner|reference)\.(training\.({training}))|embed\.(batch|jobs)|evaluate\.(batch|linear_probe\.iterations)"
    data = r"|simweb\..*|ingest\..*|storage\..*|report\.(metric|title)|flexi_jest\.learner\.flexi\.low\.(patch|image)_size)"
    assert [key for key in sorted(differ) if not re.fullmatch(sizes + data, key)] == []
    learner = learner_settings(parameters(env)["learner"], parameters(env)["jest"]["learner"], "jest")
    assert learner.super_batch_size == 5 * learner.training.batch_size
    assert read_config(learner.model.config)["model_cfg"]["vision_cfg"]["image_size"] == 224


@pytest.mark.parametrize(("env", "passes"), [("vit_b32", 2), ("vit_b16", 3)])
def test_a_real_size_s_reference_passes_its_curated_shards_as_often_as_its_comment_says(env: str, passes: int) -> None:
    given = parameters(env)
    first, last = map(int, re.findall(r"\d{5}", given["ingest"]["curated"]["shards"]))
    training = given["reference"]["training"]
    looked_at = training["steps"] * training["batch_size"]
    assert looked_at / (10_000 * (last - first + 1)) == pytest.approx(passes, rel=0.1)


def test_a_method_is_the_template_with_its_own_on_top() -> None:
    given = parameters()
    jest, uniform = (learner_settings(given["learner"], given[m]["learner"], m) for m in ("jest", "uniform"))
    assert jest.selection.method == "joint"
    assert uniform.selection.method == "uniform"
    assert jest.training == uniform.training
    assert jest.model == uniform.model


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
        # YAML's `on`, `no` and `off`: pydantic would make 1 and 0 of them
        (
            LearnerSettings,
            "learner",
            {"training": {"steps": True}},
            "learner.training.steps: True is not a whole number; use 1 or more",
        ),
        (
            LearnerSettings,
            "x",
            {"training": {"optimizer": {"warmup": False}}},
            "x.training.optimizer.warmup: False is not a number",
        ),
        (
            LearnerSettings,
            "x",
            {"selection": {"proxy": {"config": "a", "pretrained": False}}},
            "x.selection.proxy.pretrained: False is not text",
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
            "learner.selection.method: 'jont' is unknown; did you mean joint? known: uniform, independent, joint",
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
            "learner.training.steps: 'many' is not a whole number; use 1 or more",
        ),
        (ReferenceSettings, "reference", {"training": {"steps": 0}}, "reference.training.steps: 0 steps are too few"),
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
            "ingest.pool.shards: 3 is not text or a list",
        ),
        (
            IngestSettings,
            "ingest",
            {"pool": {"shards": "x"}, "curated": {"shards": "x"}, "evaluation": {"a": {"root": "r", "splitt": {}}}},
            "ingest.evaluation.a.splitt: unknown parameter; did you mean splits?",
        ),
        (
            IngestSettings,
            "ingest",
            {"pool": {"shards": ["x", 3]}, "curated": {"shards": "x"}, "evaluation": {3: {"root": "r"}}},
            "ingest.pool.shards: 3 is not text",
        ),
        (
            IngestSettings,
            "ingest",
            {"pool": {"shards": "x"}, "curated": {"shards": "x"}, "evaluation": {3: {"root": "r"}}},
            "ingest.evaluation: 3 is not text",
        ),
        (LearnerSettings, "learner", {"training": {3: 1}}, "learner.training.3: unknown parameter; known here: batch_"),
        (AuditSettings, "audit", {"rum": "jest"}, "audit.rum: unknown parameter; did you mean run?"),
        (
            AuditSettings,
            "audit",
            {"rarely_chance": 1.5},
            "audit.rarely_chance: 1.5 is too large; use a value between 0 and 1",
        ),
        (
            AuditSettings,
            "audit",
            {"export": {"verdicts": ["worthit"]}},
            "audit.export.verdicts: 'worthit' is not a verdict; did you mean worth_it? known: worth_it, learned,",
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
    return merge(given, from_dotted({key: value}))


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
            "jest.learner.selection.stale_steps: k = -1 is negative",
        ),
        ("learner.selection.stale_steps", 4, "learner.selection.stale_steps: with method: uniform no model scores"),
        ("jest.learner.selection.stale_steps", 800, "jest.learner.selection.stale_steps: k = 800 of 800 steps"),
        (
            "easy_reference.learner.selection.proxy",
            {},
            "easy_reference.learner.selection.proxy: with criterion: easy_reference",
        ),
        ("self_paced.learner.selection.then.after", 1.0, "self_paced.learner.selection.then.after: 1 is too large"),
        (
            "self_paced.learner.selection.then.aftr",
            0.5,
            "self_paced.learner.selection.then.aftr: unknown parameter; did you mean after?",
        ),
        (
            "self_paced.learner.selection.stale_steps",
            1,
            "self_paced.learner.selection.stale_steps: batches cannot be chosen ahead",
        ),
        (
            "uniform.learner.selection.then",
            {"after": 0.5},
            "uniform.learner.selection.then: with method: uniform nothing is chosen",
        ),
        ("self_paced.learner.training.steps", 1, "self_paced.learner.selection.then.after: takes over at step 0 of 1"),
        ("jest.learner.selection.proxy.confg", "x", "jest.learner.selection.proxy.confg: unknown parameter"),
        (
            "jest.learner.selection.proxy.compact_vocabulary",
            False,
            "jest.learner.selection.proxy.compact_vocabulary: is not the learner's",
        ),
        ("jest.learner.flexi", {}, "jest.learner.flexi.low: names no view; set one of patch_size, image_size and"),
        ("flexi_jest.learner.flexi.low.image_size", 16, "flexi_jest.learner.flexi.low: names 2 views, patch_size and"),
        ("flexi_jest.learner.flexi.low_share", 1.0, "flexi_jest.learner.flexi.low_share: 1 is not a share below 1"),
        ("flexi_jest.learner.flexi.lowshare", 0.3, "flexi_jest.learner.flexi.lowshare: unknown parameter; did you"),
        ("flexi_jest.learner.selection.proxy", {}, "flexi_jest.learner.flexi: a proxy scores in the learner's place"),
        (
            "flexi_uniform.learner.flexi.low_share",
            0,
            "flexi_uniform.learner.flexi.low_share: is 0, and no model scores",
        ),
        ("flexi_uniform.learner.flexi.tokens", 9, "flexi_uniform.learner.flexi.tokens: are those of scoring, and no"),
        (
            "flexi_hard_learner.learner.flexi.reference",
            "low",
            "flexi_hard_learner.learner.flexi.reference: is low, and nothing reads it",
        ),
        (
            "jest.learner.flexi",
            {"low": {"patch_drop": 0.5}, "reference": "low"},
            "jest.learner.flexi.reference: low, and what patch_drop leaves out differs",
        ),
        ("embed.low.patch_drop", 0.5, "embed.low.patch_drop: leaves out other patches at each step"),
        ("reference.flexi", {"low": {"patch_size": 16}, "low_share": 0}, "reference.flexi.low_share: is 0: nothing is"),
        ("methods", ["jest", "unifrom"], "methods: 'unifrom' is not a method; did you mean uniform?"),
        ("jest.learner", 3, "jest.learner: 3 is not a block of settings"),
        (
            "jest.learner.training",
            [3],
            "jest.learner.training: a list and a block of keys cannot be merged",
        ),
        ("ingest", 3, "ingest: 3 is not a block of settings; its keys: pool, curated, evaluation,"),
        (
            "learner.training.optimizer",
            "x",
            "learner.training.optimizer: 'x' is not a block of settings; its keys: lea",
        ),
        (
            "learner.training.max_scale",
            0.5,
            "learner.training.max_scale: 0.5 is below the smallest scale, 1; use 1 or",
        ),
        ("simweb.shares.clean", -0.3, "simweb.shares.clean: -0.3 is too small; use 0 or more"),
        ("simweb.shares.clean", "x", "simweb.shares.clean: 'x' is not a number; use 0 or more"),
        ("ingest.jobs", 0, "ingest.jobs: 0 is too small; use 1 or more"),
        ("ingest.max_pixels", 10**9, "ingest.max_pixels: 1000000000 is too large; use 1 or more and at most 178956970"),
        (
            "ingest.pool.expect",
            {"rows": {"mostly": 2}},
            "ingest.pool.expect.rows.mostly: 2 is too large; use more than",
        ),
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
    with pytest.raises(UserError, match=r"^ingest.evaluation: no set is left; use one set or more$"):
        read(IngestSettings, nothing["ingest"], "ingest")


def test_the_readmes_example_is_valid() -> None:
    block = (PROJECT / "conf" / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    given = merge(parameters(), yaml.safe_load(block))
    check_parameters(given)
    assert used_sources(read(IngestSettings, given["ingest"], "ingest")) == ()


def test_folders_of_ones_own_are_not_rendered_whatever_they_are_called() -> None:
    """Shards in a folder called icons were taken for the real pool, which would have been fetched."""
    given = change(parameters(), "ingest.pool.shards", "/mine/icons/{000..009}.tar")
    given = change(given, "ingest.curated.shards", ["sets/simweb/*.tar"])
    for name in ("classification", "retrieval"):
        given = change(given, f"ingest.evaluation.{name}.root", f"simweb/{name}")
    assert used_sources(read(IngestSettings, given["ingest"], "ingest")) == ()
    given = change(given, "ingest.pool.shards", ["/mine/*.tar", "/project/data/01_raw/icons/pool/*.tar"])
    assert used_sources(read(IngestSettings, given["ingest"], "ingest")) == ("icons",)


@pytest.mark.parametrize("where", ["uniform.learner.pool.curated_by", "audit.decision"])
def test_a_decision_that_nobody_makes_is_refused(where: str) -> None:
    given = change(parameters(), where, "claen")
    with pytest.raises(
        UserError, match=rf"^{where}: no decision of curate.decide is called 'claen'; did you mean clean"
    ):
        check_parameters(given)
    given["curate"]["decide"] = {}
    with pytest.raises(UserError, match=rf"^{where}: no decision .*; add it to curate.decide"):
        check_parameters(given)
    check_parameters(change(parameters(), where, "clean"))
