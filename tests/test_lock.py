"""requirements.lock serves on another machine: every line pinned, no path, no index address."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_every_line_is_a_pinned_package() -> None:
    lines = (PROJECT / "requirements.lock").read_text().splitlines()
    packages = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert packages
    assert [line for line in packages if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line)] == []
    assert not any("-c /" in line or "://" in line for line in lines)
