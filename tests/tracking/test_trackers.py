"""What TensorBoard, MLflow and DVCLive wrote is read back and compared with the ledger: of a run that was killed and continued."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superbatch.options import TrackingSettings
from superbatch.tracking import RunInfo, Tracking, send_found
from superbatch.tracking.packages import make_tracker
from superbatch.tracking.points import Whole
from superbatch.tracking.tracker import Sent
from superbatch.training import train_once
from superbatch.training.following import follow_with
from tests.project import ONE_THREAD, command, copy_project
from tests.training.training_helpers import Killed, kill_after

pytestmark = pytest.mark.extras
EVERY = 3
Curves = dict[str, list[tuple[int, float]]]  # values by name, each with the steps taken


@pytest.fixture(autouse=True)
def nobody_follows():
    yield
    follow_with(None)


@pytest.fixture
def run(make_job, tmp_path, monkeypatch, request):
    """Train with a tracker on, killed once on the way; then send a result and a figure.

    The test's name says which tracker. Returns its folder, the run's in it, and the curves to find.
    """
    name = request.function.__name__.split("_")[1]
    monkeypatch.setattr("superbatch.tracking.feed.LOOK", 0.02)
    monkeypatch.chdir(tmp_path)
    settings = TrackingSettings(**{name: True}, every=EVERY, folder="tracking", wait=60)
    follow_with(Tracking(settings))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 10)
        train_once(make_job(), tmp_path / "stages")
    tracking = Tracking(settings)
    follow_with(tracking)
    job = make_job()
    training = train_once(job, tmp_path / "stages")[1].path
    folder = tmp_path / "output" / "job"
    (folder / "evaluation").mkdir(parents=True)
    training.rename(folder / "training")
    result = {"split": "test", "set": "shapes", "metrics": {"top1": 0.5}}
    (folder / "evaluation" / "shapes.json").write_text(json.dumps(result))
    Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(tmp_path / "purity.png")
    send_found(tracking, [folder], job.state_dir.parent, {"purity": tmp_path / "purity.png"})
    assert not tracking._off
    return tmp_path / "tracking" / name, f"job-{job.run_hash[:8]}", curves_of(folder / "training")


def curves_of(training: Path) -> Curves:
    """What is to be found: the run's own record, and the result."""
    curves: Curves = {"test/shapes/top1": [(12, 0.5)]}
    for point in Whole(training, EVERY).points(-1):
        for name, value in point.values.items():
            curves.setdefault(name, []).append((point.steps, value))
    return curves


def agree(found: Curves, expected: Curves, tolerance: float = 1e-12) -> None:
    assert found.keys() == expected.keys()
    for name, curve in expected.items():
        assert [steps for steps, _ in found[name]] == [steps for steps, _ in curve], name
        if "seconds" not in name and "memory" not in name:  # steps 9 and 10 were taken twice
            np.testing.assert_allclose([v for _, v in found[name]], [v for _, v in curve], rtol=tolerance, err_msg=name)


def read_back(tracker: str, folder: Path, run: str) -> Curves:
    """The curves of a run, as a tracker has them in its folder."""
    if tracker == "tensorboard":
        seen = events(folder / run)
        return {tag: [(event.step, event.value) for event in seen.Scalars(tag)] for tag in seen.Tags()["scalars"]}
    if tracker == "mlflow":
        client, runs = mlflow_runs(folder)
        (job,) = [one for one in runs if one.info.run_name == "job"]  # one that was killed is continued, not begun anew
        return history(client, job)
    tables, found = folder / run / "plots" / "metrics", {}
    for table in tables.rglob("*.tsv"):
        rows = csv.DictReader(table.open(), delimiter="\t")
        name = table.relative_to(tables).with_suffix("").as_posix()
        found[name] = [(int(row["step"]), float(row[table.stem])) for row in rows]
    return found


def events(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def mlflow_runs(folder: Path):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=folder.resolve().as_uri())
    return client, client.search_runs([client.get_experiment_by_name("superbatch").experiment_id])


def history(client, run) -> Curves:
    names = run.data.metrics
    return {name: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)] for name in names}


def test_tensorboard_has_what_the_ledger_has(run):
    folder, name, expected = run
    agree(read_back("tensorboard", folder, name), expected, tolerance=1e-6)  # it keeps float32
    assert {"settings/text_summary", "summary/text_summary"} <= set(events(folder / name).Tags()["tensors"])
    (image,) = events(folder / "report").Images("purity")
    assert (image.width, image.height) == (6, 4)


def test_mlflow_has_what_the_ledger_has(run):
    folder, name, expected = run
    found = read_back("mlflow", folder, name)
    curves = {name: curve for name, curve in found.items() if not name.startswith("summary/") and name != "steps"}
    agree(curves, expected)
    assert [steps for steps, _ in found["steps"]] == [0, 1, 3, 5, 6, 9, 10, 12]
    client, runs = mlflow_runs(folder)
    job, report = sorted(runs, key=lambda one: one.info.run_name)
    assert (job.info.status, job.data.params["training.batch_size"]) == ("FINISHED", "4")
    assert len(job.data.tags["digests.picks"]) == 64
    (figure,) = client.list_artifacts(report.info.run_id, "figures")
    assert figure.path == "figures/purity.png"


def test_dvclive_has_what_the_ledger_has(run):
    folder, name, expected = run
    agree(read_back("dvclive", folder, name), expected)
    last = json.loads((folder / name / "metrics.json").read_text())
    assert last["test"]["shapes"]["top1"] == 0.5 and len(last["summary"]["digests.picks"]) == 64
    assert "training.batch_size: 4" in (folder / name / "params.yaml").read_text()
    assert (folder / "report" / "plots" / "images" / "purity.png").is_file()


@pytest.mark.parametrize("left", ["", "ste"])
def test_dvclive_begins_a_table_anew_that_has_no_whole_header(tmp_path, left):
    """Killed, or out of disk, between opening it and writing its first line."""
    info = RunInfo("job", "0123456789abcdef")
    for steps in (0, 1):
        tracker = make_tracker("dvclive", tmp_path)
        tracker.start(info, Sent(steps=steps - 1))
        tracker.scalars(steps, {"loss": 1.0})
        tracker.flush()
        if not steps:
            (table,) = tmp_path.glob("**/loss.tsv")
            table.write_text(left)
    assert read_back("dvclive", tmp_path / "dvclive", "job-01234567") == {"loss": [(1, 1.0)]}


def test_dvclive_leaves_a_git_repository_without_dvc_alone(make_job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    tracking = Tracking(TrackingSettings(dvclive=True, folder="tracking", wait=60))
    follow_with(tracking)
    train_once(make_job(), tmp_path / "stages")
    assert not tracking._off and (tmp_path / "tracking" / "dvclive").is_dir()
    assert not (tmp_path / ".dvc").exists() and not (tmp_path / "dvc.yaml").exists()


def test_mlflow_logs_into_the_run_that_is_active(make_job, tmp_path, monkeypatch):
    """As kedro-mlflow opens one around each `kedro run`."""
    import mlflow

    monkeypatch.setitem(os.environ, "MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "server").as_uri())
    settings = TrackingSettings(mlflow=True, every=EVERY, folder=str(tmp_path / "tracking"), wait=60)
    follow_with(Tracking(settings))
    with mlflow.start_run() as active:
        training = train_once(make_job(), tmp_path / "stages")[1].path
    client = mlflow.MlflowClient()
    assert [one.info.run_id for one in client.search_runs(["0"])] == [active.info.run_id]
    found = history(client, client.get_run(active.info.run_id))
    expected = {f"job/{name}": curve for name, curve in curves_of(training).items() if not name.startswith("test/")}
    assert found.keys() >= expected.keys()
    assert found["job/training/loss"] == expected["job/training/loss"]
    assert not (tmp_path / "tracking").exists()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "dvclive"])
def test_what_was_written_but_not_noted_is_not_there_twice(tmp_path, name):
    """Killed between a write and the note of it."""
    info, tracker = RunInfo("job", "0123456789abcdef", {"steps": 6}), make_tracker(name, tmp_path)
    noted = tracker.start(info, Sent())
    for steps in range(6):
        tracker.scalars(steps, {"training/loss": steps / 2})
    tracker.flush()
    again = make_tracker(name, tmp_path)
    sent = again.start(info, replace(noted, steps=2))
    for steps in range(sent.steps + 1, 8):
        again.scalars(steps, {"training/loss": steps / 2})
    again.flush()
    again.finish(None)
    assert read_back(name, tmp_path / name, "job-01234567")["training/loss"] == [(n, n / 2) for n in range(8)]


def test_a_command_with_a_tracker_on(tmp_path):
    project = copy_project(tmp_path)
    on = f"tracking.tensorboard=true,{ONE_THREAD}"
    command(project, "kedro", "run", "--pipelines=simweb,ingest,reference", "--env=quick", f"--params={on}")
    (folder,) = (project / "data" / "quick" / "08_reporting" / "tracking" / "tensorboard").glob("reference-*")
    assert [event.step for event in events(folder).Scalars("training/loss")] == [1, 10]
