"""Embedding that was stopped goes on with the blocks of rows it had not finished, and ends with the same bytes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from superbatch.artifacts.stamps import build_kept
from superbatch.data.ingest import ingest
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.models import build_model, save_checkpoint
from superbatch.options import EmbedSettings, ModelSettings
from superbatch.tasks import SetFiles, embed, embed_blocks
from superbatch.tasks.embed_blocks import Embedding, Workers
from tests.tiny_model import tiny_model_cfg

ROWS, SETTINGS = 12, EmbedSettings(batch=2, device="cpu", jobs=1)
FILES = ("embeddings.arrow", "pixels-16/pixels.npy")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of twelve pictures, and a reference."""
    folder = tmp_path_factory.mktemp("embedding")
    pictures = np.random.default_rng(0).integers(0, 256, (ROWS, 20, 24, 3), np.uint8)
    parts = ({"png": encode_image(one, "png"), "txt": f"number {n}".encode()} for n, one in enumerate(pictures))
    write_shard(folder / "0.tar", [Sample(f"{n:02d}", found) for n, found in enumerate(parts)])
    ingest([folder / "0.tar"], folder / "set")
    (folder / "cfg.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    clip = build_model(ModelSettings(config=str(folder / "cfg.json")), loss="sigmoid", batch_size=8, seed=0)
    save_checkpoint(folder / "reference", clip, {})
    return folder


def features(given: Path, out: Path, workers: Workers | None = None) -> list[bytes]:
    embed(SetFiles(given / "set", out), given / "reference", settings=SETTINGS, workers=workers)
    return [(out / name).read_bytes() for name in FILES]


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """First rows of the blocks that were embedded, of four rows each; the fourth time is the last."""
    monkeypatch.setattr(embed_blocks, "ROWS_PER_BLOCK", 5)
    whole, found = Embedding.__call__, []

    def call(self: Embedding, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        assert end - start == 4
        if found == [0, 4]:
            found.append(-1)
            raise KeyboardInterrupt
        found.append(start)
        return whole(self, start, end)

    monkeypatch.setattr(Embedding, "__call__", call)
    return found


def test_a_stage_that_was_stopped_embeds_the_other_blocks(given: Path, tmp_path: Path, embedded: list[int]) -> None:
    embedded.append(-2)  # not to be stopped
    whole = features(given, tmp_path / "whole")
    embedded.clear()

    def stage() -> Path:
        return build_kept("features", "mark", tmp_path / "stages", write).path

    def write(out: Path, kept: Path) -> None:
        features(given, out, Workers(kept=kept))

    with pytest.raises(KeyboardInterrupt):
        stage()
    assert len(list((tmp_path / "stages/kept/mark").glob("embeddings-4-*.npz"))) == 2
    made = stage()
    assert embedded == [0, 4, -1, 8]
    assert [(made / name).read_bytes() for name in FILES] == whole
    assert not (tmp_path / "stages/kept/mark").exists(), "nothing is kept of what is done"


def test_a_block_is_the_same_by_a_worker_that_loads_the_model(given: Path, tmp_path: Path) -> None:
    """What it gets leaves the model behind; its batches begin where those of one process do."""
    whole = features(given, tmp_path / "whole")
    made: list[Embedding] = []
    original = embed_blocks.make_blocks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            embed_blocks, "make_blocks", lambda how, *args, **kw: made.append(how) or original(how, *args, **kw)
        )
        assert features(given, tmp_path / "again") == whole
    there = pickle.loads(pickle.dumps(made[0]))
    assert made[0].clip is not None and there.clip is None
    assert there.threads == torch.get_num_threads()
    for ours, theirs in zip(made[0](4, 10), there(4, 10), strict=True):
        assert ours.dtype == np.float16 and np.array_equal(ours, theirs)
    embed_blocks._loaded.cache_clear()
