"""A cluster of this machine, Ray's and Dask's: the same bytes as one process, also when a worker is killed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superbatch.data import ingest as ingest_module
from superbatch.data.ingest import ingest
from superbatch.data.reader import Pixels
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.errors import UserError
from superbatch.jobs import backends, units
from superbatch.jobs.units import Told, run_units
from superbatch.models import build_model, save_checkpoint
from superbatch.options import EmbedSettings, JobsSettings, ModelSettings
from superbatch.tasks import SetFiles, curating, embed, embed_blocks
from superbatch.tasks import embed as embed_function
from superbatch.tasks.curating import image_scores
from superbatch.tasks.embed_blocks import Workers
from tests.tiny_model import tiny_model_cfg

pytestmark = pytest.mark.extras
SHARDS, ROWS = 4, 5  # of a shard
FILES = ("manifest.parquet", "rejects.parquet", "summary.json")
HERE = JobsSettings("sequential")
CONNECT = """
import sys
from superbatch.jobs.units import Told, run_units
from superbatch.options import JobsSettings
import ray
found = dict(run_units(lambda number: number + 1, [1, 2, 3], JobsSettings("ray"), Told("count", "number")))
assert found == {0: 2, 1: 3, 2: 4}, found
assert not ray.is_initialized(), "the connection ends with the work"
"""


@pytest.fixture(scope="module", params=["ray", "dask"])
def cluster(request: pytest.FixtureRequest) -> Iterator[JobsSettings]:
    """Two workers on this machine. Sockets need short paths, so their folder is not pytest's."""
    with tempfile.TemporaryDirectory(prefix="sb") as folder:
        yield from {"ray": ray_cluster, "dask": dask_cluster}[request.param](folder)


def ray_cluster(folder: str) -> Iterator[JobsSettings]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    options = {
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": "ERROR",
        "object_store_memory": 2**27,
    }
    ray.init(address="local", num_cpus=2, _temp_dir=folder, **options)
    yield JobsSettings("ray")
    ray.shutdown()


def dask_cluster(folder: str) -> Iterator[JobsSettings]:
    import dask
    from distributed import LocalCluster

    with (
        # A nanny on a busy machine gives up when its new worker takes 30 seconds to come.
        dask.config.set({"distributed.scheduler.allowed-failures": 1, "distributed.comm.timeouts.connect": "300s"}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder) as started,
    ):
        yield JobsSettings("dask", address=started.scheduler_address)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with shards, and a reference."""
    folder = tmp_path_factory.mktemp("project")
    pictures = np.random.default_rng(0).integers(0, 256, (SHARDS * ROWS, 20, 24, 3), np.uint8)
    parts = [{"png": encode_image(one, "png"), "txt": f"number {n}".encode()} for n, one in enumerate(pictures)]
    for shard in range(SHARDS):
        rows = range(shard * ROWS, (shard + 1) * ROWS)
        bad = Sample("bad", {"png": b"none", "txt": b"c"})
        write_shard(folder / f"{shard}.tar", [*(Sample(f"{n:02d}", parts[n]) for n in rows), bad])
    (folder / "cfg.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    clip = build_model(ModelSettings(config=str(folder / "cfg.json")), loss="sigmoid", batch_size=8, seed=0)
    save_checkpoint(folder / "reference", clip, {})
    return folder


def killing(call: Callable[..., Any], at: Callable[..., bool], mark: Path) -> Callable[..., Any]:
    """As `call`, but its process kills itself before the first time that `at` holds of what it is called with.

    A function within a function goes to a worker whole, so that workers need not import this module.
    """

    def once(*given: Any) -> Any:
        if at(*given) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given)

    return once


def reading(pixels: Pixels, mark: Path) -> Pixels:
    """Pixels whose reader is killed once, as it comes to row 8."""

    class Killing:
        image_size = pixels.image_size
        read = staticmethod(killing(pixels.read, lambda rows: 8 in rows, mark))

    return Killing()


def test_shards_are_ingested_though_a_worker_is_killed(
    cluster: JobsSettings, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their paths are relative to the project, and workers begin elsewhere."""
    monkeypatch.chdir(given)
    shards = sorted(Path().glob("*.tar"))
    ingest(shards, tmp_path / "here")
    scan, mark = ingest_module._scan, tmp_path / "killed"
    monkeypatch.setattr(ingest_module, "_scan", killing(scan, lambda unit: unit[0].name == "1.tar", mark))
    ingest(shards, tmp_path / "there", jobs=cluster, scans=tmp_path / "scans")
    assert mark.exists() and len(list((tmp_path / "scans").glob("*.arrow"))) == SHARDS
    for name in FILES:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name


def test_rows_are_embedded_and_looked_at_though_workers_are_killed(
    cluster: JobsSettings, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(given)
    monkeypatch.setattr(embed_blocks, "ROWS_PER_BLOCK", 5)
    monkeypatch.setattr(curating, "BLOCK", 6)
    ingest(sorted(Path().glob("*.tar")), tmp_path / "set")
    how = EmbedSettings(batch=2, device="cpu", pack_limit_mb=0)
    embed(SetFiles(tmp_path / "set", tmp_path / "here"), Path("reference"), settings=how)

    module, killed = sys.modules[embed_function.__module__], tmp_path / "killed"
    opened = module.open_pixels
    monkeypatch.setattr(module, "open_pixels", lambda *known: reading(opened(*known), killed))
    workers = Workers(cluster, tmp_path / "kept")
    embed(SetFiles(tmp_path / "set", tmp_path / "there"), Path("reference"), settings=how, workers=workers)
    assert killed.exists() and len(list((tmp_path / "kept").glob("*.npz"))) == 5
    assert (tmp_path / "there/embeddings.arrow").read_bytes() == (tmp_path / "here/embeddings.arrow").read_bytes()

    files, looked = SetFiles(tmp_path / "set"), tmp_path / "looked"
    pixels = curating.open_pixels(curating.View(16, "", 0), files.manifest(), None)
    there = image_scores(reading(pixels, looked), 20, "pool", cluster, tmp_path / "kept")
    here = image_scores(pixels, 20, "pool")
    assert looked.exists() and all(np.array_equal(there[name], here[name]) for name in here)


def test_what_a_function_has_open_is_opened_in_the_projects_folder(
    cluster: JobsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers begin elsewhere, and packed pixels, tokens and manifests are opened where they are unpickled."""
    monkeypatch.chdir(tmp_path)
    Path("number.txt").write_text("7")

    class Opened:
        def __init__(self, place: Path) -> None:
            self.place, self.number = place, int(place.read_text())

        def __reduce__(self) -> tuple[type, tuple[Path]]:
            return Opened, (self.place,)

        def __call__(self, more: int) -> int:
            return self.number + more

    found = dict(run_units(Opened(Path("number.txt")), [1, 2], cluster, Told("count", "number")))
    assert found == {0: 8, 1: 9}


def test_a_unit_that_kills_its_workers_is_named(cluster: JobsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "TRIES", 1)
    monkeypatch.setattr(backends, "RETRIES", 0)

    def call(number: int) -> int:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(UserError, match="unit 1: the process that worked on it died 1 times"):
        dict(run_units(call, [0, 1, 2], cluster, Told("count", "number"), name=lambda number: f"unit {number}"))


def test_a_mistake_is_told_as_it_is(cluster: JobsSettings) -> None:
    def refuse(number: int) -> int:
        raise UserError(f"data/{number}.tar", "cannot be read", "mend it")

    with pytest.raises(UserError, match=r"data/7\.tar: cannot be read; mend it"):
        dict(run_units(refuse, [7, 7], cluster, Told("count", "number")))


def test_a_folder_that_workers_do_not_see_is_named(
    cluster: JobsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "cwd", lambda: Path("/not/there"))
    with pytest.raises(UserError, match=r"/not/there: is not there on .*; all machines"):
        dict(run_units(abs, [1, 2], cluster, Told("count", "number")))


@pytest.mark.parametrize("cluster", ["ray"], indirect=True)
def test_a_command_finds_its_cluster_by_the_environment(cluster: JobsSettings, tmp_path: Path) -> None:
    import ray

    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    command = [sys.executable, "-c", CONNECT]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_cluster_that_is_not_there_is_told() -> None:
    import dask

    jobs = JobsSettings("dask", address="tcp://127.0.0.1:1")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(UserError, match=r"jobs\.address: no cluster of dask can be reached .*; start it"),
    ):
        dict(run_units(abs, [1, 2], jobs, Told("count", "number")))


def test_a_cluster_without_workers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(backends, "NO_WORKER", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address=None, processes=False) as empty,
        pytest.raises(
            UserError, match=r"jobs\.address: the cluster of dask has had no worker for 0 seconds; start workers"
        ),
    ):
        dict(run_units(abs, [1, 2], JobsSettings("dask", address=empty.scheduler_address), Told("count", "number")))


def test_a_cluster_that_asks_for_a_token_is_told() -> None:
    from ray.exceptions import AuthenticationError

    refused = ConnectionError("Failed to connect")
    refused.__cause__ = AuthenticationError("InvalidAuthToken")
    with (
        pytest.raises(UserError, match=r"Failed to connect.*RAY_AUTH_MODE=token"),
        backends._reached(JobsSettings("ray")),
    ):
        raise refused
