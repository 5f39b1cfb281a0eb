"""What happens around every Kedro command: paths hold from any sub-folder, parameters are checked before anything runs, results are shown."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from superbatch.options import TrackingSettings


log = logging.getLogger(__name__)


class ProjectHooks:
    """The project's hooks."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Work in the project's folder (paths inside parameters are relative to it), check every parameter, and say where shards are cached.

        Raises:
            UserError: the first mistake in the parameters, named by its key; those of stages that do not run count too.
        """
        from superbatch import pipeline_registry

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


def tracking_settings(catalog: CatalogProtocol) -> TrackingSettings:
    """Return which trackers are told of this command; their folder is beside the report unless it is set."""
    from superbatch.config import Storage, read
    from superbatch.options import TrackingSettings

    given = {key: catalog.load(f"params:{key}") for key in ("tracking", "storage") if f"params:{key}" in catalog}
    settings = read(TrackingSettings, given.get("tracking"), "tracking")
    if settings.folder is not None or not settings.wanted:
        return settings
    docs = Path(read(Storage, given.get("storage"), "storage").data_docs)
    return replace(settings, folder=str(docs.parent / "tracking"))


def check_trackers(catalog: CatalogProtocol) -> None:
    """Check that the trackers which are on are installed; those that failed in an earlier session have another chance.

    Raises:
        UserError: one that is not.
    """
    wanted = tracking_settings(catalog).wanted
    if wanted:
        from superbatch.tracking import require_trackers, tracking_of

        require_trackers(wanted)
        tracking_of.cache_clear()


def follow_trainings(catalog: CatalogProtocol) -> None:
    """Let the trackers follow the trainings of the node that runs next, if any are on."""
    from superbatch.training.following import follow_with

    settings = tracking_settings(catalog)
    if not settings.wanted:
        follow_with(None)  # an earlier session in the same notebook may have set some
        return
    from superbatch.tracking import tracking_of

    follow_with(tracking_of(settings))


def send_to_trackers(made: set[str], catalog: CatalogProtocol) -> None:
    """Send results and the report's figures to the trackers, as far as they don't have them."""
    settings = tracking_settings(catalog)
    if settings.wanted:
        from superbatch.tracking import send_found, tracking_of

        outputs = Path(catalog["reference.training"]._filepath).parents[1]
        states = Path(catalog.load("params:storage")["state"])
        files = [Path(catalog[name]._filepath) for name in made if name.startswith("report.")]
        figures = {file.stem: file for file in sorted(files) if file.suffix == ".png"}
        send_found(tracking_of(settings), sorted(outputs.glob("*")), states, figures)


def grid_table(catalog: CatalogProtocol) -> str:
    """Return the table of a grid's runs, as the console shows it."""
    from superbatch.reporting.summary import grid_text

    return grid_text(catalog.load("compare.results"), catalog.load("params:report")["metric"])


def check_grid(catalog: CatalogProtocol) -> None:
    """Check the settings of all runs of the grid, which lie in no block of their own.

    Raises:
        UserError: the first mistake found, named by its run.
    """
    from superbatch.pipelines.compare.grid import expand, methods_of, settings_of

    specs = expand(catalog.load("params:compare"))
    methods = {name: catalog.load(f"params:{name}.learner") for name in methods_of(specs)}
    settings_of(specs, catalog.load("params:learner"), methods)


def warn_of_simwebs_grid(compare: dict[str, Any]) -> None:
    """Warn where the grid of conf/base, made for the embedded default, is about to run on shards of one's own."""
    import yaml

    from superbatch.pipeline_registry import sources

    base = yaml.safe_load(Path("conf/base/parameters_compare.yml").read_text())["compare"]
    if "simweb" not in sources() and compare["runs"] == base["runs"]:
        log.warning(
            "compare: the schedules and learning rates of this grid were tuned on simweb; "
            "docs/own_data.md has a grid to start from for your own shards"
        )


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
