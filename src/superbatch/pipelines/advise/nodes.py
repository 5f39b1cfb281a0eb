"""Nodes of the stage `advise`."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from superbatch.artifacts.stamps import Staged
from superbatch.config import ReportSettings, learner_settings, read
from superbatch.errors import UserError
from superbatch.pipelines.advise.candidates import fitting, probe_override, probe_settings, read_settings
from superbatch.pipelines.learner.nodes import train_learner

log = logging.getLogger(__name__)


def check_candidates(
    names: tuple[str, ...],
    pool: Path,
    curated: Path,
    settings: dict[str, Any],
    template: dict[str, Any],
    *overrides: dict[str, Any] | None,
) -> str:
    """Refuse what some probe would refuse, before anything is trained.

    Args:
        names: of the candidates, bound by the pipeline.
        pool, curated: ingested sets.
        settings: `params:advise`; template: `params:learner`.
        overrides: `params:<candidate>.learner`, in their order.

    Returns:
        A line; it puts the probes behind the check.

    Raises:
        UserError: the first mistake, named by its candidate.
    """
    from superbatch.tasks.learner import check_sizes
    from superbatch.tasks.sets import SetFiles

    wanted = read_settings(settings)
    for name, override in zip(names, overrides, strict=True):
        found = probe_settings(name, template, override, wanted)
        try:
            check_sizes(found, SetFiles(pool), SetFiles(curated))
        except UserError as error:
            raise UserError(f"{name}: {error.where}", error.what, error.remedy) from None
    return f"advise: {', '.join(names)} fit the sets"


def train_probe(
    name: str,
    settings: dict[str, Any],
    template: dict[str, Any],
    override: dict[str, Any] | None,
    storage: dict[str, Any],
    **others: Any,
) -> Staged:
    """Train a candidate for the steps of a probe, a whole schedule, or find that this very run is finished.

    Args:
        name: of the candidate, bound by the pipeline.
        settings: `params:advise`; template: `params:learner`; override: `params:<candidate>.learner`.
        storage: `params:storage`.

    The others, directories by name and what says that settings were checked, are those of `learner.nodes.train_learner`.

    Returns:
        The probe's records; its checkpoint stays with the training's state.
    """
    own = probe_override(name, override, read_settings(settings))
    train = partial(train_learner, f"probe of {name}", template=template, override=own, storage=storage)
    return train(**others)[1]


def measure_pool(
    pool: Path, features: Path, curated: Path, curated_features: Path, reference: Path, training: Path
) -> dict[str, Any]:
    """Measure the pool by the reference's embeddings: what scores like curated pairs, concepts, duplicates.

    Args:
        pool, features, curated, curated_features: ingested sets and their features.
        reference, training: the reference's checkpoint and records.
    """
    from superbatch.tasks.pool_facts import pool_facts
    from superbatch.tasks.sets import SetFiles

    return pool_facts(SetFiles(pool, features), SetFiles(curated, curated_features), reference, training)


def give_advice(
    names: tuple[tuple[str, ...], tuple[str, ...]],
    facts: dict[str, Any],
    check: Path,
    training: Path,
    reference: Path,
    pool: Path,
    curated: Path,
    evaluation_sets: Path,
    settings: dict[str, Any],
    template: dict[str, Any],
    report: dict[str, Any],
    command: str,
    *others: Any,
) -> dict[str, Any]:
    """Say which preset to run.

    Args:
        names: of the candidates, and of the presets that may be advised; bound by the pipeline.
        facts: what `measure_pool` returned.
        check, training, reference: the reference's check, records and checkpoint.
        pool, curated, evaluation_sets: ingested sets.
        settings, template, report: `params:advise`, `params:learner`, `params:report`, whose metric the probes are compared in.
        command: what makes this run again; the command that is advised has its environment and its other parameters.
        others: the probes' records in the order of the candidates, then `params:<preset>.learner` in that of the presets.

    Returns:
        `advice` (JSON) and `page` (Markdown).
    """
    from superbatch.data.manifest import read_manifest
    from superbatch.models import read_metadata
    from superbatch.pipelines.advise.inputs import measured
    from superbatch.reporting import Run
    from superbatch.reporting.advice.rules import advise
    from superbatch.reporting.advice.words import line, page, record

    candidates, presets = names
    overrides = dict(zip(presets, others[len(candidates) :], strict=True))
    probes = {
        name: (Run(Path(place).parent, name), learner_settings(template, overrides[name], name).uses_reference)
        for name, place in zip(candidates, others, strict=False)
    }
    wanted = (
        read_settings(settings),
        learner_settings(template, None, "learner"),
        read(ReportSettings, report, "report").metric,
    )
    known = fitting(overrides.items(), template, pool, curated)
    found = measured(facts, (check, training), probes, evaluation_sets, wanted, known)
    advice = advise(found)
    log.info("advice: %s", line(advice))
    for doubt in advice.doubts:
        log.info("advice: less certain, because %s", doubt)
    weights = read_metadata(reference)["weights_sha256"]
    made = record(advice, found, read_manifest(pool).fingerprint, weights)
    return {"advice": made, "page": page(advice, found, command)}
