"""SIGTERM to a `kedro run` in the middle of a training: one line, 128 + the signal, and the way on."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.project import ENVIRONMENT, copy_project

LIMIT_S = 300
SETTINGS = {"steps": 100_000, "checkpoint_every": 100_000, "evaluate_every": 100_000, "threads": 1, "batch_size": 16}


@pytest.mark.slow
def test_a_terminated_run_says_how_to_go_on(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    settings = ",".join(f"reference.training.{name}={value}" for name, value in SETTINGS.items())
    arguments = ["kedro", "run", "--pipeline=uniform", "--env=quick", f"--params={settings}"]
    log, state = project / "log", project / "data" / "quick" / "06_models" / ".state"
    with open(log, "w") as said:
        running = subprocess.Popen(arguments, cwd=project, env=ENVIRONMENT, stdout=said, stderr=said)
        deadline = time.monotonic() + LIMIT_S
        while not any('"loss"' in tail.read_text() for tail in state.glob("*/records/tail.jsonl")):
            assert running.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        assert running.wait(LIMIT_S) == 143
    text = log.read_text().strip()
    assert "Traceback" not in text
    assert text.splitlines()[-1].startswith("Error: reference: stopped by SIGTERM, the state of step ")
    assert text.endswith("is kept; to continue, give the same command again")
    assert len(list(state.glob("*/step-*"))) == 1
