"""SIGTERM to a `kedro run` in the middle of a training: one line, 128 + the signal, and the way on."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.project import ENVIRONMENT, copy_project

LIMIT_S = 300


@pytest.mark.slow
def test_a_terminated_run_says_how_to_go_on(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    settings = (
        "learner.training.steps=100000,learner.training.checkpoint_every=100000,learner.training.evaluate_every=100000"
    )
    arguments = ["kedro", "run", "--pipeline=uniform", "--env=quick", f"--params={settings}"]
    log = project / "log"
    with open(log, "w") as said:
        running = subprocess.Popen(arguments, cwd=project, env=ENVIRONMENT, stdout=said, stderr=said)
        deadline = time.monotonic() + LIMIT_S
        tails = project / "data" / "quick" / "06_models" / ".state"
        while not any("uniform: to follow it" in line for line in log.read_text().splitlines()) or not list(
            tails.glob("*/records/tail.jsonl")
        ):
            assert running.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 143
    text = log.read_text()
    assert "Traceback" not in text
    assert text.strip().splitlines()[-1].startswith("Error: uniform: stopped by SIGTERM, the state of step ")
    assert text.strip().endswith("is kept; to continue, give the same command again")
    assert len(list(tails.glob("*/step-*"))) == 1
