"""The settings of what an advice tries out, and the presets that it may name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from superbatch.config import learner_settings, read
from superbatch.errors import UserError
from superbatch.nested import merge
from superbatch.options import AdviseSettings, LearnerSettings

Override = Mapping[str, Any] | None


def probe_steps(settings: AdviseSettings) -> int:
    """Return the steps of a probe: no more than the budget, where that is in steps."""
    most = settings.budget.steps
    return settings.probe if most is None else min(settings.probe, most)


def probe_override(name: str, override: Override, settings: AdviseSettings) -> dict[str, Any]:
    """Return what a probe changes in the template `learner`: its preset's settings, and its own steps and seed."""
    own = {"training": {"steps": probe_steps(settings), "seed": settings.seed}}
    return merge(override, own, f"{name}.learner")


def probe_settings(
    name: str, template: Mapping[str, Any], override: Override, settings: AdviseSettings
) -> LearnerSettings:
    """Read a probe's settings.

    Raises:
        UserError: a candidate that goes by another reference than the first or by a decision of `curate`, or with too few steps for what it does.
    """
    found = learner_settings(template, probe_override(name, override, settings), name)
    if found.goes_by != "reference" or found.teacher is not None:
        what = f"{name} uses {found.teacher or found.goes_by}, but an advice only has the first reference"
        raise UserError("advise.candidates", what, "leave it out")
    if found.pool.curated_by is not None:
        what = f"{name} draws from what a decision keeps, but an advice does not run curate"
        raise UserError("advise.candidates", what, "leave it out")
    return found


def fitting(
    presets: Iterable[tuple[str, Override]], template: Mapping[str, Any], pool: Path, curated: Path
) -> tuple[str, ...]:
    """List the presets that fit the learner's model and the sets: a low view has to be one, a super-batch no larger than the pool."""
    from superbatch.tasks.learner import check_sizes
    from superbatch.tasks.sets import SetFiles

    found = []
    for name, override in presets:
        try:
            check_sizes(learner_settings(template, override, name), SetFiles(pool), SetFiles(curated))
        except UserError:
            continue
        found.append(name)
    return tuple(found)


def read_settings(settings: Mapping[str, Any]) -> AdviseSettings:
    """Read `params:advise`."""
    return read(AdviseSettings, settings, "advise")
