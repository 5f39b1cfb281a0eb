"""Nodes that know which run they are: a function with its run's name bound, still showing its own source."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any


def named(function: Callable[..., Any], name: str | None) -> Callable[..., Any]:
    """Bind the first argument of a node function to a run's name; Kedro and Kedro-Viz still see the function behind it."""
    bound: Callable[..., Any] = update_wrapper(partial(function, name), function)
    return bound
