"""The project's own parameters with some changed, as a command would read them: for checks that need no command."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from superbatch.config import check_parameters
from superbatch.errors import UserError
from superbatch.nested import from_dotted, merge
from tests.project import PROJECT


def quick_parameters(changes: dict[str, Any]) -> dict[str, Any]:
    """Return those of `conf/quick` over `conf/base`, with some changed by dotted name."""
    return merge(_read(), from_dotted(changes))


def refusal(changes: dict[str, Any]) -> str:
    """Return the line by which the check that every command makes first refuses them."""
    with pytest.raises(UserError) as found:
        check_parameters(quick_parameters(changes))
    return str(found.value)


@cache
def _read() -> dict[str, Any]:
    merging = {"parameters": "soft"}
    return OmegaConfigLoader(str(PROJECT / "conf"), env="quick", base_env="base", merge_strategy=merging)["parameters"]
