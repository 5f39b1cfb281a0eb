"""The tail of a run's records: what can be followed while it trains, and that it never outlives what it stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from superbatch.training import loop, train
from superbatch.training.records import Records


def lines(records: Records) -> list[dict[str, Any]]:
    return [json.loads(line) for line in records.tail.read_text().splitlines()]


def evaluation(step: int) -> dict[str, Any]:
    return {"step": step, "name": "set/top1", "value": 0.5, "split": "validation"}


def test_the_tail_has_steps_and_evaluations_since_the_last_checkpoint(tmp_path: Path) -> None:
    records = Records(tmp_path, 0)
    records.add("ledger", {"step": 0, "loss": 1.0})
    records.add("evaluations", evaluation(1))
    assert lines(records) == [{"step": 0, "loss": 1.0}, evaluation(1)]
    records.flush(1)
    assert len(lines(records)) == 2, "who follows the file may not have read the last lines yet"
    records.add("ledger", {"step": 1, "loss": 0.9})
    assert lines(records) == [{"step": 1, "loss": 0.9}]
    records.finish(tmp_path / "out")
    assert not records.tail.exists()


def test_a_resumed_run_forgets_the_tail(tmp_path: Path) -> None:
    Records(tmp_path, 0).add("ledger", {"step": 0, "loss": 1.0})
    assert not Records(tmp_path, 0).tail.exists()


def test_a_run_says_how_to_follow_it_and_can_be_followed(make_job, monkeypatch, caplog) -> None:
    caplog.set_level("INFO")
    job, seen = make_job(), []
    real = loop.train_step

    def looking(*arguments):
        tail = job.state_dir / "records" / "tail.jsonl"
        seen.append([json.loads(line)["step"] for line in tail.read_text().splitlines() if '"loss"' in line])
        return real(*arguments)

    monkeypatch.setattr(loop, "train_step", looking)
    train(job)
    assert f"tail -F {job.state_dir / 'records' / 'tail.jsonl'}" in caplog.text
    # A checkpoint every four steps; its lines stand until the next step's.
    assert seen[:6] == [[], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [4]]
