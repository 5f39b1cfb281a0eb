"""Gather the inputs of an advice from earlier stages and from the probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from superbatch.files import read_json
from superbatch.options import AdviseSettings, LearnerSettings
from superbatch.reporting import Run
from superbatch.reporting.advice.measured import Costs, Measured, PoolFacts, Probe, ReferenceFacts
from superbatch.reporting.metrics import MEAN

TERA = 1e12


def validation_images(evaluation_sets: Path, metric: str) -> int:
    """Return how many validation images a metric is measured on; the headline on those of all sets."""
    from superbatch.evaluation import load_evaluation_sets

    sets = [one for one in load_evaluation_sets(evaluation_sets) if one.split == "validation"]
    own = [one for one in sets if one.name == metric.partition("/")[0]]
    return sum(one.num_images for one in own or sets)


def metric_of(runs: Sequence[Run], wanted: str) -> str:
    """Return the metric that probes are compared in: the report's, where a training's validation has it, else the headline."""
    return wanted if all(wanted in run.validation for run in runs) else MEAN


def probe_of(name: str, run: Run, metric: str, images: int, selects: bool) -> Probe:
    """Read a candidate's probe from its records."""
    tflop = run.record["flops"]["as_executed_total"] / TERA
    return Probe(name, run.steps, run.validation[metric], images, tflop, tuple(run.shares), selects, run.takes_all)


def costs_of(runs: Sequence[Run]) -> Costs:
    """Return what steps cost, by the probes' records: a plain step at full view, and what was spent before a run by the reference."""
    first = runs[0].record["flops"]
    forward = first.get("forward_full", first["forward_per_sample"])
    before = max(sum(run.record["flops"]["charged"].values()) for run in runs)
    return Costs(3 * forward * runs[0].batch_size / TERA, before / TERA)


def reference_facts(check: Path, training: Path, metric: str) -> ReferenceFacts:
    """Read what is known of the reference."""
    from superbatch.tasks.check import CHECK

    final = read_json(training / "run.json").get("final") or {}
    return ReferenceFacts.of(read_json(check / CHECK), final.get(metric))


def measured(
    facts: Mapping[str, Any],
    reference: tuple[Path, Path],
    probes: Mapping[str, tuple[Run, bool]],
    evaluation_sets: Path,
    wanted: tuple[AdviseSettings, LearnerSettings, str],
    known: tuple[str, ...],
) -> Measured:
    """Put all together.

    Args:
        facts: of the pool (`tasks.pool_facts`). reference: its check and its records.
        probes: by candidate, with whether the reference decides anything in it.
        evaluation_sets: ingested.
        wanted: `params:advise`, the learner's template, and the report's metric.
        known: presets that can be advised.
    """
    settings, template, metric = wanted
    runs = [run for run, _ in probes.values()]
    metric = metric_of(runs, metric)
    images = validation_images(evaluation_sets, metric)
    found = tuple(probe_of(name, run, metric, images, selects) for name, (run, selects) in probes.items())
    budget, tflop = settings.budget.steps, settings.budget.tflop
    steps = template.training.steps if budget is None and tflop is None else budget
    pool = PoolFacts(batch=template.training.batch_size, **facts)
    return Measured(reference_facts(*reference, metric), pool, found, costs_of(runs), steps, tflop, known, metric)
