"""The settings of the real sizes, conf/vit_b32 and conf/vit_b16, in miniature and as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superbatch.models import load_checkpoint
from tests.project import command, copy_project


@pytest.mark.slow
@pytest.mark.parametrize(("env", "ranks", "repeats"), [("vit_b32_tiny", 2, False), ("vit_b16_tiny", 1, True)])
def test_the_chain_of_a_real_size_runs_in_miniature(tmp_path: Path, env: str, ranks: int, repeats: bool) -> None:
    project = copy_project(tmp_path)
    done = command(project, "kedro", "run", "--pipeline=jest", f"--env={env}")
    assert done.stdout.splitlines()[-1] == f"Report: data/{env}/08_reporting/report.html"
    run = json.loads((project / "data" / env / "07_model_output/jest/training/run.json").read_text())
    assert run["status"] == "finished"
    assert run["plan"]["super_batch_size"] == 5 * run["plan"]["batch_size"] == 160
    assert run["plan"]["ranks"] == ranks
    assert ("done_again_total" in run["flops"]) == repeats, "micro-batches are run forward twice"
    assert load_checkpoint(project / "data" / env / "06_models/jest").image_size == 32
