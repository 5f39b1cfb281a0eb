"""What is refused before a command's first stage runs: wrong settings, devices that are not there, ways to run that would spoil a training."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline


PATTERNS = re.compile(
    r"[{}]|\[[^/]*\]"
)  # what Kedro takes for a glob of its configuration, or for a name in its catalog


def check_path(project: Path) -> None:
    """Check that Kedro can take the path of a project as it is; else it finds no configuration, or a catalog that makes no sense.

    Raises:
        UserError: brackets or braces in it.
    """
    from superbatch.errors import UserError

    if PATTERNS.search(str(project.resolve())):
        what = "the path has brackets or braces, which Kedro takes for patterns"
        raise UserError(str(project.resolve()), what, "use a folder without them for the project")


def check_all(parameters: dict[str, Any]) -> None:
    """Check all parameters and the grid of `compare`.

    Raises:
        UserError: the first mistake found.
    """
    from superbatch.config import check_parameters, method_names
    from superbatch.errors import UserError
    from superbatch.pipelines.compare.grid import check_reference, expand

    check_parameters(parameters)
    methods = method_names(parameters)
    for spec in expand(parameters.get("compare")):
        if spec.method not in methods:
            raise UserError(
                f"compare: {spec.name}", f"{spec.method!r} is not a method", f"methods: {', '.join(methods)}"
            )
        check_reference(spec, parameters)


def check_learners(pipeline: Pipeline) -> None:
    """Check that learners by labels and their references are of the same classes, before either is trained.

    Raises:
        UserError: just that.
    """
    from superbatch.pipeline_registry import check_classes

    ending = ".learner"
    for name in sorted(pipeline.inputs()):
        if name.startswith("params:") and name.endswith(ending):
            check_classes(name.removeprefix("params:").removesuffix(ending))


def check_devices(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Check that this machine has the devices that its stages are to compute on, before the first of them runs.

    Raises:
        UserError: one that it lacks, named by its key. Where workers of a cluster compute, nobody here can tell.
    """
    from superbatch.errors import UserError
    from superbatch.nested import dotted
    from superbatch.options.jobs import CLUSTERS

    read = {name for name in pipeline.inputs() if name.startswith("params:")}
    names = sorted(read - {"params:command"})  # no setting: the report is told it later
    given = {name.removeprefix("params:"): catalog.load(name) for name in names}
    if (given.get("jobs") or {}).get("backend") in CLUSTERS:
        return
    for key, value in dotted({name: block for name, block in given.items() if isinstance(block, dict)}):
        if key.rpartition(".")[2] == "device" and value not in ("auto", "cpu", None):
            from superbatch.models.device import pick_device

            try:
                pick_device(value)
            except UserError as error:
                raise UserError(key, error.what, error.remedy) from None


def check_grid(catalog: CatalogProtocol) -> None:
    """Check the settings of all runs of the grid, which lie in no block of their own.

    Raises:
        UserError: the first mistake found, named by its run.
    """
    from superbatch.pipelines.compare.grid import expand, methods_of, settings_of

    specs = expand(catalog.load("params:compare"))
    methods = {name: catalog.load(f"params:{name}.learner") for name in methods_of(specs)}
    settings_of(specs, catalog.load("params:learner"), methods)


def check_ranks(pipeline: Pipeline) -> None:
    """Let several ranks run trainings alone.

    Raises:
        UserError: a stage that only one process may run.
    """
    from superbatch.errors import UserError
    from superbatch.pipelines.naming import ALONE

    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        allowed = {"training", "settings"}
        others = [
            node.name for node in pipeline.nodes if node.outputs and (ALONE in node.tags or not node.tags & allowed)
        ]
        if others:
            remedy = "run `kedro run --pipelines=learner --namespaces=jest` under it, and the other stages without it"
            raise UserError("torchrun", f"{others[0]} is for one process", remedy)


def check_runner(runner: str, pipeline: Pipeline) -> None:
    """Refuse trainings in threads of one process: they share the random state and torch's threads, so their bits are nobody's.

    Raises:
        UserError: just that. Processes of their own (ParallelRunner) are fine.
    """
    from superbatch.errors import UserError

    trainings = [node.name for node in pipeline.nodes if "training" in node.tags]
    if "ThreadRunner" in runner and trainings:
        what = (
            f"{trainings[0]} would share its random state with what runs beside it, and learn something else each time"
        )
        raise UserError("--runner=ThreadRunner", what, "leave it out, or use ParallelRunner")
