"""A pytest plugin: the core with its own dependencies alone, whatever else is installed.

    python -m pytest -p tests.core_alone --confcutdir=tests/training tests/selection/test_oracle.py ...

What pyproject.toml names as dependencies, without the frameworks, and what these need in their turn, can be imported; so can the tools of
the tests. Anything else is refused as if it were not there. It takes the place of a second environment with a torch of its own.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1]
NOT_CORE = {"kedro", "kedro-datasets", "dvc", "great-expectations", "pydantic"}
TOOLS = {"pytest", "pytest-xdist", "hypothesis"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: Iterable[str]) -> set[str]:
    """These distributions and all that they need, as far as it is installed."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = normal(waiting.pop())
        try:
            wanted = [Requirement(line) for line in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            waiting += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def core() -> set[str]:
    """The distributions that the core may use."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return closure({normal(Requirement(line).name) for line in project["dependencies"]} - NOT_CORE)


def refused() -> set[str]:
    """Top-level modules of everything that is installed beside the core, the tools and the project itself."""
    allowed = core() | closure(TOOLS) | {"superbatch"}
    modules = metadata.packages_distributions().items()
    return {module for module, owners in modules if not allowed & {normal(owner) for owner in owners}}


class Without:
    """A finder of modules that does not see some."""

    def __init__(self, finder: Any, hidden: set[str]) -> None:
        self.finder, self.hidden = finder, hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if name.partition(".")[0] in self.hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def hide() -> None:
    """Let nothing that is refused be imported from now on."""
    hidden = refused()
    sys.meta_path[:] = [Without(finder, hidden) for finder in sys.meta_path]


def pytest_load_initial_conftests() -> None:
    hide()


def pytest_sessionstart() -> None:
    loaded = {name.partition(".")[0] for name in sys.modules} & {normal(name).replace("-", "_") for name in NOT_CORE}
    assert not loaded, f"loaded before they could be refused: {loaded}"
