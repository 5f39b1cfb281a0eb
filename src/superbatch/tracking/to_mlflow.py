"""MLflow: into the run that is active, as kedro-mlflow opens one, else into one of our own for each training."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from superbatch.tracking.tracker import RunInfo, Sent, Tracker

EXPERIMENT = "superbatch"  # unless MLFLOW_EXPERIMENT_NAME says another
STEPS = "steps"  # a metric of ours, the last of each point: it tells how far MLflow was told
MOST_METRICS, MOST_PARAMS, LONGEST = 1000, 100, 500  # that MLflow takes at once; characters of a parameter


def make(folder: Path) -> Tracker:
    """Return the tracker. `folder` holds the runs where nobody named a tracking server.

    To be called in the main thread: another one does not see the active run.
    """
    active = mlflow.active_run()
    return MLflow(address(folder), active.info.run_id if active else None)


def address(folder: Path) -> str:
    """Return MLflow's tracking address: the environment's or the program's own, else the folder."""
    if mlflow.is_tracking_uri_set():
        return str(mlflow.get_tracking_uri())
    os.environ.setdefault(
        "MLFLOW_ALLOW_FILE_STORE", "true"
    )  # MLflow would rather have a database, which mlflow-skinny can't open
    return folder.resolve().as_uri()


class MLflow:
    """Logs by run id, which needs no state of MLflow's own and works in any thread.

    Args:
        uri: of the tracking server.
        active: the id of the run that is active; None: none is.
    """

    def __init__(self, uri: str, active: str | None = None) -> None:
        self.client, self.active = MlflowClient(tracking_uri=uri), active
        self._run_id, self._prefix, self._was_finished = "", "", False
        self._told = -1
        self._points: list[list[Metric]] = []

    def start(self, run: RunInfo, sent: Sent) -> Sent:
        """Find the run, or make it. MLflow drops nothing, so where it knows more than was noted, that counts."""
        self._was_finished = sent.finished
        self._prefix = f"{run.name}/" if self.active else ""
        known = self._known(sent.run_id) if self.active in (None, sent.run_id) else None
        if known is None:
            self._run_id = self.active or self._new_run(run)
            self._describe(run)
            return replace(sent, steps=-1, run_id=self._run_id)
        self._run_id = known.info.run_id
        if not self.active and not sent.finished:
            self.client.update_run(self._run_id, status="RUNNING")
        self._told = max(sent.steps, int(known.data.metrics.get(self._prefix + STEPS, -1)))
        return replace(sent, steps=self._told)

    def _known(self, run_id: str | None) -> Any:
        """Return a run that is still there, None otherwise."""
        if run_id is None:
            return None
        try:
            found = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return found if found.info.lifecycle_stage == "active" else None

    def _new_run(self, run: RunInfo) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self.client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self.client.create_experiment(name)
        return str(self.client.create_run(number, run_name=run.name).info.run_id)

    def _describe(self, run: RunInfo) -> None:
        params = [Param(self._key(name), str(value)[:LONGEST]) for name, value in run.settings.items()]
        for some in in_batches(params, MOST_PARAMS):
            self.client.log_batch(self._run_id, params=some)
        if run.run_hash:
            self.client.set_tag(self._run_id, self._key("run_hash"), run.run_hash)

    def _key(self, name: str) -> str:
        return re.sub(r"[^\w\-. :/]", "_", self._prefix + name)

    def scalars(self, steps: int, values: dict[str, float]) -> None:
        """Collect until the next flush."""
        now = int(time.time() * 1000)
        found = values | ({STEPS: float(steps)} if steps > self._told else {})  # results come after them
        self._points.append([Metric(self._key(name), value, now, steps) for name, value in found.items()])

    def figure(self, name: str, file: Path) -> None:
        """Log the file as an artifact."""
        self.client.log_artifact(self._run_id, str(file), "figures")

    def flush(self) -> None:
        """Send what was collected, whole points at a time."""
        waiting, self._points = self._points, []
        some: list[Metric] = []
        for point in waiting:
            if len(some) + len(point) > MOST_METRICS:
                self.client.log_batch(self._run_id, metrics=some)
                some = []
            some = some + point
        if some:
            self.client.log_batch(self._run_id, metrics=some)

    def finish(self, summary: dict[str, Any] | None) -> None:
        """Log what the run came to, numbers as metrics and the rest as tags, and end the run if it is our own."""
        numbers = {name: value for name, value in (summary or {}).items() if isinstance(value, int | float)}
        now = int(time.time() * 1000)
        metrics = [Metric(self._key(f"summary/{name}"), float(value), now, 0) for name, value in numbers.items()]
        tags = [
            RunTag(self._key(name), str(value)[:LONGEST])
            for name, value in (summary or {}).items()
            if name not in numbers
        ]
        if metrics or tags:
            self.client.log_batch(self._run_id, metrics=metrics, tags=tags)
        if not self.active and not self._was_finished:
            self.client.set_terminated(self._run_id, "KILLED" if summary is None else "FINISHED")


def in_batches(items: list[Any], most: int) -> list[list[Any]]:
    """Cut a list into lists of at most so many."""
    return [items[start : start + most] for start in range(0, len(items), most)]
