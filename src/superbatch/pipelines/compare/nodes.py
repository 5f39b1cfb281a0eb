"""Nodes of the stage `compare`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from superbatch.artifacts.stamps import Staged
from superbatch.config import ReportSettings, read
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.pipelines.compare.candidates import candidates
from superbatch.pipelines.compare.grid import expand, methods_of, override_of, settings_of
from superbatch.pipelines.evaluate.nodes import evaluate_model
from superbatch.pipelines.learner.nodes import train_learner


def check_runs(
    pool: Path, curated: Path, compare: dict[str, Any], template: dict[str, Any], *overrides: dict[str, Any] | None
) -> str:
    """Refuse what some run's training would refuse, before the first of the grid is trained.

    Args:
        pool, curated: ingested sets.
        compare: `params:compare`; template: `params:learner`.
        overrides: `params:<method>.learner` of each method of the grid, in its order.

    Returns:
        A line; it puts the runs behind the check.

    Raises:
        UserError: the first mistake, named by its run.
    """
    from superbatch.tasks.learner import check_sizes
    from superbatch.tasks.sets import SetFiles

    specs = expand(compare)
    found = settings_of(specs, template, dict(zip(methods_of(specs), overrides, strict=True)))
    for name, settings in found.items():
        try:
            check_sizes(settings, SetFiles(pool), SetFiles(curated))
        except UserError as error:
            raise UserError(f"{name}: {error.where}", error.what, error.remedy) from None
    return f"compare: the settings of {len(specs)} runs fit the sets"


def run_compared(
    name: str,
    template: dict[str, Any],
    override: dict[str, Any] | None,
    compare: dict[str, Any],
    evaluate: dict[str, Any],
    storage: dict[str, Any],
    evaluation_sets: Path,
    **others: Any,
) -> tuple[Staged, Staged, Staged]:
    """Train one run of the grid, the method's settings with the run's own on top, and evaluate it at once.

    In one node, so that a grid that is stopped has test values of all runs that were finished.

    Args:
        name: the run's name (`RunSpec.name`), bound by the pipeline.
        compare: `params:compare`, where `grid.expand` finds the run's settings by its name.
        evaluate: `params:evaluate`.

    The others, directories by name and what says that settings were checked, are those of `learner.nodes.train_learner`.

    Returns:
        The checkpoint, the run's records, its test results.
    """
    spec = next(spec for spec in expand(compare) if spec.name == name)
    train = partial(train_learner, name, template=template, override=override_of(spec, override), storage=storage)
    model, training = train(evaluation_sets=evaluation_sets, **others)
    return model, training, evaluate_model(name, model.path, evaluation_sets, evaluate, storage)


def collect_runs(
    references: tuple[str, ...], compare: dict[str, Any], report: dict[str, Any], template: dict[str, Any], *others: Any
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Put the outcomes of all runs of the grid into one list, a row a run.

    Args:
        references: names of those that a run goes by, bound by the pipeline.
        compare: `params:compare`; report: `params:report`, whose metric counts; template: `params:learner`.
        others: `params:<method>.learner` of each method of the grid, in its order; then training and evaluation of each reference and of each
            run, two and two, in the grid's order.

    Returns:
        Rows of run, label, method, settings, commit, run hash, digests of picks and weights, FLOPs, seconds, metrics; then nothing to add to the data set of all runs,
        which puts a report that is asked for in the same command behind this node.
    """
    specs = expand(compare)
    methods = methods_of(specs)
    overrides, directories = others[: len(methods)], others[len(methods) :]
    candidate_of = candidates(compare, template, dict(zip(methods, overrides, strict=True)))
    names = [*((name,) * 3 for name in references), *((spec.name, spec.label, spec.method) for spec in specs)]
    places = zip(directories[::2], directories[1::2], strict=True)
    metric = read(ReportSettings, report, "report").metric
    rows = [row(*name, *place, metric) for name, place in zip(names, places, strict=True)]
    for one in rows:
        one["outcome"]["method"] = candidate_of.get(one["run"], one["method"])
    return rows, {}


def row(name: str, label: str, method: str, training: Path, evaluation: Path, metric: str) -> dict[str, Any]:
    """Return the outcome of one run: where it comes from, what it cost, what it reached on validation and test.

    `outcome` is the run's row of `reporting.runs_frame`: what tables and steps to target are computed from. Its method is the one that the run is a
    candidate of, which `collect_runs` knows.
    """
    from superbatch.reporting import Run, runs_frame

    assert training.parent == evaluation.parent, "training and evaluation of one run lie beside each other"
    summary = read_json(training / "run.json")
    kept = ("run_hash", "commit", "machine", "torch", "threads", "seed", "plan", "digests", "flops", "seconds")
    run = Run(training.parent, name)
    outcome = runs_frame([run], metric).iloc[0].to_dict()
    metrics = {"validation": run.validation, "test": run.test, **({"test_low": run.test_low} if run.test_low else {})}
    return {
        "run": name,
        "label": label,
        "method": method,
        **{key: summary[key] for key in kept},
        "charged_seconds": summary.get("charged_seconds", {}),
        **metrics,
        "outcome": outcome,
    }
