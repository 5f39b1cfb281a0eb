"""What happens around every Kedro command: paths hold from any sub-folder, parameters are checked before anything runs, results are shown."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from superbatch.checks import (
    check_all,
    check_devices,
    check_grid,
    check_learners,
    check_path,
    check_ranks,
    check_runner,
)
from superbatch.tracked import check_trackers, follow_trainings, send_to_trackers

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node


log = logging.getLogger(__name__)


class ProjectHooks:
    """The project's hooks."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Work in the project's folder (paths inside parameters are relative to it), check every parameter, and say where shards are cached.

        Raises:
            UserError: a folder that Kedro takes for a pattern; the first mistake in the parameters, named by its key; those of stages that do not run count too.
        """
        from superbatch import pipeline_registry

        check_path(context.project_path)
        os.chdir(context.project_path)
        parameters = context.config_loader["parameters"]
        context.config_loader["parameters"] = parameters  # Kedro asks once more, and would read the files again
        check_all(parameters)
        set_cache(parameters.get("storage") or {})
        pipeline_registry.configure(parameters)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Check what a later stage would refuse, before anything is loaded, and tell the report the command.

        Raises:
            UserError: what `check_later_stages`, `check_learners` and `check_devices` refuse; inputs that are not there; stages for one process under torchrun;
                trainings in threads; trackers that are not installed.
        """
        from superbatch.beforehand import check_later_stages, check_places
        from superbatch.commands import require_inputs, run_command

        stand_in_for_checks(pipeline, catalog)
        check_ranks(pipeline)
        check_trackers(catalog)
        check_runner(str(run_params.get("runner")), pipeline)
        check_learners(pipeline)
        check_devices(pipeline, catalog)
        check_later_stages(pipeline, catalog)
        if "params:compare" in pipeline.inputs():
            check_grid(catalog)
        if "compare.results" in pipeline.all_outputs():
            warn_of_simwebs_grid(catalog.load("params:compare"))
        require_inputs(run_params, pipeline, catalog)
        check_places(pipeline, catalog)
        if "params:command" in pipeline.inputs():
            catalog["params:command"] = run_command(run_params)

    @hook_impl
    def before_node_run(self, node: Node, catalog: CatalogProtocol) -> None:
        """Tell the node where its directories belong, so that it finds what stands there already."""
        from superbatch.artifacts.places import set_places
        from superbatch.datasets import DirectoryDataset

        outputs = [catalog.get(name) for name in node.outputs]
        set_places(output._filepath for output in outputs if isinstance(output, DirectoryDataset))
        if "training" in node.tags:
            follow_trainings(catalog)

    @hook_impl
    def on_node_error(self, error: Exception, inputs: dict[str, Any]) -> None:
        """After an error that nobody foresaw, look for a damaged file among what the node read.

        Raises:
            UserError: such a file; it stands before the error, which then says nothing more.
        """
        from superbatch.mistakes import told

        if told(error) is None:
            from superbatch.damaged import require_readable

            require_readable(inputs.values())

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print the table of results, and where report and audit are, if this run made them; of a grid alone its table."""
        from superbatch.beforehand import EXPORT
        from superbatch.datasets.aside import written_to

        made = pipeline.all_outputs()
        leave_to_dvc(made, catalog)
        send_to_trackers(made, catalog)
        summaries = [name for name in ("report.summary", "search.summary") if name in made]
        for summary in summaries:
            print(f"\n{catalog.load(summary)}", flush=True)
        if "compare.results" in made and not summaries:
            env = f" --env={run_params['env']}" if run_params.get("env") else ""
            print(f"\n{grid_table(catalog)}\n\nFor the report: kedro run --pipelines=report{env}", flush=True)
        for name in ("report", "audit", "search", "advise"):
            if f"{name}.page" in made:
                print(f"{name.capitalize()}: {written_to(catalog[f'{name}.page'])}", flush=True)
        for name in sorted(name for name in made if name.endswith(EXPORT)):
            print(f"Export: {written_to(catalog[name])}", flush=True)


def set_cache(storage: dict[str, Any]) -> None:
    """Say through which cache shards in an object store are read, in this process and in those that it starts."""
    from superbatch.config import Storage, read
    from superbatch.stores.cache import ShardCache, use_cache

    cache = read(Storage, storage, "storage").cache
    use_cache(ShardCache(Path(cache.folder), int(cache.gigabytes * 1e9)))


def stand_in_for_checks(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Give what waits for a check of settings an answer, where a part of a pipeline (--namespaces, --tags, --from-nodes) has no such check."""
    from superbatch.pipelines.naming import is_check

    for check in filter(is_check, pipeline.inputs()):
        catalog[check] = "not checked in this command"


def leave_to_dvc(outputs: set[str], catalog: CatalogProtocol) -> None:
    """At the end of a command that DVC runs, drop what would let DVC's next command put the outputs back: DVC can do so itself."""
    from superbatch.artifacts.shelf import drop_names, under_dvc
    from superbatch.datasets import DirectoryDataset

    if under_dvc():
        stages = Path(catalog.load("params:storage")["stages"])
        for output in map(catalog.get, outputs):
            if isinstance(output, DirectoryDataset):
                drop_names(output._filepath, stages)


def grid_table(catalog: CatalogProtocol) -> str:
    """Return the table of a grid's runs, as the console shows it."""
    from superbatch.reporting.summary import grid_text

    return grid_text(catalog.load("compare.results"), catalog.load("params:report")["metric"])


def warn_of_simwebs_grid(compare: dict[str, Any]) -> None:
    """Warn where the grid of conf/base, made for the embedded default, is about to run on shards of one's own."""
    import yaml

    from superbatch.pipeline_registry import sources

    base = Path("conf/base/parameters_compare.yml")
    if not base.is_file():  # whoever removed it has a grid of their own
        return
    runs = yaml.safe_load(base.read_text())["compare"]["runs"]
    if "simweb" not in sources() and compare["runs"] == runs:
        log.warning(
            "compare: the schedules and learning rates of this grid were tuned on simweb; "
            "docs/own_data.md has a grid to start from for your own shards"
        )
