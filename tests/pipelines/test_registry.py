from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from superbatch import pipeline_registry
from superbatch.checks import check_grid, check_ranks
from superbatch.errors import UserError
from superbatch.hooks import stand_in_for_checks
from superbatch.pipelines.compare.grid import expand, override_of
from superbatch.pipelines.naming import BEFORE_LEARNER, is_check

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def base_parameters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(pipeline_registry, "_parameters", None)
    yield


def test_names() -> None:
    names = set(pipeline_registry.register_pipelines())
    assert {"jest", "uniform", "filtered", "independent", "__default__"} <= names
    assert set(pipeline_registry.STAGES) <= names


def test_a_chain_is_all_stages_and_jest_has_uniform_beside_it() -> None:
    pipelines = pipeline_registry.register_pipelines()
    nodes = {node.name for node in pipelines["jest"].nodes}
    runs = {f"{run}.{what}" for run in ("jest", "uniform") for what in ("check", "train", "evaluate")}
    assert nodes == runs | {
        "render_simweb", "ingest_pool", "ingest_curated", "ingest_evaluation", "reference.check", "reference.train", "reference.evaluate",
        "check_reference", "embed_pool", "embed_curated", "report",
    }  # fmt: skip
    assert {node.namespace for node in pipelines["filtered"].nodes} == {None, "reference", "filtered"}
    assert {node.name for node in pipelines["__default__"].nodes} == nodes
    assert pipelines["jest"].nodes[-1].name == "report"
    assert data_inputs(pipelines["jest"]) == {"runs"}


def test_what_a_learner_would_refuse_shows_before_a_reference_is_trained_for_it() -> None:
    """Whatever the names: `uniform` and `self_paced` come after "reference"."""
    pipelines = pipeline_registry.register_pipelines()
    for method in pipeline_registry.method_names():
        order = [node.name for node in pipelines[method].nodes]
        checks = {f"{run}.check" for run in ("reference", method, *pipeline_registry.BESIDE.get(method, ()))}
        before = order[: order.index("reference.train")]
        assert "ingest_pool" in before and checks <= set(before)


@pytest.mark.filterwarnings("error:Namespace")
def test_no_namespace_is_left_and_entered_again() -> None:
    """Kedro warns of it, and Kedro-Viz can't fold such a namespace."""
    for name in ("safe", "jest", "jest_pp", "compare", "learner"):
        assert pipeline_registry.register_pipelines()[name].nodes


def test_all_learners_and_all_runs_of_a_grid_are_checked_before_the_first_is_trained() -> None:
    pipelines = pipeline_registry.register_pipelines()
    for stages in (pipelines["learner"], pipelines["reference"] + pipelines["learner"]):
        order = [node.name.rpartition(".")[2] for node in stages.nodes]
        assert order == sorted(order) and {"check", "train"} == set(order)
    runs = [node for node in pipelines["compare"].nodes if node.name.endswith(".run")]
    assert runs and all("compare.checked_settings" in run.inputs for run in runs)


def test_a_report_beside_a_grid_comes_after_all_of_its_runs() -> None:
    pipelines = pipeline_registry.register_pipelines()
    order = [node.name for node in (pipelines["compare"] + pipelines["report"]).nodes]
    assert order[-1] == "report" and sum(name.endswith(".run") for name in order) > 1


@pytest.mark.parametrize("method", ["jest", "filtered", "easy_reference", "self_paced", "warm_start"])
def test_a_reference_is_checked_before_anything_long_is_made_with_it(method: str) -> None:
    order = [node.name for node in pipeline_registry.register_pipelines()[method].nodes]
    assert order.index("reference.train") < order.index("check_reference")
    assert order.index("check_reference") < min(
        order.index(later) for later in ("embed_pool", "embed_curated", f"{method}.train")
    )


def test_the_scripts_for_several_ranks_make_all_that_a_learner_reads() -> None:
    """scripts/*: the chain's nodes with one tag, then the learner by itself."""
    pipelines = pipeline_registry.register_pipelines()
    for method in pipeline_registry.method_names():
        before = pipelines[method].only_nodes_with_tags(BEFORE_LEARNER)
        learner = pipelines[method].only_nodes(f"{method}.check", f"{method}.train")
        assert not data_inputs(before) and data_inputs(learner) <= before.all_outputs(), method
        assert not [node.name for node in before.nodes if node.namespace == method]


def test_a_grid_s_references_are_made_by_the_command_that_is_named_before_it() -> None:
    files = [*PROJECT.glob("conf/*/parameters.yml"), PROJECT / "conf/README.md", *PROJECT.glob("docs/*.md")]
    command = r"`kedro run --pipelines=references(?: --env=(\w+))?`,[^|]*?`kedro run --pipelines=compare --env=(\w+)`"
    named = {match.groups(default="base") for file in files for match in re.finditer(command, file.read_text())}
    assert {env for _, env in named} >= {"relatives", "tune", "icons"}
    for first, then in named:
        made = pipelines_of(first)["references"].all_outputs()
        read = {name for name in pipelines_of(then)["compare"].inputs() if name.startswith("reference_")}
        assert read and read <= made, f"references of {first}, then compare of {then}"


def pipelines_of(env: str) -> Mapping[str, Pipeline]:
    loader = OmegaConfigLoader(
        str(PROJECT / "conf"), env=env, base_env="base", default_run_env="base", merge_strategy={"parameters": "soft"}
    )
    pipeline_registry.configure(loader["parameters"])
    return pipeline_registry.register_pipelines()


@pytest.mark.parametrize("method", ["uniform", "pool_and_curated", "hard_learner"])
def test_a_chain_that_does_not_use_the_reference_checks_none(method: str) -> None:
    pipeline = pipeline_registry.register_pipelines()[method]
    assert "reference.check" not in pipeline.datasets() and f"{method}.train" in {node.name for node in pipeline.nodes}


def test_dnc_is_its_bases_chain_and_a_student_with_one_report_at_the_end() -> None:
    pipelines = pipeline_registry.register_pipelines()
    chain, moclr = pipelines["dnc"], pipelines["moclr"]
    order = [node.name for node in chain.nodes]
    own = {f"dnc.{name}" for name in ("check", "divide", "experts", "train", "evaluate")}
    assert set(order) == {node.name for node in moclr.nodes} | own and order[-1] == "report"
    assert order.index("dnc.check") < order.index("moclr.train") < order.index("dnc.divide"), (
        "refused before anything long"
    )
    assert data_inputs(chain) == {"runs"} and "reference.check" not in chain.datasets()
    report = chain.nodes[-1]
    assert report.func.args[0] == "dnc" and {"dnc.evaluation", "moclr.evaluation"} <= set(report.inputs)
    assert set(pipelines["divide"].nodes) == {node for node in chain.nodes if node.name in own - {"dnc.evaluate"}}


def test_dnc_takes_another_base(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"moclr_wide": {"learner": {"moclr": {}, "training": {"loss": "softmax"}}}, "dnc": {"base": "moclr_wide"}}
    monkeypatch.setattr(pipeline_registry, "_parameters", given)
    chain = pipeline_registry.register_pipelines()["dnc"]
    assert {"moclr_wide.checkpoint", "params:moclr_wide.learner"} <= set(chain.datasets() | chain.inputs())
    assert not any("moclr." in name for name in chain.datasets())


def test_jest_pp_has_jest_beside_it_and_a_second_reference_of_its_own() -> None:
    pipelines = pipeline_registry.register_pipelines()
    chain, jest = pipelines["jest_pp"], pipelines["jest"]
    assert {node.name for node in jest.nodes} < {node.name for node in chain.nodes}
    assert set(pipelines["bootstrap"].nodes) < set(chain.nodes) and not set(pipelines["bootstrap"].nodes) & set(
        jest.nodes
    )
    order = [node.name for node in chain.nodes]
    assert order.index("bootstrap.check") < order.index("reference.train") < order.index("bootstrap.train")
    assert order.index("bootstrap.train") < order.index("check_reference_pp") < order.index("embed_pool_pp")
    assert data_inputs(chain) == {"runs"}
    read = {node.name: set(node.inputs) for node in chain.nodes}
    own = {
        "reference_pp.checkpoint",
        "reference_pp.training",
        "reference_pp.check",
        "pool_pp.features",
        "curated_pp.features",
    }
    first = {name.replace("_pp", "") for name in own}
    assert own <= read["jest_pp.train"] and not first & read["jest_pp.train"]
    assert first <= read["jest.train"] and not own & read["jest.train"]
    assert "pool_pp.features" in read["report"] and "reference_pp.evaluation" in read["report"]


def test_a_run_of_the_grid_goes_by_the_reference_that_it_names() -> None:
    runs = [
        {"method": "a", "steps": 2},
        {"method": "a", "label": "b", "steps": 2, "set": {"reference": "reference_pp"}},
        {"method": "a_pp", "steps": 2},
    ]
    joint = {"selection": {"method": "joint"}}
    methods = {"a": {"learner": joint}, "a_pp": {"learner": joint | {"reference": "reference_pp"}}}
    pipeline_registry.configure(methods | {"compare": {"runs": runs}, "audit": {"run": "a_pp"}})
    pipelines = pipeline_registry.register_pipelines()
    read = {node.namespace: set(node.inputs) for node in pipelines["compare"].nodes if node.name.endswith(".run")}
    assert {run: "pool_pp.features" in inputs for run, inputs in read.items()} == {
        "a-T2-s0": False,
        "b-T2-s0": True,
        "a_pp-T2-s0": True,
    }
    (collect,) = [node for node in pipelines["compare"].nodes if node.name == "collect_runs"]
    assert [name for name in collect.inputs if name.startswith("reference")] == [
        f"{name}.{part}" for name in ("reference", "reference_pp") for part in ("training", "evaluation")
    ]
    assert "pool_pp.features" in pipelines["audit"].inputs(), "of the run that is audited"


def test_the_template_may_name_the_second_reference_for_all_methods() -> None:
    """Those that use none go by none."""
    methods = {"a": {"selection": {"method": "joint"}}, "b": {"selection": {"method": "uniform"}}}
    pipeline_registry.configure(
        {"learner": {"reference": "reference_pp"}} | {name: {"learner": one} for name, one in methods.items()}
    )
    assert [pipeline_registry.reference_of(name) for name in methods] == ["reference_pp", "reference"]
    assert "reference_pp.checkpoint" not in pipeline_registry.register_pipelines()["b"].datasets()


def test_another_teacher_s_embeddings_are_read_beside_the_reference_s() -> None:
    """By its chain, its stage and the grid; the report stays with the reference that chooses."""
    joint, teacher = {"method": "joint"}, {"teacher": "reference_large"}
    methods = {"a": {"selection": joint, "distill": teacher}, "b": {"selection": joint, "distill": {"weight": 1.0}}}
    runs = [{"method": "a", "steps": 2}, {"method": "b", "steps": 2}]
    runs.append({"method": "b", "label": "c", "steps": 2, "set": {"distill.teacher": "reference_large"}})
    blocks = {name: {"learner": one} for name, one in methods.items()}
    pipeline_registry.configure(blocks | {"references": {"large": {}}, "compare": {"runs": runs}})
    pipelines = pipeline_registry.register_pipelines()
    own = {"reference_large.checkpoint", "reference_large.training", "pool_large.features"}
    chain = {node.name: set(node.inputs) for node in pipelines["a"].nodes}
    assert own | {"reference.checkpoint", "pool.features"} <= chain["a.train"]
    assert {"reference_large.train", "embed_pool_large"} <= set(chain)
    assert "pool.features" in chain["report"] and "pool_large.features" not in chain["report"]
    read = {node.name: set(node.inputs) for name in ("learner", "compare") for node in pipelines[name].nodes}
    taught = {name for name, inputs in read.items() if own <= inputs}
    assert taught >= {"a.train", "a-T2-s0.run", "c-T2-s0.run"} and not taught & {"b.train", "b-T2-s0.run"}


def test_bootstrapping_is_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = pipeline_registry.register_pipelines()["bootstrap"].only_nodes("bootstrap.check", "bootstrap.train")
    check_ranks(stage)
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_ranks(stage.only_nodes("bootstrap.check"))
    with pytest.raises(UserError, match=r"torchrun: bootstrap\.train is for one process"):
        check_ranks(stage)


def test_a_part_of_a_pipeline_waits_for_no_check_that_it_has_not() -> None:
    part = pipeline_registry.register_pipelines()["jest"].only_nodes_with_tags("training")
    waits = {name for name in part.inputs() if is_check(name)}
    assert waits == {f"{run}.checked_settings" for run in ("reference", "jest", "uniform")}
    catalog = DataCatalog()
    stand_in_for_checks(part, catalog)
    assert set(catalog.filter()) == waits and all(catalog.load(name) for name in waits)


def data_inputs(pipeline) -> set[str]:
    return {name for name in pipeline.inputs() if not name.startswith("params:")}


def test_stages_side_by_side_are_the_chain() -> None:
    pipelines = pipeline_registry.register_pipelines()
    chain = {node.name for node in pipelines["jest"].nodes}
    stages = {node.name for stage in pipeline_registry.STAGES if stage != "compare" for node in pipelines[stage].nodes}
    assert chain <= stages


@pytest.mark.parametrize(
    "name", ["jest", "jest_pp", "compare", "learner", "report", "audit", "advise", "search", "export"]
)
def test_every_data_set_is_in_the_catalog(name: str) -> None:
    loader = OmegaConfigLoader(str(PROJECT / "conf"), base_env="base", default_run_env="base")
    catalog = DataCatalog.from_config(loader["catalog"])
    for dataset in pipeline_registry.register_pipelines()[name].datasets():
        assert dataset.startswith("params:") or is_check(dataset) or dataset in catalog, dataset


def test_a_session_brings_its_own_methods_and_runs() -> None:
    runs = [{"method": "mine", "filter_ratio": 0.5, "steps": [4, 2], "seeds": [0]}]
    pipeline_registry.configure({"mine": {"learner": {}}, "compare": {"runs": runs}})
    pipelines = pipeline_registry.register_pipelines()
    assert "mine" in pipelines
    assert "jest" not in pipelines
    names = [spec.name for spec in expand({"runs": runs})]
    assert names == ["mine-f0.5-T4-s0", "mine-f0.5-T2-s0"]
    alone = pipelines["compare"].only_nodes_with_namespaces([names[1]])
    assert {node.name for node in alone.nodes} == {f"{names[1]}.run"}
    assert {f"{names[1]}.{part}" for part in ("checkpoint", "training", "evaluation")} == alone.all_outputs()
    both = [node.name for node in (pipelines["compare"] + pipelines["report"]).nodes]
    assert both[-2:] == ["collect_runs", "report"], "a report asked for beside the grid comes after its runs"


@pytest.mark.parametrize(
    ("shards", "source"),
    [
        ("data/01_raw/simweb/*.tar", {"simweb"}),
        ("x/01_raw/icons/*.tar", {"icons"}),
        ("icons/*.tar", set()),
        ("mine/*.tar", set()),
    ],
)
def test_a_chain_makes_the_data_that_it_reads_and_no_other(shards: str, source: set[str]) -> None:
    one = {"shards": shards}
    ingest = {"pool": one, "curated": one, "evaluation": {"birds": {"root": "eval/birds"}}}
    pipeline_registry.configure({"ingest": ingest, "jest": {"learner": {}}, "uniform": {"learner": {}}})
    assert set(pipeline_registry.sources()) == source
    pipelines = pipeline_registry.register_pipelines()
    sources = {"simweb", "icons"}
    assert pipelines["jest"].all_outputs() & sources == source
    for name in ("ingest", "report", "audit"):
        assert pipelines[name].inputs() & sources == source, "an edge"
    assert {"ingest_pool", "report"} <= {node.name for node in pipelines["jest"].nodes}


def test_the_audit_reads_the_run_that_the_session_names() -> None:
    pipeline_registry.configure({"audit": {"run": "mine"}})
    assert "mine.training" in pipeline_registry.register_pipelines()["audit"].inputs()


def test_the_export_reads_the_audit_only_where_a_card_of_it_is_wanted() -> None:
    pipeline_registry.configure({"export": {"run": "mine"}})
    export = pipeline_registry.register_pipelines()["export"]
    assert "mine.checkpoint" in export.inputs() and export.all_outputs() == {"mine.export", "export.cards"}
    assert "audit.subset" not in export.inputs()
    pipeline_registry.configure({"export": {"run": "mine", "sets": ["audit"]}})
    assert "audit.subset" in pipeline_registry.register_pipelines()["export"].inputs()
    pipeline_registry.configure({"export": {"run": "mine", "sets": []}})
    assert pipeline_registry.register_pipelines()["export"].all_outputs() == {"mine.export"}


def test_settings_of_the_whole_grid_lie_below_an_entry_s_own() -> None:
    entry = {"method": "mine", "steps": 4, "set": {"training.optimizer.learning_rate": 0.1}}
    common = {"training.threads": 1, "training.optimizer.learning_rate": 0.2}
    (spec,) = expand({"set": common, "runs": [entry]})
    assert override_of(spec, None) == {
        "training": {"threads": 1, "steps": 4, "seed": 0, "optimizer": {"learning_rate": 0.1}}
    }


@pytest.mark.parametrize(
    ("runs", "line"),
    [
        ({"method": "mine", "steps": 4}, "compare.runs: {'method': 'mine', 'steps': 4} is not a list"),
        ([None], "compare.runs: None is not a block of keys and values"),
        ([{"method": "mine"}], "compare.runs[0]: needs `method` and `steps`; keys: "),
        ([{"method": "mine", "steps": []}], "compare.runs[0].steps: is an empty list, so this entry has no run; give at "),
        ([{"method": "mine", "steps": 4, "filter_ratio": ["0,8"]}], "compare.runs[0].filter_ratio: '0,8' is not a number"),
        ([{"method": "mine", "steps": 4, "set": [1]}], "compare.runs[0].set: [1] is not a block of settings"),
    ],
)  # fmt: skip
def test_a_grid_s_entry_that_is_none_is_one_line(runs: Any, line: str) -> None:
    with pytest.raises(UserError) as caught:
        expand({"runs": runs})
    assert str(caught.value).startswith(line)


def test_a_label_may_be_a_number() -> None:
    assert [spec.name for spec in expand({"runs": [{"method": "mine", "label": 2, "steps": 4}]})] == ["2-T4-s0"]


def test_a_mistake_in_the_grid_is_told_before_a_run_is_trained() -> None:
    entries = [{"method": "mine", "steps": 4}, {"method": "mine", "steps": 2, "set": {"training.stepps": 3}}]
    given = {
        "params:compare": {"runs": entries},
        "params:learner": {},
        "params:mine.learner": {"pool": {"keep_share": 0.5}},
    }
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in given.items()})
    with pytest.raises(UserError) as caught:
        check_grid(catalog)
    assert str(caught.value) == "mine-T2-s0.learner.training.stepps: unknown parameter; did you mean steps?"
    entries[1]["set"] = {"pool": {"keep_share": 2}}
    catalog["params:compare"] = MemoryDataset({"runs": entries})
    with pytest.raises(UserError, match=r"^mine-T2-s0.learner.pool.keep_share: 2 is not a share; use more than 0 and"):
        check_grid(catalog)
    entries[1]["set"] = {"pool.keep_share": 0.25}
    catalog["params:compare"] = MemoryDataset({"runs": entries})
    check_grid(catalog)


def test_layers_of_kedro_viz_follow_the_data() -> None:
    """Kedro-Viz hides all layers if there is a cycle among them."""
    order = ["raw", "intermediate", "reference", "feature", "models", "model_output", "reporting"]
    loader = OmegaConfigLoader(str(PROJECT / "conf"), base_env="base", default_run_env="base")
    catalog = DataCatalog.from_config(loader["catalog"])

    def layer(name: str) -> int:
        return order.index(catalog.get(name).metadata["kedro-viz"]["layer"])

    for pipeline in (
        pipeline_registry.register_pipelines()[name] for name in ("jest", "compare", "audit", "search", "export")
    ):
        for node in pipeline.nodes:
            before = [layer(name) for name in node.inputs if not name.startswith("params:") and not is_check(name)]
            made = [layer(name) for name in node.outputs if not is_check(name)]
            assert all(max(before, default=0) <= later for later in made), node.name


def test_a_method_that_a_decision_feeds_has_the_stage_curate_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pipelines = pipeline_registry.register_pipelines()
    assert "score_rows" not in {node.name for node in pipelines["uniform"].nodes}
    known = dict(pipeline_registry._known_parameters())
    known["uniform"] = {"learner": {"pool": {"curated_by": "clean"}}}
    runs = [{"method": "uniform", "steps": 2}, {"method": "jest", "steps": 2, "set": {"pool.curated_by": "clean"}}]
    runs += [{"method": "uniform", "label": "whole", "steps": 2, "set": {"pool.curated_by": None}}]
    monkeypatch.setattr(pipeline_registry, "_parameters", known | {"compare": {"runs": runs}})
    pipelines = pipeline_registry.register_pipelines()
    order = [node.name for node in pipelines["uniform"].nodes]
    assert order.index("embed_pool") < order.index("score_rows") < order.index("decide_rows")
    assert order.index("decide_rows") < order.index("uniform.train") and data_inputs(pipelines["uniform"]) == {"runs"}
    for stages in ("learner", "compare"):
        reads = {node.name for node in pipelines[stages].nodes if "pool.decisions" in node.inputs}
        assert reads == ({"uniform.train"} if stages == "learner" else {"uniform-T2-s0.run", "jest-T2-s0.run"})
