"""One small crawl for all tests of this room that only look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simweb_helpers import small_settings

from superbatch.options import SimwebSettings
from superbatch.simweb import render


@pytest.fixture(scope="session")
def crawl_settings() -> SimwebSettings:
    return small_settings()


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory, crawl_settings: SimwebSettings) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("simweb") / "out"
    return root, render(crawl_settings, root)


@pytest.fixture(scope="session")
def crawl(rendered: tuple[Path, dict[str, Any]]) -> Path:
    return rendered[0]
