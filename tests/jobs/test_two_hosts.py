"""Ray's and Dask's clusters over two hosts, each a network of its own; one of them is lost half-way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.namespaces import Machine, two_machines
from tests.on_two_hosts import UNITS
from tests.project import ENVIRONMENT, PROJECT, command, copy_project

pytestmark = [pytest.mark.slow, pytest.mark.extras]
HERE = {
    **ENVIRONMENT,
    "RAY_AUTH_MODE": "disabled",
    "PYTHONPATH": f"{PROJECT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
}
Both = tuple[Machine, Machine]
MADE = ("02_intermediate", "03_primary", "04_feature")  # by the stages ingest, embed and curate
TIMED = ("stage.stamp", "expectations.json", "features.json")  # what says when it was made, or how long that took


def processes_of(machine: Machine) -> list[int]:
    found = subprocess.run(
        ["ip", "netns", "pids", machine.prefix[-1]], capture_output=True, text=True, check=False
    ).stdout
    return [int(number) for number in found.split()]


def kill_all(machine: Machine) -> None:
    for process in processes_of(machine):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended with another


def commands_of_ray(both: Both, folder: str) -> tuple[str, list[tuple[Machine, list[str]]]]:
    first, second = both
    common = ["--num-cpus=1", "--object-store-memory=134217728", "--disable-usage-stats", "--block"]
    head = ["--head", "--port=6379", "--include-dashboard=false", f"--temp-dir={folder}/ray"]
    address = f"{first.address}:6379"
    return address, [
        (first, ["ray", "start", *head, f"--node-ip-address={first.address}", *common]),
        (second, ["ray", "start", f"--address={address}", f"--node-ip-address={second.address}", *common]),
    ]


def commands_of_dask(both: Both, folder: str) -> tuple[str, list[tuple[Machine, list[str]]]]:
    address, options = f"tcp://{both[0].address}:8786", ["--nworkers=1", "--nthreads=1", "--no-dashboard"]
    scheduler = ["dask", "scheduler", f"--host={both[0].address}", "--port=8786", "--no-dashboard"]
    workers = [
        (one, ["dask", "worker", address, *options, f"--host={one.address}", f"--local-directory={folder}"])
        for one in both
    ]
    return address, [(both[0], scheduler), *workers]


COMMANDS: dict[str, Callable[[Both, str], tuple[str, list[tuple[Machine, list[str]]]]]] = {
    "ray": commands_of_ray,
    "dask": commands_of_dask,
}


@contextmanager
def cluster(engine: str) -> Iterator[tuple[str, Both]]:
    """Start a cluster with one core on each host, as docs/scale.md says, and yield its address. Sockets need short paths."""
    with two_machines() as both, tempfile.TemporaryDirectory(prefix="sb") as folder:
        address, commands = COMMANDS[engine](both, folder)
        try:
            with open(f"{folder}/log", "ab") as log:
                for machine, words in commands:
                    arguments = [*machine.prefix, *words]
                    subprocess.Popen(arguments, env=HERE, cwd=folder, stdout=log, stderr=log)
                    started_first(both[0], address, Path(folder) / "log")
            wait_until_there(engine, both[0], address, Path(folder) / "log")
            yield address, both
        finally:
            for machine in both:
                kill_all(machine)


def wait_until_there(engine: str, machine: Machine, address: str, log: Path) -> None:
    waiting = [*machine.prefix, sys.executable, "-m", "tests.on_two_hosts", engine, address]
    done = subprocess.run(waiting, env=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + log.read_text()


def started_first(machine: Machine, address: str, log: Path) -> None:
    """Wait until the cluster's own port is open: what follows must find it."""
    host, port = address.removeprefix("tcp://").split(":")
    knock = f"import socket; socket.create_connection(({host!r}, {port}), 5)"
    until = time.monotonic() + 120
    while subprocess.run([*machine.prefix, sys.executable, "-c", knock], capture_output=True, check=False).returncode:
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.5)


@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_a_host_that_is_lost_costs_its_units_alone(engine: str, tmp_path: Path) -> None:
    """There is no room on the first host for the workers of the second: what those had must go to the one that is there."""
    with cluster(engine) as (address, both):
        arguments = [*both[0].prefix, sys.executable, "-m", "tests.on_two_hosts", engine, address, str(tmp_path)]
        started = subprocess.Popen(
            arguments, env=HERE, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        until = time.monotonic() + 240
        while not any(tmp_path.glob("*-second")):
            assert time.monotonic() < until and started.poll() is None, started.communicate()[0]
            time.sleep(0.2)
        kill_all(both[1])
        said = started.communicate(timeout=300)[0]
    assert started.returncode == 0, said
    assert len(list(tmp_path.glob("*-first"))) == UNITS, "those of the second host too"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature chain up to curation, made by one machine."""
    folder = copy_project(tmp_path_factory.mktemp("hosts"))
    kedro(folder, "simweb", "simweb.shard_size=100")
    for stage in ("ingest", "reference", "check", "embed", "curate"):
        kedro(folder, stage)
    return folder


def kedro(folder: Path, stage: str, params: str = "", prefix: Sequence[str] = ()) -> None:
    asked = [f"--params={params}"] if params else []
    run = [*prefix, "kedro", "run", f"--pipelines={stage}", "--env=quick", *asked]
    command(folder, *run, RAY_AUTH_MODE="disabled")


def made(folder: Path) -> dict[str, bytes]:
    """Read what the stages of many machines leave."""
    data = folder / "data/quick"
    files = [file for place in MADE for file in sorted((data / place).rglob("*")) if file.is_file()]
    return {str(file.relative_to(data)): file.read_bytes() for file in files if file.name not in TIMED}


@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_two_hosts_ingest_embed_and_curate_byte_for_byte(engine: str, project: Path, tmp_path: Path) -> None:
    alone, data = made(project), project / "data/quick"
    assert {Path(name).parts[0] for name in alone} == set(MADE)
    for place in (*MADE, ".stages"):
        shutil.rmtree(data / place)
    with cluster(engine) as (address, both):
        for stage in ("ingest", "embed", "curate"):
            kedro(project, stage, f"jobs.backend={engine},jobs.address={address}", both[0].prefix)
    assert made(project) == alone
