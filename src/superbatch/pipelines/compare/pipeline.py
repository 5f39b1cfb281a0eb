"""Wiring of the stage `compare`: a check of all settings, a node for every run of the grid, which trains and evaluates it, and one of their records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.compare.grid import RunSpec, methods_of
from superbatch.pipelines.compare.nodes import check_runs, collect_runs, run_compared
from superbatch.pipelines.evaluate.pipeline import evaluation
from superbatch.pipelines.learner.pipeline import checked_by, decided_by, shared, taught_by
from superbatch.pipelines.naming import CHECKED, named

SETTINGS = f"compare.{CHECKED}"


def create_pipeline(
    specs: Mapping[RunSpec, str],
    of_labels: Collection[str] = (),
    curated: Collection[str] = (),
    teachers: Mapping[str, str] | None = None,
) -> Pipeline:
    """Return the stage; `--namespaces <run>` runs one of its runs alone.

    Args:
        specs: the reference that each run goes by, by its name.
        of_labels: references of labels, whom nobody checks.
        curated: names of runs that draw from what a decision keeps.
        teachers: the model that teaches in the reference's place, by the run's name.
    """
    taught = teachers or {}
    references = sorted({"reference", *specs.values(), *taught.values()})
    runs = [
        compared(spec, by, by not in of_labels, spec.name in curated, taught.get(spec.name))
        for spec, by in specs.items()
    ]
    runs += [evaluation(name) for name in references]
    names = (*references, *(spec.name for spec in specs))
    edges = [f"{run}.{part}" for run in names for part in ("training", "evaluation")]
    collect = node(
        named(collect_runs, tuple(references)),
        inputs=["params:compare", "params:report", "params:learner", *_overrides(specs), *edges],
        outputs=["compare.results", "runs"],
        name="collect_runs",
        tags="reporting",
    )
    return Pipeline([_check(list(specs)), *runs, collect])


def _check(specs: list[RunSpec]) -> Pipeline:
    """Return the check of all runs' settings, which each of them waits for."""
    inputs = ["pool.set", "curated.set", "params:compare", "params:learner", *_overrides(specs)]
    return pipeline([node(check_runs, inputs=inputs, outputs=SETTINGS, name="check_runs", tags="settings")])


def _overrides(specs: Iterable[RunSpec]) -> list[str]:
    """Name the settings of each method of the grid, in its order."""
    return [f"params:{method}.learner" for method in methods_of(specs)]


def compared(
    spec: RunSpec,
    reference: str = "reference",
    checked: bool = True,
    curated: bool = False,
    teacher: str | None = None,
) -> Pipeline:
    """Return one run of the grid: training and evaluation in one node, under the run's name."""
    parameters = {
        "template": "params:learner",
        "override": f"params:{spec.method}.learner",
        "compare": "params:compare",
        "evaluate": "params:evaluate",
        "storage": "params:storage",
    }
    read = shared(reference) | (checked_by(reference) if checked else {}) | decided_by(curated) | taught_by(teacher)
    run = node(
        named(run_compared, spec.name),
        inputs=read | parameters | {"checked": SETTINGS},
        outputs=["checkpoint", "training", "evaluation"],
        name="run",
        tags="evaluation",
    )
    given = {*read.values(), SETTINGS}
    return pipeline([run], namespace=spec.name, inputs=given, parameters=set(parameters.values()))
