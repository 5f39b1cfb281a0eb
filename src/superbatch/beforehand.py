"""What a later stage of a command would refuse, looked for before the first of them runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from superbatch.errors import UserError
from superbatch.files import shown

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

STORAGE = "params:storage"  # where stages are built, and where states of trainings are
EXPORT = ".export"  # what a run's model becomes (`<run>.export`)
INGESTED = {"pool.set", "curated.set", "evaluation.sets"}
REPORTED = {"report.page", "compare.results"}  # made of a metric that some evaluation set must have


def check_later_stages(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Check what a later stage would refuse: files of sets that are not there, the report's metric, the splits that are evaluated, the runs that are to be audited, search or are
    exported, the reference's batch, how it is bootstrapped, packages that are missing.

    Raises:
        UserError: no such shard, metric, split or run; a batch larger than the curated set; a package that is not installed.
    """
    made, tags = pipeline.all_outputs(), {tag for node in pipeline.nodes for tag in node.tags}
    if INGESTED & made:
        from superbatch.pipelines.ingest.checks import check_sources

        check_sources(catalog.load("params:ingest"), INGESTED & made)
    if REPORTED & made and tags & {"training", "evaluation"}:
        from superbatch.pipelines.report.checks import check_metric

        check_metric(*(catalog.load(f"params:{section}") for section in ("report", "ingest", "evaluate")))
    if "evaluation.sets" in made and "evaluation" in tags:
        from superbatch.pipelines.report.checks import check_split

        check_split(*(catalog.load(f"params:{section}") for section in ("ingest", "evaluate")))
    if "evaluation.sets" in made and any("training" in node.tags for node in pipeline.nodes):
        from superbatch.pipelines.ingest.checks import check_validation

        check_validation(catalog.load("params:ingest"))
    from superbatch.pipeline_registry import audited_run

    training = f"{audited_run()}.training"
    if "audit.rows" in made and training in pipeline.inputs():
        from superbatch.pipelines.audit.inputs import check_run

        check_run(audited_run(), Path(catalog[training]._filepath))
    if "reference.checkpoint" in made:
        from superbatch.pipelines.reference.nodes import check_rendered

        check_rendered(*(catalog.load(f"params:{section}") for section in ("reference", "simweb", "ingest")))
    if "curated_pp.set" in made:
        from superbatch.pipelines.bootstrap.nodes import check_settings

        check_settings(*(catalog.load(f"params:{section}") for section in ("bootstrap", "ingest")))
    if "search.page" in made:
        from superbatch.pipeline_registry import searching_runs

        check_runs_are_known("search.runs", searching_runs(), catalog)
    if any(name.endswith(EXPORT) for name in made):
        from superbatch.pipeline_registry import exported

        check_runs_are_known("export.run", [exported()[0]], catalog)
    check_packages(pipeline, catalog)


def check_packages(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Check that what a setting of a stage that runs asks for is installed: a cluster's library, ONNX.

    Raises:
        UserError: a package that is not.
    """
    from superbatch.config import read

    if "params:jobs" in pipeline.inputs():
        from superbatch.jobs.backends import require_backend
        from superbatch.options import JobsSettings

        require_backend(read(JobsSettings, catalog.load("params:jobs"), "jobs"))
    if any(name.endswith(EXPORT) for name in pipeline.all_outputs()):
        from superbatch.exporting.writing import require_formats
        from superbatch.options import TakeAwaySettings

        require_formats(read(TakeAwaySettings, catalog.load("params:export"), "export").formats)


def check_runs_are_known(where: str, runs: Iterable[str], catalog: CatalogProtocol) -> None:
    """Check that the runs whose models are used are there, or are made by some pipeline.

    Args:
        where: the setting that names them. runs: by name.
        catalog: with the place of checkpoints.

    Raises:
        UserError: no such run.
    """
    from superbatch.commands import stage_makers
    from superbatch.pipelines.search.inputs import check_runs

    made = {name.removesuffix(".checkpoint") for name in stage_makers() if name.endswith(".checkpoint")}
    check_runs(runs, made, Path(catalog["reference.checkpoint"]._filepath).parent, where)


def check_places(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Check that outputs can be written where they belong, and what is on its way to them, before hours are spent on making them.

    Raises:
        UserError: the first folder that can't be written to.
    """
    from superbatch.stores.address import is_address

    outputs = (str(getattr(catalog.get(name), "_filepath", "")) for name in sorted(pipeline.all_outputs()))
    places = {place: "`data` in conf/base/globals.yml" for place in outputs if place and not is_address(place)}
    if STORAGE in pipeline.inputs():
        storage = catalog.load(STORAGE)
        places |= {f"{storage[key]}/inside": f"`storage.{key}`" for key in ("stages", "state") if key in storage}
    for place, setting in places.items():
        folder = _nearest(Path(place))
        if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
            remedy = f"give this user the right to, or use another folder ({setting})"
            raise UserError(str(shown(folder)), "can't be written to", remedy)


def _nearest(place: Path) -> Path:
    """Return the nearest existing folder above a path."""
    return next(folder for folder in place.absolute().parents if os.path.exists(folder))
