"""The project's own parameters with some changed, as a command would read them: for checks that need no command."""

from __future__ import annotations

from functools import cache
from typing import Any

from kedro.config import OmegaConfigLoader

from superbatch.nested import from_dotted, merge
from tests.project import PROJECT


def quick_parameters(changes: dict[str, Any]) -> dict[str, Any]:
    """Return those of `conf/quick` over `conf/base`, with some changed by dotted name."""
    return merge(_read(), from_dotted(changes))


@cache
def _read() -> dict[str, Any]:
    merging = {"parameters": "soft"}
    return OmegaConfigLoader(str(PROJECT / "conf"), env="quick", base_env="base", merge_strategy=merging)["parameters"]
