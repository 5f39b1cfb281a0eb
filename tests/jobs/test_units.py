"""Units of work by joblib's back ends of one machine, and what becomes of them when workers die."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from superbatch.errors import UserError
from superbatch.jobs import units as units_module
from superbatch.jobs.backends import Backend, Needs, opened
from superbatch.jobs.backends import _room as room
from superbatch.jobs.units import TRIES, Told, run_units
from superbatch.options import JobsSettings

TOLD = Told("squares", "number")
UNITS = list(range(20))


class Died(Exception):
    """A worker of the fixture's died."""


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> JobsSettings:
    """Two threads whose deaths are exceptions: the rounds of `run_units` without the seconds that processes take."""

    @contextmanager
    def threads(jobs: JobsSettings, needs: Needs) -> Iterator[Backend]:
        yield Backend("threading", 2, (Died,))

    monkeypatch.setattr(units_module, "opened", threads)
    return JobsSettings("threading", workers=2)


def squares(jobs: JobsSettings) -> dict[int, int]:
    return dict(run_units(_square, UNITS, jobs, TOLD))


def _square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
def test_every_back_end_gives_the_same(backend: str) -> None:
    found = squares(JobsSettings(backend, workers=2))  # type: ignore[arg-type]
    assert found == {number: number * number for number in UNITS}


def test_no_units_start_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units_module, "opened", None)
    assert not list(run_units(_square, [], JobsSettings(), TOLD))


def test_a_mistake_is_told_as_it_is(mortal: JobsSettings) -> None:
    calls = []

    def refuse(number: int) -> int:
        calls.append(number)
        raise UserError("data/3.tar", "cannot be read")

    with pytest.raises(UserError, match=r"data/3\.tar: cannot be read"):
        dict(run_units(refuse, [3], mortal, TOLD))
    assert calls == [3]


def test_a_unit_whose_worker_dies_is_done_again(mortal: JobsSettings, caplog: pytest.LogCaptureFixture) -> None:
    left = {0: 1, 7: 2, 19: 1}
    done: list[int] = []

    def call(number: int) -> int:
        if left.get(number):
            left[number] -= 1
            raise Died
        done.append(number)
        return number

    with caplog.at_level(logging.WARNING):
        assert sorted(dict(run_units(call, UNITS, mortal, TOLD))) == UNITS
    assert set(done) == set(UNITS) and not any(left.values())
    assert "squares: a worker died; its unfinished work is done again" in caplog.messages


def test_a_unit_that_kills_workers_is_named_when_all_others_are_done(mortal: JobsSettings) -> None:
    done, deaths = set(), 0

    def call(number: int) -> int:
        nonlocal deaths
        if number == 2:
            deaths += 1
            raise Died
        time.sleep(0.005)
        done.add(number)
        return number

    what = r"shard 2: the process that worked on it died 3 times.*; use fewer \(jobs\.workers\)"
    with pytest.raises(UserError, match=what):
        dict(run_units(call, UNITS, mortal, TOLD, name=lambda number: f"shard {number}"))
    assert done == set(UNITS) - {2} and TRIES < deaths < len(UNITS)


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    def call(number: int) -> int:
        if number == 3 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert sorted(dict(run_units(call, UNITS, JobsSettings(workers=2), TOLD))) == UNITS
    assert (tmp_path / "killed").exists()


def test_after_a_death_no_unit_is_done_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit is done here, to save the start of a process; one that was under way when a worker died is not."""
    turns: list[int] = []
    workers = units_module._Turn._workers

    def noted(self: units_module._Turn[int, int], backend: Backend) -> int:
        turns.append(workers(self, backend))
        return turns[-1]

    monkeypatch.setattr(units_module._Turn, "_workers", noted)
    here = os.getpid()

    def call(number: int) -> int:
        if number == 1 and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    monkeypatch.setattr(units_module, "TRIES", 0)
    with pytest.raises(UserError, match="unit 1: the process that worked on it died"):
        dict(run_units(call, [1, 2, 3], JobsSettings(workers=2), TOLD, name=lambda number: f"unit {number}"))
    assert set(turns) == {2}
    turns.clear()
    assert dict(run_units(call, [1], JobsSettings(workers=2), TOLD)) == {0: 1} and turns == [1]


@pytest.mark.parametrize(("backend", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_a_package_that_is_missing_is_named(backend: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    line = (
        f"jobs.backend: needs the package {module}, which is not installed; run `pip install 'superbatch[{backend}]'`"
    )
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        squares(JobsSettings(backend))  # type: ignore[arg-type]


def test_an_address_needs_a_cluster() -> None:
    with pytest.raises(UserError, match=r"jobs\.address: 'head:6379', and loky works on this machine alone"):
        JobsSettings(address="head:6379")


def test_workers() -> None:
    """Those of a stage hold where none are set; a cluster has its own; all but a cluster embed one block after the other."""
    assert JobsSettings().of_stage(3).workers == 3 and JobsSettings(workers=2).of_stage(3).workers == 2
    assert JobsSettings("ray").of_stage(3).workers is None
    assert JobsSettings.of(-1) == JobsSettings() and JobsSettings.of(2) == JobsSettings(workers=2)
    assert JobsSettings(workers=4).here().backend == "sequential" and JobsSettings("dask").here().backend == "dask"
    with opened(JobsSettings("sequential", workers=4), Needs()) as backend:
        assert backend.workers == 1


@pytest.mark.parametrize("nodes", [[], [{"memory": 1.0}], [{"CPU": 0.0, "GPU": 1.0}]])
def test_a_cluster_of_ray_without_cpus_is_one_line(nodes: list[dict[str, float]]) -> None:
    """As where only its head is there yet."""
    with pytest.raises(UserError, match=r"^jobs\.address: the cluster of ray has no CPUs yet; start workers, and give"):
        room(nodes, Needs(gpu=True))
    assert room([*nodes, {"CPU": 3.0}], Needs(cores=2)) == (1, {"num_cpus": 2})
