"""A small reference and learner of shards that lie anywhere: what a run gives must not depend on where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superbatch.data.ingest import ingest
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
from tests.tiny_model import tiny_model_cfg

PAIRS, SHARDS = 40, 2


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
