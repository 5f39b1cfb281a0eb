"""dvc.yaml and the catalog agree: the same paths, written by the same stages, read by those that depend on them."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from superbatch import pipeline_registry
from superbatch.pipelines.naming import is_check

PROJECT = Path(__file__).parents[1]
NOT_PRODUCED = {"conf/models"}  # inputs that people write
FILES = (
    "dvc.yaml",
    *(f"benchmarks/{name}dvc.yaml" for name in ("", "icons/", "jest_pp/", "acid/", "classact/", "dnc/", "export/")),
)
ALL_RUNS = "data/07_model_output"  # the report reads whatever lies there


@functools.cache
def configuration(env: str, part: str) -> dict[str, Any]:
    """Parameters or catalog of an environment, which no test changes."""
    merging = {"parameters": "soft", "globals": "soft"}
    return OmegaConfigLoader(
        str(PROJECT / "conf"), env=env, base_env="base", default_run_env="base", merge_strategy=merging
    )[part]


@pytest.fixture
def env(name: str) -> str:
    """The environment of a stage's command."""
    return options_of(STAGES[name]).get("--env", "base")


@pytest.fixture
def parameters(env: str) -> dict[str, Any]:
    return configuration(env, "parameters")


@pytest.fixture
def catalog(env: str) -> DataCatalog:
    return DataCatalog.from_config(deepcopy(configuration(env, "catalog")))


def options_of(stage: dict[str, Any]) -> dict[str, str]:
    """Options of a stage's command."""
    return dict(word.split("=") for word in stage["cmd"].split() if word.startswith("--"))


def stages(file: Path, methods: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stages of a dvc.yaml with their matrix over methods, and the runs that are audited and exported, spelled out."""
    text, settings = file.read_text(), yaml.safe_load((PROJECT / "conf/base/parameters.yml").read_text())
    for section in ("audit", "export"):
        text = text.replace(f"${{{section}.run}}", settings[section]["run"])
    for name, stage in yaml.safe_load(text)["stages"].items():
        if "matrix" not in stage:
            yield name, stage
            continue
        (listed,) = stage["matrix"].values()
        assert list(stage["matrix"]) == ["method"] and (listed == "${methods}" or isinstance(listed, list))
        for method in methods if isinstance(listed, str) else listed:
            yield f"{name}@{method}", yaml.safe_load(yaml.safe_dump(stage).replace("${item.method}", method))


def all_stages() -> dict[str, dict[str, Any]]:
    methods = yaml.safe_load((PROJECT / "conf/base/parameters_methods.yml").read_text())["methods"]
    return {name: stage for file in FILES for name, stage in stages(PROJECT / file, methods)}


STAGES = all_stages()
each_stage = pytest.mark.parametrize("name", STAGES)


def pipeline_of(stage: dict[str, Any], parameters: dict[str, Any]) -> Pipeline:
    """The Kedro pipeline that a stage's command runs."""
    options = options_of(stage)
    assert stage["cmd"].startswith("kedro run --pipelines=")
    pipeline_registry.configure(parameters)
    pipeline = pipeline_registry.register_pipelines()[options["--pipelines"]]
    namespace = options.get("--namespaces")
    return pipeline.only_nodes_with_namespaces([namespace]) if namespace else pipeline


def path_of(name: str, catalog: DataCatalog) -> str:
    dataset = catalog.get(name)
    path = Path(str(getattr(dataset, "_filepath", None) or dataset._path))
    return path.relative_to(PROJECT).as_posix() if path.is_absolute() else path.as_posix()


def data_sets(names: set[str]) -> set[str]:
    return {name for name in names if not name.startswith("params:") and name != "parameters" and not is_check(name)}


def written(stage: dict[str, Any]) -> set[str]:
    outs = [out for part in ("outs", "metrics") for out in stage.get(part, [])]
    return {path for out in outs for path in (out if isinstance(out, dict) else [out])}


@each_stage
def test_outs_are_what_the_pipeline_writes(name: str, parameters: dict[str, Any], catalog: DataCatalog) -> None:
    pipeline = pipeline_of(STAGES[name], parameters)
    outputs = data_sets(pipeline.all_outputs())  # also what a later node of the stage reads
    if (
        name == "compare"
    ):  # its runs are by-products, their names made from the grid; the table of their outcomes is what counts
        outputs = {"compare.results"}
    assert written(STAGES[name]) == {path_of(output, catalog) for output in outputs}


@each_stage
def test_deps_are_what_the_pipeline_reads(name: str, parameters: dict[str, Any], catalog: DataCatalog) -> None:
    pipeline = pipeline_of(STAGES[name], parameters)
    deps = set(STAGES[name].get("deps", [])) - NOT_PRODUCED
    assert deps == {path_of(read, catalog) for read in data_sets(pipeline.inputs())}


@each_stage
def test_params_are_what_the_pipeline_reads(name: str, parameters: dict[str, Any]) -> None:
    declared: set[str] = set()
    for entry in STAGES[name]["params"]:
        for file, keys in entry.items():
            content = yaml.safe_load((PROJECT / file).read_text())
            declared |= set(keys or content)
            for key in keys or []:
                block = content
                for part in key.split("."):
                    block = block[part]  # KeyError: DVC would watch a key that is not there
    used = {
        read.removeprefix("params:")
        for read in pipeline_of(STAGES[name], parameters).inputs()
        if read.startswith("params:")
    }
    roots = {key.split(".")[0] for key in used} - {
        "storage",
        "jobs",
        "command",
    }  # where working folders are, and where work is done, decides nothing; the command is the session's
    assert roots <= {key.split(".")[0] for key in declared}
    assert "data" in declared  # globals.yml: where everything is


def test_directories_of_two_stages_never_nest() -> None:
    outs = sorted((out, name) for name, stage in STAGES.items() for out in written(stage))
    assert len({out for out, _ in outs}) == len(outs)
    for one, first in outs:
        for other, second in outs:
            assert not other.startswith(one + os.sep), f"{second} writes into {first}'s {one}"


def test_every_dependency_is_some_stages_out() -> None:
    outs = {out for stage in STAGES.values() for out in written(stage)}
    deps = {dep for stage in STAGES.values() for dep in stage.get("deps", [])}
    assert deps - outs - NOT_PRODUCED == {ALL_RUNS}


def test_plots_are_outs_of_the_report_and_their_template_exists() -> None:
    plots = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["plots"]
    drawn = {
        path: settings for plot in plots for path, settings in (plot if isinstance(plot, dict) else {plot: {}}).items()
    }
    assert set(drawn) <= written(STAGES["report"])
    for path, settings in drawn.items():
        if path.endswith(".csv"):
            json.loads((PROJECT / ".dvc" / "plots" / f"{settings['template']}.json").read_text())


def test_parameter_files_are_literal() -> None:
    for file in (PROJECT / "conf" / "base").glob("parameters*.yml"):
        assert "${" not in file.read_text(), f"{file.name}: DVC cannot sweep over interpolations"
