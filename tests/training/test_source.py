"""What a learner draws from: any number of workers gives the same super-batches, and errors arrive whole."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from superbatch.data.manifest import MANIFEST_SCHEMA, read_manifest, write_manifest
from superbatch.data.order import Order
from superbatch.data.tokens import Tokens, tokenize_captions
from superbatch.errors import UserError
from superbatch.models import ClipModel, Vocabulary, build_model
from superbatch.options import ModelSettings
from superbatch.training.assemble import compact
from superbatch.training.loader import make_loader
from superbatch.training.source import CachedTokenIds, Source, SuperBatches

CPU = torch.device("cpu")
ROWS = 500


class Numbered:
    """Images that are all of one colour: the row's number."""

    def __init__(self, bad: int | None = None) -> None:
        self.bad = bad

    def read(self, rows: np.ndarray) -> np.ndarray:
        if self.bad in rows:
            raise UserError("x.tar, key 7", "the image can't be read", "run the ingest stage again")
        return np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (len(rows), 3, 2, 2)).copy()


def batches(size: int, bad: int | None = None) -> SuperBatches:
    ids = torch.arange(ROWS * 4).reshape(ROWS, 4)
    return SuperBatches(Source(Numbered(bad), ids), Order(3, ROWS, size))


@pytest.mark.parametrize(("size", "workers"), [(8, 2), (100, 1), (101, 2)])
def test_workers_share_super_batches_and_change_nothing(size: int, workers: int) -> None:
    alone = list(make_loader(batches(size), 2, 9, 0, CPU))
    shared = make_loader(batches(size), 2, 9, workers, CPU)
    order = Order(3, ROWS, size)
    assert len(alone) == 7
    for step, one, other in zip(range(2, 9), alone, shared, strict=True):
        rows, pixels, ids = other
        time.sleep(0.02)  # workers that read ahead would write over these pixels now, if they could
        assert rows.tolist() == order.rows(step).tolist() == one[0].tolist()
        assert torch.equal(pixels, one[1]) and torch.equal(ids, one[2])
        assert pixels[:, 0, 0, 0].tolist() == [row % 256 for row in rows.tolist()]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_told_as_it_is_alone(workers: int) -> None:
    with pytest.raises(UserError, match="x.tar, key 7: the image can't be read; run the ingest stage again"):
        list(make_loader(batches(100, bad=7), 0, 5, workers, CPU))


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(make_loader(batches(100), 0, 2, 2, CPU))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def clip(model_file: Path) -> ClipModel:
    return build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=4, seed=0)


def write_tokens(folder: Path, captions: list[str], clip: ClipModel) -> Tokens:
    row = {"key": "k", "shard": "s.tar", "offset": 1, "length": 2, "format": "png", "width": 1, "height": 1}
    row |= {"label": None, "sha256": bytes(32), "members": 2, "source": None, "notes": []}
    table = [{**row, "captions": [caption, "never first"]} for caption in captions]
    write_manifest(folder / "manifest.parquet", pa.Table.from_pylist(table, MANIFEST_SCHEMA), {"s.tar": 9})
    tokenize_captions(read_manifest(folder), clip.tokenizer(), clip.context_length, folder / "tokens")
    return Tokens(folder / "tokens")


def test_cached_ids_are_those_of_a_tensor(tmp_path: Path, clip: ClipModel) -> None:
    """Two sets after each other, compact or not: the same ids and the same vocabulary as from one tensor of all rows."""
    first, second = ["a red fox", "a dog"], ["the sea", "a red house", "a dog"]
    cached = CachedTokenIds((write_tokens(tmp_path / "a", first, clip), write_tokens(tmp_path / "b", second, clip)))
    whole = clip.tokenizer()([*first, *second])
    rows = torch.tensor([4, 0, 3, 3])
    assert len(cached) == 5 and torch.equal(cached[rows], whole[rows])
    vocabulary = Vocabulary.of(clip.model, whole.numpy())
    source, shrunk = compact(clip, Source(Numbered(), cached), True)
    assert shrunk is not None and torch.equal(shrunk.ids_V, vocabulary.ids_V)
    assert torch.equal(source.token_ids_NL[rows], vocabulary.to_compact(whole[rows]))
