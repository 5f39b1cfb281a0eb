"""Commands as a user would give them: to repeat a run, and to make the inputs that a run lacks."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superbatch.artifacts.stamps import NOT_FINISHED, fault
from superbatch.errors import UserError
from superbatch.files import shown
from superbatch.nested import dotted

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

RunParams = Mapping[str, Any]  # what Kedro's hooks are told of a run
LISTS = {
    "pipeline_names": "pipelines",
    "namespaces": "namespaces",
    "node_names": "nodes",
    "tags": "tags",
    "from_nodes": "from-nodes",
    "to_nodes": "to-nodes",
    "from_inputs": "from-inputs",
    "to_outputs": "to-outputs",
}
BY_RUN = ("learner", "evaluate", "compare")  # stages with a namespace for each run


def run_command(run: RunParams) -> str:
    """Return the command that repeats a run: stages, environment and parameters as given."""
    words = [f"--{option}={','.join(run[key])}" for key, option in LISTS.items() if run.get(key)]
    words += [f"--env={run['env']}"] if run.get("env") else []
    given = ",".join(f"{key}={_as_given(value)}" for key, value in dotted(run.get("runtime_params") or {}))
    words += [f"--params={given}"] if given else []
    runner = re.search(
        r"\w+Runner\b", str(run.get("runner")).rpartition(".")[2]
    )  # a name, or an object's representation
    words += [f"--runner={runner[0]}"] if runner and runner[0] != "SequentialRunner" else []
    return shlex.join(["kedro", "run", *words])


def require_inputs(run: RunParams, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Refuse a run with missing inputs, before it loads the first of them.

    Raises:
        UserError: it names the commands that make all that is missing, also what those need in their turn.
    """
    absent = _absent(pipeline, catalog)
    makers = stage_makers() if absent else {}  # building the pipelines of all stages takes a while
    missing = [name for name in absent if name in makers]
    if not missing:
        _require_runs(run, pipeline, absent)
        return
    stages = _stages_before(missing, catalog, makers)
    stage_of = {name: number for number, parts in enumerate(stages.values()) for name in parts.all_outputs()}
    first = min(missing, key=lambda name: (stage_of[name], name))
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    place = Path(catalog[first]._filepath)  # type: ignore[index]  # catalogs are mappings
    where, what = fault(place) or (place, NOT_FINISHED)
    commands = " and then ".join(f"`{command}`" for command in _commands(run, stages))
    raise UserError(str(shown(where)), f"{what}{more}", f"run {commands} first")


def _require_runs(run: RunParams, pipeline: Pipeline, absent: list[str]) -> None:
    """Refuse a report of no runs at all, in a command that trains none."""
    if "runs" in absent and not any("training" in node.tags for node in pipeline.nodes):
        command = run_command({"env": run.get("env"), "pipeline_names": ["jest"]})
        raise UserError("report", "there is no run yet", f"train one first, such as with `{command}`")


def _absent(pipeline: Pipeline, catalog: CatalogProtocol) -> list[str]:
    """List the inputs of a pipeline that don't exist."""
    read = [name for name in pipeline.inputs() if "params:" not in name and name != "parameters"]
    return [name for name in sorted(read) if not catalog.exists(name)]


def stage_makers() -> dict[str, str]:
    """Return the stage that makes each directory."""
    from superbatch.pipeline_registry import STAGES, register_pipelines
    from superbatch.pipelines.naming import is_check

    pipelines = register_pipelines()
    outputs = {name: stage for stage in STAGES for name in pipelines[stage].all_outputs()}
    # `runs` is whatever is in the folder, and a check of settings leaves no file.
    return {name: stage for name, stage in outputs.items() if name != "runs" and not is_check(name)}


def _stages_before(missing: list[str], catalog: CatalogProtocol, makers: Mapping[str, str]) -> dict[str, Pipeline]:
    """Return the stages to run for missing inputs, in order. Of stages with a namespace for each run, only the runs needed."""
    from superbatch.pipeline_registry import STAGES, register_pipelines

    pipelines, found, waiting = register_pipelines(), dict[str, Any](), list(missing)
    while waiting:
        name = waiting.pop()
        stage = makers[name]
        part = pipelines[stage]
        if stage in BY_RUN:
            part = part.only_nodes_with_namespaces([name.rpartition(".")[0]])
        if stage not in found or name not in found[stage].all_outputs():
            found[stage] = found[stage] + part if stage in found else part
            waiting += [name for name in _absent(part, catalog) if name in makers]
    return {stage: found[stage] for stage in STAGES if stage in found}


def _commands(run: RunParams, stages: Mapping[str, Pipeline]) -> Iterator[str]:
    """Yield the commands that run some stages in this run's environment. Stages without a namespace for each run share one command."""
    same = {key: run.get(key) for key in ("env", "runtime_params")}
    whole = [stage for stage in stages if stage not in BY_RUN]
    if whole:
        yield run_command(same | {"pipeline_names": whole})
    for stage in (stage for stage in stages if stage in BY_RUN):
        runs = sorted({str(node.namespace) for node in stages[stage].nodes})
        yield run_command(same | {"pipeline_names": [stage], "namespaces": runs})


def _as_given(value: Any) -> str:
    """Write a value as --params takes it: text as it is where it is read as that again, else in JSON, which YAML reads too."""
    plain = isinstance(value, str) and _is_read_as_it_is(value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def _is_read_as_it_is(text: str) -> bool:
    """Whether --params takes a text without quotes for this text: not for two entries, a number, a mapping or a comment."""
    from click import ClickException

    from superbatch.given import read_params

    try:
        return read_params(f"key={text}") == {"key": text}
    except ClickException:
        return False
