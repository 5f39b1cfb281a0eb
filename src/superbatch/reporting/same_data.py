"""Runs on the pool and the test sets of the main run: values of others can't be compared with its own, nor are they seeds of one method."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from superbatch.reporting.commands import kedro_run
from superbatch.reporting.metrics import MEAN
from superbatch.reporting.runs import Run
from superbatch.reporting.sources import Sources

log = logging.getLogger(__name__)
OF_A_GRID = re.compile(r".+-T\d+-s\d+")  # what `compare` calls its runs
OF_THE_POOL = ("manifest", "truth", "features", "pixels", "captions", "judged", "data_docs", "search")
MOST = 5  # names that a line lists


def of_one_pool(runs: list[Run], main: Run, sources: Sources) -> list[Run]:
    """Keep the runs that drew from the main one's pool, and those that do not say; references stay. Lines say what is left out and what to do.

    Args:
        sources: of the report: the fingerprint of the ingested pool, if it is known, and the command.
    """
    moved = on_another_pool(main, sources)
    if moved:
        again, what = _train(main, sources), "was trained on another pool than the one that is ingested"
        log.info("report: %s %s, so none of its rows are shown; to train it on this one: `%s`", main.name, what, again)
    others = [run for run in runs if None not in (run.pool, main.pool) and run.pool != main.pool]
    if others:
        line = "report: shows runs that were trained on the pool of %s; leaves out %d of another pool (%s)%s"
        remedy = "" if moved else f"; to train them on this one: `{_train(others[0], sources)}`"
        log.info(line, main.name, len(others), _names(others), remedy)
    return [run for run in runs if run not in others]


def on_another_pool(run: Run, sources: Sources) -> bool:
    """Whether a run drew from another pool than the ingested one, where both are known."""
    ingested = sources.fingerprints.get("pool")
    return ingested is not None and run.pool not in (None, ingested)


def without_pool(sources: Sources, run: Run) -> Sources:
    """Leave out what is known of the ingested pool, for a run that drew from another one, of which the fingerprint alone is known."""
    nothing: dict[str, Any] = dict.fromkeys(OF_THE_POOL)
    fingerprints = {**sources.fingerprints, "pool": str(run.pool)}
    return replace(sources, **nothing, advice="", pool="", fingerprints=fingerprints)


def of_one_test(runs: list[Run], main: Run, metric: str, command: str | None) -> list[Run]:
    """Keep the runs that were tested on the main one's data, and those that do not say. A line says which are left out and what to do.

    Args:
        metric: that is shown; a headline needs the same sets too. command: that makes the report.
    """
    others = [run for run in runs if not _tested_alike(run, main, metric)]
    if others:
        line = "report: shows runs that were tested on the same data as %s; leaves out %d that were not (%s); to test all on the same: %s"
        log.info(line, main.name, len(others), _names(others), _test([main, *others], command))
    return [run for run in runs if run not in others]


def _tested_alike(run: Run, main: Run, metric: str) -> bool:
    """Whether two runs have no test set of one name with other data; for a headline, whether the sets are the same.

    Runs on classes have no retrieval, so the sets of another kind of runs are its own.
    """
    own, other = ({name: result.get("data") for name, result in one.tested.items()} for one in (main, run))
    if metric == MEAN and own and other and run.kind == main.kind and own.keys() != other.keys():
        return False
    return all(None in (own[name], other[name]) or own[name] == other[name] for name in own.keys() & other.keys())


def _names(runs: Sequence[Run]) -> str:
    more = [f"{len(runs) - MOST} more"] if len(runs) > MOST else []
    return ", ".join([run.name for run in runs[:MOST]] + more)


def _train(run: Run, sources: Sources) -> str:
    stage = "--pipelines=compare" if OF_A_GRID.fullmatch(run.name) else f"--pipeline={run.name}"
    return kedro_run(sources.command, stage)


def _test(runs: Sequence[Run], command: str | None) -> str:
    """The commands that evaluate some runs: of a chain by their names, of a grid all of them. What is up to date takes no time."""
    alone = [run.name for run in runs if not OF_A_GRID.fullmatch(run.name)]
    stages = [["--pipelines=evaluate", f"--namespaces={','.join(alone)}"]] if alone else []
    stages += [["--pipelines=compare"]] if len(alone) < len(runs) else []
    return " and ".join(f"`{kedro_run(command, *options)}`" for options in stages)
