"""A small reference and learner of shards that lie anywhere: what a run gives must not depend on where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superbatch.data.ingest import ingest
from superbatch.files import expand_shards
from superbatch.options import (
    EmbedSettings,
    LearnerSettings,
    ModelSettings,
    ReferenceSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.stores.address import Place
from superbatch.stores.cache import ShardCache, use_cache
from superbatch.tasks import SetFiles, embed, learner_job, reference_job
from superbatch.training import train
from tests.data.shard_helpers import pairs, tar_bytes
from tests.object_server import Answer, ObjectServer
from tests.tiny_model import tiny_model_cfg

PAIRS, SHARDS = 40, 2
DELAY = 0.002  # seconds before each answer of a store


def shards() -> list[bytes]:
    """The pool, shard by shard."""
    return [tar_bytes(pairs(PAIRS, number * PAIRS)) for number in range(SHARDS)]


def local_pool(folder: Path) -> list[Place]:
    """Write the pool's shards as files."""
    folder.mkdir()
    places: list[Place] = []
    for number, data in enumerate(shards()):
        places.append(folder / f"{number}.tar")
        (folder / f"{number}.tar").write_bytes(data)
    return places


def digests_of(pool: Sequence[Place], work: Path, cache: ShardCache | None = None) -> dict[str, Any]:
    """Ingest the pool, train a reference on it, embed it and train a learner with two loaders; returns the digests of its picks and weights."""
    use_cache(cache)
    work.mkdir()
    (work / "tiny.json").write_text(json.dumps({"model_cfg": tiny_model_cfg(), "preprocess_cfg": {}}))
    files = SetFiles(work / "pool", work / "features")
    ingest(pool, files.directory)
    model = ModelSettings(str(work / "tiny.json"))
    training = TrainingSettings(batch_size=8, steps=3, shuffle_window=32, workers=2, threads=1)
    of_reference = ReferenceSettings(model=model, training=training)
    reference = train(reference_job(of_reference, SetFiles(files.directory), work / "state"))
    embed(files, reference.model_dir, settings=EmbedSettings(pack_limit_mb=0))
    jest = LearnerSettings(model=model, selection=SelectionSettings("joint", 0.5, num_chunks=4), training=training)
    result = train(learner_job("jest", jest, files, work / "state", reference_dir=reference.model_dir))
    found: dict[str, Any] = result.summary["digests"]
    return found


def assert_same_run(server: ObjectServer, pool: str, busy: Answer, content: str, work: Path) -> None:
    """See that a run is the same on files, through the cache, and by ranges.

    Args:
        server: has `shards` in the folder `pool`, an address.
        busy: its first answer. content: how paths of content begin.
        work: an empty folder.
    """
    right = digests_of(local_pool(work / "shards"), work / "local")
    server.delay, server.answers = DELAY, [busy]
    far = expand_shards(f"{pool}/*.tar")
    assert [str(shard) for shard in far] == [f"{pool}/{number}.tar" for number in range(SHARDS)]
    cache = ShardCache(work / "cache", 10**9)
    assert digests_of(far, work / "cached", cache) == right
    assert len(list(cache.folder.glob("*.whole"))) == SHARDS
    server.requests.clear()
    assert digests_of(far, work / "ranges") == right
    assert all(asked for _, path, asked in server.requests if path.startswith(content)), "no shard is read whole"
