"""Nodes of the stage `report`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superbatch.artifacts.stamps import fault
from superbatch.config import ReportSettings, Storage, read
from superbatch.datasets.reading import maker
from superbatch.errors import UserError
from superbatch.files import read_json, shown

if TYPE_CHECKING:
    from superbatch.reporting import Report
    from superbatch.reporting.sources import SetImages

log = logging.getLogger(__name__)

EXPECTATIONS = "expectations.json"  # what Great Expectations found, beside the manifest
SEARCH = "search.html"  # what the stage `search` writes beside the report
THUMBNAIL = 128  # pixels a side of the gallery's images


def report(
    main: str | None,
    pool: Path,
    features: Path,
    evaluation_sets: Path,
    runs: dict[str, Callable[[], Path]],
    settings: dict[str, Any],
    storage: dict[str, Any],
    command: str,
    *edges: Path,
) -> dict[str, Any]:
    """Compare all runs found, as tables, figures and a page.

    Args:
        main: the run that the report is about (a chain's method), bound by the pipeline; None: the report chooses.
        pool: the ingested pool; truth/pool.parquet beside the folder of its shards, where there is one, gives the purity of the picks.
        features: the pool's embeddings by the reference, which say how the picks stand to it.
        evaluation_sets: the ingested evaluation sets, whose images are shown.
        runs: every run directory found, by name (a PartitionedDataset: each value returns a path when called).
        settings: `params:report` -> `config.ReportSettings`.
        storage: `params:storage` -> `config.Storage`: the pool's Data Docs, if there are any, are linked to.
        command: what makes this run again.
        edges: the data's source, and training and evaluation of the chain's own runs; they only put this node behind them.

    Returns:
        `summary` (text), `table` (data frame), `metrics` (flat dictionary), `accuracy_by_steps|samples|flops|seconds` and `purity`
        (matplotlib figures), `plot_validation` and `plot_loss` (data frames for `dvc plots`), `page` (HTML).
    """
    from superbatch.pipelines.report.plots import final_values, plot_tables
    from superbatch.reporting.page import render
    from superbatch.reporting.report_figures import file_figures
    from superbatch.reporting.summary import console_text, metrics

    wanted = read(ReportSettings, settings, "report")
    docs = Path(read(Storage, storage, "storage").data_docs)
    made = gather(main, pool, features, evaluation_sets, runs, wanted, docs, command)
    written = {
        "summary": console_text(made) + "\n",
        "table": made.table,
        "metrics": metrics(made) | final_values(made),
        "page": render(made),
    }
    return written | file_figures(made) | plot_tables(made)


def gather(
    main: str | None,
    pool: Path,
    features: Path,
    evaluation_sets: Path,
    runs: dict[str, Callable[[], Path]],
    settings: ReportSettings,
    data_docs: Path,
    command: str,
) -> Report:
    """Open what the report is made from."""
    from superbatch.data.manifest import read_manifest
    from superbatch.data.reader import ImageReader
    from superbatch.reporting import Report, Run, Sources
    from superbatch.reporting.advice.words import recorded_line
    from superbatch.reporting.gallery import first_captions
    from superbatch.simweb.truth import find_truth

    found = {name.removesuffix("/training/run.json"): load for name, load in sorted(runs.items())}
    for name, load in found.items():
        check_whole(name, load())
    manifest = read_manifest(pool)
    truth = find_truth(manifest)
    return Report(
        Sources(
            runs=[Run(load(), name) for name, load in found.items()],
            main=main,
            manifest=pool,
            truth=truth,
            features=features,
            pixels=ImageReader(manifest, THUMBNAIL).read,
            captions=first_captions(pool),
            judged=read_json(pool / EXPECTATIONS) if (pool / EXPECTATIONS).is_file() else None,
            data_docs=link_to_docs(data_docs),
            command=command,
            fingerprints={"pool": manifest.fingerprint},
            metric=settings.metric,
            title=settings.title,
            pool=pool_name(list(manifest.shard_sizes)),
            examples=settings.examples,
            images=images_of_sets(evaluation_sets),
            queries=settings.queries,
            search=link_to_search(data_docs),
            advice=recorded_line(data_docs.parent, manifest.fingerprint),
        )
    )


def check_whole(name: str, run: Path) -> None:
    """Warn of a run's file that is missing: the report shows what is left of the run.

    Raises:
        UserError: a file that was cut.
    """
    for folder in (run / "training", run / "evaluation"):
        at_fault, what = fault(folder) or (folder, "")
        remedy = f"run `kedro run --pipelines={maker(name)}`, which makes it again"
        if at_fault == folder:
            continue  # nothing is wrong with it, or it has no stamp
        if at_fault.exists():
            raise UserError(str(shown(at_fault)), what, remedy)
        log.warning("report: %s: %s; %s", shown(at_fault), what, remedy)


def pool_name(shards: list[str]) -> str:
    """Return what a pool is called: the folder of its shards, or the one above it where that is called `pool`; empty without shards."""
    folders = [part for part in Path(shards[0]).parent.parts if part not in ("pool", "/", ".", "..")] if shards else []
    return folders[-1] if folders else ""


def images_of_sets(evaluation_sets: Path) -> dict[str, SetImages]:
    """Return what the report shows of each evaluation set's test split."""
    from superbatch.data.reader import ImageReader
    from superbatch.evaluation import load_evaluation_sets
    from superbatch.reporting.sources import SetImages

    return {
        one.name: SetImages(
            ImageReader(one.manifest, THUMBNAIL).read, one.image_captions, one.labels is not None, one.fingerprint
        )
        for one in load_evaluation_sets(evaluation_sets)
        if one.split == "test"
    }


def link_to_search(data_docs: Path) -> str | None:
    """Return the address of the search page from the report beside it; None where it wasn't written."""
    return SEARCH if (data_docs.parent / SEARCH).is_file() else None


def link_to_docs(data_docs: Path) -> str | None:
    """Return the address of the pool's Data Docs from a page beside their folder; None where they weren't written."""
    index = data_docs / "pool" / "index.html"
    return index.relative_to(data_docs.parent).as_posix() if index.is_file() else None
