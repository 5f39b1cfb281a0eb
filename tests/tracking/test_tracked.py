"""What a command does with the parameters of trackers."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DataCatalog, MemoryDataset

from superbatch import extras, tracked
from superbatch.errors import UserError
from superbatch.tracking import Tracking, tracking_of
from superbatch.training import following


@pytest.fixture(autouse=True)
def nobody_follows():
    yield
    following.follow_with(None)


def catalog(**tracking: object) -> DataCatalog:
    storage = {"data_docs": "data/quick/08_reporting/data_docs"}
    return DataCatalog({"params:tracking": MemoryDataset(tracking), "params:storage": MemoryDataset(storage)})


def test_their_folder_is_beside_the_report_unless_it_is_set():
    assert tracked.tracking_settings(catalog(dvclive=True)).folder == "data/quick/08_reporting/tracking"
    assert tracked.tracking_settings(catalog(dvclive=True, folder="/elsewhere")).folder == "/elsewhere"
    assert tracked.tracking_settings(DataCatalog()).wanted == ()


def test_a_missing_package_is_told_before_anything_runs(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"tracking.mlflow: needs the package mlflow, which is not installed"):
        tracked.check_trackers(catalog(mlflow=True))
    tracked.check_trackers(catalog())


def test_trainings_are_followed_where_a_tracker_is_on_and_no_longer_where_none_is():
    tracked.follow_trainings(catalog(mlflow=True))
    follower = following._follower.get()
    assert isinstance(follower, Tracking) and follower.folder == Path("data/quick/08_reporting/tracking")
    assert follower is tracking_of(tracked.tracking_settings(catalog(mlflow=True)))  # one that failed stays off
    tracked.follow_trainings(catalog())
    assert following._follower.get() is None
