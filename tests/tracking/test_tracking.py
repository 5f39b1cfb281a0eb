"""Trackers hear what the ledger has, each step once; one that fails or hangs costs the training nothing."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from superbatch import extras
from superbatch.errors import UserError
from superbatch.options import TrackingSettings
from superbatch.tracking import Tracking, require_trackers, send_found
from superbatch.tracking.sent import read_sent
from superbatch.training import train_once
from superbatch.training.following import follow_with
from tests.tracking.remembering import Remembering, told
from tests.training.training_helpers import Killed, kill_after

EVERY = 3


@pytest.fixture(autouse=True)
def nobody_follows():
    yield
    follow_with(None)


@pytest.fixture
def follow(tmp_path):
    """Let a remembering tracker follow; returns its file and the follower."""

    def begin(name: str = "told", wait: float = 20, **how) -> tuple[Path, Tracking]:
        file = tmp_path / f"{name}.jsonl"
        settings = TrackingSettings(mlflow=True, every=EVERY, folder=str(tmp_path / "tracking"), wait=wait)
        tracking = Tracking(settings, lambda name, folder: Remembering(file, **how))
        follow_with(tracking)
        return file, tracking

    return begin


def expected(training: Path) -> dict[int, dict[str, float]]:
    """What a tracker is to hear of a finished run, from its ledger and its evaluations."""
    points: dict[int, dict[str, float]] = {}
    ledger = pq.read_table(training / "ledger.parquet").to_pylist()
    for row in ledger:
        steps = row.pop("step") + 1
        if steps % EVERY == 0 or steps in (1, len(ledger)):
            numbers = {name: value for name, value in row.items() if value is not None and math.isfinite(value)}
            points[steps] = {f"training/{name}": float(value) for name, value in numbers.items()}
    for row in pq.read_table(training / "evaluations.parquet").to_pylist():
        points.setdefault(row["step"], {})[f"{row['split']}/{row['name']}"] = row["value"]
    return points


def digests(training: Path) -> dict:
    return json.loads((training / "run.json").read_text())["digests"]


def test_a_tracker_hears_what_the_ledger_has(make_job, follow, tmp_path):
    file, _ = follow()
    job = make_job()
    training = train_once(job, tmp_path / "stages")[1].path
    heard = told(file)
    assert [steps for steps, _ in heard] == [0, 1, 3, 5, 6, 9, 10, 12]  # evaluations at 0, 5, 10 and 12
    assert dict(heard) == expected(training)
    (summary,) = told(file, "finish")[-1]
    assert summary["digests.picks"] == digests(training)["picks"]
    sent = read_sent(job.state_dir, "mlflow")
    assert (sent.steps, sent.run_id, sent.finished) == (12, "id-job", True)


def test_trackers_change_no_bit_of_a_run(make_job, follow, tmp_path):
    alone = train_once(make_job(state="alone"), tmp_path / "stages")[1].path
    follow()
    followed = train_once(make_job(), tmp_path / "stages")[1].path
    assert digests(alone) == digests(followed)


def test_it_hears_of_steps_while_they_are_taken(make_job, follow, tmp_path, monkeypatch):
    """What came before the last step is there before the run has ended."""
    monkeypatch.setattr("superbatch.tracking.feed.LOOK", 0.02)
    file, _ = follow()
    job = make_job()
    evaluate, heard = job.evaluate, []

    def waiting(model):
        reached = len(heard) and wait_until(lambda: [steps for steps, _ in told(file)] >= [0, 1, 3])
        heard.append(reached)
        return evaluate(model)

    job.evaluate = waiting
    train_once(job, tmp_path / "stages")
    assert heard[1:] == [True, True, True]


def wait_until(there) -> bool:
    pause = threading.Event()
    return any(there() or pause.wait(0.05) for _ in range(200))


def test_killed_and_resumed_it_hears_each_step_once(make_job, follow, tmp_path, monkeypatch):
    monkeypatch.setattr("superbatch.tracking.feed.LOOK", 0.02)
    file, _ = follow()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 10)  # the last state is that of step 8
        train_once(make_job(), tmp_path / "stages")
    before = [steps for steps, _ in told(file)]
    assert before == [0, 1, 3, 5, 6, 9]  # beyond that state; the newest steps wait for what may follow them
    follow()
    training = train_once(make_job(), tmp_path / "stages")[1].path
    heard = told(file)
    assert [steps for steps, _ in heard] == [*before, 10, 12]
    assert told(file, "start") == [["job", -1, None], ["job", 9, "id-job"]]
    assert without_time(dict(heard)) == without_time(expected(training))


def without_time(points: dict[int, dict[str, float]]) -> dict[int, dict[str, float]]:
    """Seconds and memory of a step that is taken twice differ."""
    return {
        steps: {name: value for name, value in values.items() if "seconds" not in name and "memory" not in name}
        for steps, values in points.items()
    }


def test_a_tracker_that_breaks_is_switched_off_with_one_line_and_hears_the_rest_later(
    make_job, follow, tmp_path, caplog
):
    file, _ = follow(breaks_at=6)
    training = train_once(make_job(), tmp_path / "stages")[1].path
    train_once(make_job(name="next", seed=1), tmp_path / "stages")
    lines = [record.message for record in caplog.records if "failed" in record.message]
    assert len(lines) == 1 and "ConnectionError: the server is gone" in lines[0] and "\n" not in lines[0]
    assert told(file, "start") == [["job", -1, None]]  # the next run did not try again
    assert not {6, 9, 10, 12} & set(dict(told(file)))
    follow()
    train_once(make_job(), tmp_path / "stages")  # finished: nothing is trained
    assert dict(told(file)) == expected(training)


def test_the_line_comes_when_a_tracker_breaks_not_at_the_runs_end(make_job, follow, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("superbatch.tracking.feed.LOOK", 0.02)
    follow(breaks_at=0)
    job = make_job()
    evaluate, said = job.evaluate, []

    def waiting(model):
        said.append(len(said) and wait_until(lambda: "is gone" in caplog.text))
        return evaluate(model)

    job.evaluate = waiting
    train_once(job, tmp_path / "stages")
    assert said[1:] == [True, True, True]
    assert caplog.text.count("is gone") == 1


def test_a_tracker_that_hangs_is_not_waited_for(make_job, follow, tmp_path, caplog):
    goes_on = threading.Event()
    file, tracking = follow(wait=0.1, hangs=goes_on)
    try:
        training = train_once(make_job(), tmp_path / "stages")[1].path
        assert digests(training) and told(file) == []
        assert any("is behind, and the command no longer waits for" in record.message for record in caplog.records)
        assert tracking.attempt("mlflow", dict) is None  # off: the next training would wait as long
    finally:
        goes_on.set()


def test_a_tracker_that_cannot_be_made_is_switched_off(make_job, tmp_path, caplog):
    def broken(name, folder):
        raise ImportError("no such symbol")

    follow_with(Tracking(TrackingSettings(mlflow=True, folder=str(tmp_path)), broken))
    assert train_once(make_job(), tmp_path / "stages")[1].path.is_dir()
    assert sum("mlflow failed (ImportError: no such symbol)" in record.message for record in caplog.records) == 1


def test_a_finished_run_that_a_tracker_knows_is_not_opened_again(make_job, follow, tmp_path):
    file, _ = follow()
    train_once(make_job(), tmp_path / "stages")
    before = file.read_text()
    train_once(make_job(), tmp_path / "stages")
    assert file.read_text() == before


def test_trained_afresh_it_is_told_from_the_start(make_job, follow, tmp_path):
    file, _ = follow()
    train_once(make_job(), tmp_path / "stages")
    file.unlink()
    training = train_once(make_job(fresh=True), tmp_path / "stages")[1].path
    assert dict(told(file)) == expected(training)
    assert told(file, "start") == [["job", -1, None]]


def a_finished_run(make_job, tmp_path: Path) -> tuple[Path, Path]:
    """Train, and publish the records as a stage would, with a result beside them; returns the run's folder and that of the states."""
    job = make_job()
    training = train_once(job, tmp_path / "stages")[1].path
    run = tmp_path / "output" / "job"
    (run / "evaluation").mkdir(parents=True)
    training.rename(run / "training")
    result = {"split": "test", "set": "shapes", "metrics": {"top1": 0.5, "per_class": {"a": 1}}}
    (run / "evaluation" / "shapes.json").write_text(json.dumps(result))
    return run, job.state_dir.parent


def test_results_and_figures_are_sent_once(make_job, follow, tmp_path):
    file, tracking = follow()
    run, states = a_finished_run(make_job, tmp_path)
    file.unlink()
    (tmp_path / "purity.png").write_bytes(b"png")
    figures = {"purity": tmp_path / "purity.png", "absent": tmp_path / "absent.png"}
    for _ in range(2):
        send_found(tracking, [run, tmp_path], states, figures)
    assert told(file) == [[12, {"test/shapes/top1": 0.5}]]
    assert told(file, "figure") == [["purity", str(tmp_path / "purity.png")]]
    assert told(file, "start") == [["job", 12, "id-job"], ["report", -1, None]]
    (tmp_path / "purity.png").write_bytes(b"another")
    send_found(tracking, [run], states, figures)
    assert len(told(file, "figure")) == 2 and len(told(file)) == 1


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"tracking.dvclive: .* run `pip install 'superbatch\[trackers\]'`, or set it to false$"
    ):
        require_trackers(["dvclive"])
    require_trackers([])
