"""The tiny package rendered once, for all tests of this room that only look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from superbatch.icons import make
from superbatch.icons.package import read_sets
from superbatch.icons.sets import IconSet
from tests.icons.packages import settings, write_folder


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def sets(package: Path) -> list[IconSet]:
    return read_sets(package)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, sets: list[IconSet]) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("icons") / "out"
    return root, make(sets, settings(), root)
