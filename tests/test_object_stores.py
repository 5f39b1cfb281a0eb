"""Object stores for real: an S3 server on loopback, slow and failing as such servers are, under sets, trainings and the catalog."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, DatasetError

from superbatch.artifacts.stamps import build_once
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.reader import ImageReader
from superbatch.datasets.aside import written_to
from superbatch.errors import UserError
from superbatch.files import expand_shards
from superbatch.stores import asking
from superbatch.stores.address import Address
from superbatch.stores.cache import ShardCache
from superbatch.stores.objects import look_at
from tests.data.shard_helpers import pairs, tar_bytes
from tests.forked_kedro import SMALL, ready_project, training_record
from tests.project import ONE_THREAD, command, copy_project
from tests.s3_server import BUSY, EXPIRED, S3, environment, serving

pytestmark = pytest.mark.extras
PAIRS, SHARDS = 30, 4
WEIGHTS = "open_clip_model.safetensors"
ADDRESSES = {
    "{run}.checkpoint": {
        "type": "superbatch.datasets.DirectoryDataset",
        "filepath": "${globals:data}/06_models/{run}",
        "address": "s3://mine/models/{run}",
        "stage": "learner --namespaces={run}",
    },
    "report.page": {"type": "superbatch.datasets.aside.TextDataset", "filepath": "s3://mine/report/report.html"},
    "report.metrics": {"type": "superbatch.datasets.aside.JSONDataset", "filepath": "s3://mine/report/metrics.json"},
}
REFUSED = ("403 Forbidden", b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    pytest.importorskip("s3fs")
    with serving() as s3:
        yield s3


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The server with a bucket of small shards, well-behaved at first."""
    import fsspec

    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.delenv("SUPERBATCH_SHARD_CACHE", raising=False)
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.01)
    files = fsspec.filesystem("s3")
    files.makedirs("mine", exist_ok=True)
    for number in range(SHARDS):
        files.pipe(f"mine/pool/{number}.tar", tar_bytes(pairs(PAIRS, number * PAIRS)))
    server.requests.clear()
    yield server
    server.delay, server.always = 0.0, None
    server.answers.clear()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The same shards as files, ingested."""
    (tmp_path / "pool").mkdir()
    for number in range(SHARDS):
        (tmp_path / "pool" / f"{number}.tar").write_bytes(tar_bytes(pairs(PAIRS, number * PAIRS)))
    ingest(expand_shards(str(tmp_path / "pool" / "*.tar")), tmp_path / "local")
    return tmp_path


def test_a_set_is_the_same_from_a_slow_server_that_fails_now_and_then(s3: S3, local: Path) -> None:
    s3.delay, s3.answers = 0.01, [BUSY, BUSY]
    ingest(expand_shards("s3://mine/pool/*.tar"), local / "far")
    manifest = read_manifest(local / "far")
    assert manifest.fingerprint == read_manifest(local / "local").fingerprint
    rows = np.random.default_rng(0).permutation(PAIRS * SHARDS)
    right = ImageReader(read_manifest(local / "local"), 8).read(rows)
    cache = ShardCache(local / "cache", 10**9)
    s3.answers = [BUSY, BUSY]
    for reader in (ImageReader(manifest, 8), ImageReader(manifest, 8, cache)):
        np.testing.assert_array_equal(reader.read(rows), right)
    s3.always = BUSY  # what is in the cache needs no server
    np.testing.assert_array_equal(ImageReader(manifest, 8, cache).read(rows), right)


def test_marks_are_etags_and_what_was_exchanged_is_refused(s3: S3, local: Path) -> None:
    import fsspec

    ingest(expand_shards("s3://mine/pool/{0..3}.tar"), local / "far")
    manifest = read_manifest(local / "far")
    assert all(len(mark) == 32 for mark in manifest.shard_marks.values()), "MD5s"
    data = bytearray(tar_bytes(pairs(PAIRS, 0)))
    data[-20_000] ^= 1
    fsspec.filesystem("s3").pipe("mine/pool/0.tar", bytes(data))
    for cache in (None, ShardCache(local / "cache", 10**9)):
        with pytest.raises(
            UserError, match=r"^s3://mine/pool/0\.tar: was changed since ingestion .*; run the ingest stage"
        ):
            ImageReader(manifest, 8, cache).read(np.arange(PAIRS))


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            EXPIRED,
            r"the credentials have expired \(The provided token has expired\.\); sign in again \(aws sso login\)",
        ),
        (REFUSED, r"access is refused \(Access Denied\); ask its owner for the right, or use other credentials$"),
    ],
)
def test_credentials_that_have_expired_or_are_refused(s3: S3, answer: tuple[str, bytes], line: str) -> None:
    s3.always = answer
    with pytest.raises(UserError, match=rf"^s3://mine/pool/0\.tar: {line}"):
        look_at(Address("s3://mine/pool/0.tar"))
    with pytest.raises(UserError, match=rf"^ingest\.pool\.shards: s3://mine/pool/\*\.tar: {line}"):
        expand_shards("s3://mine/pool/*.tar", "ingest.pool.shards")


def test_what_is_not_there(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^s3://nobodys/0\.tar: there is no such bucket"):
        look_at(Address("s3://nobodys/0.tar"))
    with pytest.raises(UserError, match=r"^s3://mine/pool/9\.tar: no such object; correct the address"):
        look_at(Address("s3://mine/pool/9.tar"))
    with pytest.raises(UserError, match=r"^shards: s3://mine/none/\*\.tar: no such shard; correct the address"):
        expand_shards("s3://mine/none/*.tar")
    monkeypatch.setattr(asking, "ATTEMPTS", 2)
    s3.always = BUSY
    with pytest.raises(
        UserError, match=r"^s3://mine/pool/0\.tar: can't be reached: 2 attempts failed, the last with .*Service"
    ):
        look_at(Address("s3://mine/pool/0.tar"))


def test_many_shards_are_looked_up_in_few_requests(s3: S3, local: Path) -> None:
    import fsspec

    for number in range(40):
        fsspec.filesystem("s3").pipe(f"mine/many/{number:02}.tar", tar_bytes(pairs(1, number)))
    from superbatch.artifacts.contents import content_digests

    s3.requests.clear()
    assert len(set(content_digests(expand_shards("s3://mine/many/{00..39}.tar"), local / "digests.json"))) == 40
    assert len(s3.requests) < 8


GIVEN = [
    SMALL,
    "simweb.shard_size=50",
    ONE_THREAD,
    "reference.training.steps=2",
    "reference.training.evaluate_every=2",
    "learner.training.shuffle_window=120",
    "embed.pack_limit_mb=0",  # so that training reads images from the shards
]
MADE = (
    "02_intermediate/pool",
    "02_intermediate/evaluation",
    "04_feature",
    "06_models/jest",
    "06_models/.state",
    "07_model_output/jest",
    ".stages",
)


def run(project: Path, s3: S3, params: str = "") -> tuple[dict[str, Any], dict[str, float]]:
    """Train jest in a process of its own, and return the digests of its picks and weights, and what was measured at its end."""
    given = ",".join([*GIVEN, params] if params else GIVEN)
    chain = ["kedro", "run", "--pipeline=jest", "--env=quick", "--tags=data,features,training"]
    command(project, *chain, f"--params={given}", **environment(s3))
    record = training_record(project / "data" / "quick", "jest")
    return record["digests"], record["final"]


def test_a_run_on_an_object_store_is_the_run_on_files(s3: S3, tmp_path: Path) -> None:
    """Ingestion, embedding and a learner give the same picks and weights, and it is measured on the same images; the checkpoint goes to an address,
    by the catalog."""
    import fsspec

    ready_project(tmp_path)
    project, files = tmp_path / "project", fsspec.filesystem("s3")
    data = project / "data" / "quick"
    before = run(project, s3)
    shards = sorted((data / "01_raw" / "simweb" / "pool").glob("*.tar"))
    room = 5 * shards[0].stat().st_size  # of eight: the first, of whole ones, is among the largest
    for shard in shards:
        files.put_file(str(shard), f"mine/simweb/{shard.name}")
    files.put(
        str(data / "01_raw" / "simweb" / "evaluation" / "classification"), "mine/sets/classification", recursive=True
    )
    for folder in MADE:
        shutil.rmtree(data / folder)
    (project / "conf" / "quick" / "catalog.yml").write_text(yaml.safe_dump(ADDRESSES))
    s3.delay, s3.answers = 0.002, [BUSY] * 3
    cache = f"storage.cache.gigabytes={room / 1e9:.9f},storage.cache.folder=data/quick/shards"
    given = (
        "ingest.pool.shards=s3://mine/simweb/*.tar,ingest.evaluation.classification.root=s3://mine/sets/classification"
    )
    after = run(project, s3, params=f"{given},{cache}")
    assert before == after and before[1], "picks, weights, and what was measured"
    assert list(read_manifest(data / "02_intermediate" / "pool").objects) == [
        f"s3://mine/simweb/{shard.name}" for shard in shards
    ]
    assert 0 < sum(file.stat().st_size for file in (data / "shards").glob("*.whole")) <= room
    sets = data / "02_intermediate" / "evaluation" / "classification"
    assert list(read_manifest(sets / "test").objects) and (sets / "classnames.txt").is_file()
    local, far = data / "06_models" / "jest" / WEIGHTS, files.cat(f"mine/models/jest/{WEIGHTS}")
    assert local.read_bytes() == far


def test_the_catalog_sends_checkpoint_and_report_to_addresses(s3: S3, tmp_path: Path) -> None:
    import fsspec

    project, files = copy_project(tmp_path / "project"), fsspec.filesystem("s3")
    (project / "conf" / "local" / "catalog.yml").write_text(yaml.safe_dump(ADDRESSES))
    catalog = DataCatalog.from_config(
        OmegaConfigLoader(str(project / "conf"), base_env="base", default_run_env="local")["catalog"]
    )
    page, metrics, checkpoint = (catalog.get(name) for name in ("report.page", "report.metrics", "uniform.checkpoint"))
    s3.answers = [BUSY]
    page.save("<!doctype html>")
    metrics.save({"rows": 7})
    assert files.cat("mine/report/report.html") == b"<!doctype html>" and metrics.load() == {"rows": 7}
    assert written_to(page) == "s3://mine/report/report.html"
    s3.always = EXPIRED
    with pytest.raises(
        DatasetError, match=r"^s3://mine/report/report\.html: the credentials have expired \(The provided"
    ):
        page.save("<html>")
    s3.always = None
    checkpoint._filepath = tmp_path / "here" / "uniform"
    checkpoint.save(
        build_once("x", "0" * 16, tmp_path / "stages", lambda out: (out / WEIGHTS).write_bytes(b"w") and None)
    )
    assert files.cat(f"mine/models/uniform/{WEIGHTS}") == b"w"
    checkpoint._filepath = tmp_path / "there" / "uniform"
    assert (checkpoint.load() / WEIGHTS).read_bytes() == b"w"
