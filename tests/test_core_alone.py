"""What `make test-core` lets nobody import."""

from __future__ import annotations

import subprocess
import sys

from tests.core_alone import core, refused
from tests.project import PROJECT


def test_the_core_is_what_it_needs_and_no_framework():
    found = core()
    assert {"torch", "open-clip-torch", "numpy", "pyarrow", "timm", "safetensors"} <= found
    assert not {"kedro", "dvc", "great-expectations", "pydantic", "pydantic-core", "pytest"} & found


def test_what_only_frameworks_bring_is_refused():
    found = refused()
    assert {"kedro", "kedro_datasets", "dvc", "great_expectations", "pydantic", "plotly"} <= found
    assert not {"torch", "open_clip", "pytest", "superbatch", "yaml"} & found


def test_it_cannot_be_imported(tmp_path):
    """In a process of its own: what is imported here stays."""
    (tmp_path / "test_it.py").write_text("def test_it():\n    import yaml\n    import kedro\n")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "tests.core_alone", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run([*run, f"--rootdir={tmp_path}"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "ModuleNotFoundError: No module named 'kedro'" in done.stdout
