"""Names inside pipelines: of nodes that belong to a run, and of data sets that mark settings as checked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

# What a check of settings gives, `<run>.checked_settings`: a line in memory. Whoever takes it begins after the check.
CHECKED = "checked_settings"
ALONE = "alone"  # the tag of a training that is in one process with other work: not for `torchrun`
BEFORE_LEARNER = "before_learner"  # the tag of all that a chain does before its learners; the scripts for several ranks run it by itself


def named(function: Callable[..., Any], name: str | tuple[Any, ...] | None) -> Callable[..., Any]:
    """Bind the first argument of a node function to a run's name, or to those of some; Kedro and Kedro-Viz still see the function behind it."""
    bound: Callable[..., Any] = update_wrapper(partial(function, name), function)
    return bound


def made_by(reference: str, name: str) -> str:
    """Return what a set's features by a reference are called: `pool` by `reference`, `pool_pp` by `reference_pp`, `pool_large` by `reference_large`."""
    return name + reference.removeprefix("reference")


def is_check(name: str) -> bool:
    """Whether a data set says that settings were checked."""
    return name.rpartition(".")[2] == CHECKED
