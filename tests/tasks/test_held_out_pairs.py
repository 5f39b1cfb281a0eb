"""What held-out pairs say along a reference's training: the same whether they are kept or decoded each time."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superbatch.data.ingest import ingest
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.reader import ImageReader
from superbatch.data.writing import Sample, write_shard
from superbatch.models import ClipModel, build_model
from superbatch.models.towers import Towers
from superbatch.options import ModelSettings
from superbatch.tasks import held_out, sample
from superbatch.tasks.held_out import METRIC, with_held_out
from superbatch.tasks.sample import embed_rows
from superbatch.training.distributed import joined
from tests.in_ranks import in_ranks
from tests.tiny_model import tiny_model_cfg

ROWS = np.array([1, 4, 5, 8, 9])


@pytest.fixture
def curated(tmp_path: Path) -> Manifest:
    rng = np.random.default_rng(0)
    samples = []
    for number in range(10):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(stream, "PNG")
        samples.append(Sample(f"{number}", {"png": stream.getvalue(), "txt": f"picture {number}".encode()}))
    write_shard(tmp_path / "00000.tar", samples)
    ingest([tmp_path / "00000.tar"], tmp_path / "set")
    return read_manifest(tmp_path / "set")


@pytest.fixture
def clip(tmp_path: Path) -> ClipModel:
    (tmp_path / "cfg.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    clip = build_model(ModelSettings(config=str(tmp_path / "cfg.json")), loss="sigmoid", batch_size=8, seed=0)
    clip.model.eval()
    return clip


@pytest.mark.parametrize("most", [held_out.KEPT_BYTES, 0])
def test_held_out_images_are_decoded_once_where_they_fit_and_say_the_same(
    curated: Manifest, clip: ClipModel, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    seen: list[torch.Tensor] = []
    recall_in = held_out.recall_in

    def watched(images: torch.Tensor, texts: torch.Tensor, captions: list[str], of: int) -> np.ndarray:
        seen.extend([images, texts])
        return recall_in(images, texts, captions, of)

    decoded: list[int] = []
    read = ImageReader.read
    monkeypatch.setattr(ImageReader, "read", lambda reader, rows: decoded.extend(rows) or read(reader, rows))
    monkeypatch.setattr(held_out, "recall_in", watched)
    monkeypatch.setattr(held_out, "KEPT_BYTES", most)
    evaluate = with_held_out(lambda _: {"set/top1": 0.5}, curated, ROWS, "cpu")
    assert evaluate is not None
    for _ in range(2):
        found = evaluate(clip)
        count = len(decoded)
        towers = Towers.of(clip, torch.device("cpu"), "auto")
        images, texts, captions = embed_rows(clip, towers, curated, ROWS)
        del decoded[count:]
        assert torch.equal(seen[-2], images) and torch.equal(seen[-1], texts)
        assert found == {"set/top1": 0.5, METRIC: float(recall_in(images, texts, captions, len(ROWS)).mean())}
        with torch.no_grad():
            clip.model.visual.proj.add_(0.1)  # it learned something
    assert decoded == ROWS.tolist() * (1 if most else 2)


def shared(curated: Manifest, clip: ClipModel) -> dict[str, float]:
    torch.set_num_threads(1)
    with joined("cpu"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_out, "recall_in", lambda images, texts, *_: torch.cat([images, texts]).double().numpy())
        patch.setattr(sample, "BATCH", 2)
        evaluate = with_held_out(None, curated, ROWS, "cpu")
        assert evaluate is not None
        return evaluate(clip)


def test_ranks_share_the_held_out_pairs(curated: Manifest, clip: ClipModel, tmp_path: Path) -> None:
    """Five pairs are batches of three and two, of which the third rank has none; all find the same bits."""
    assert in_ranks(3, shared, tmp_path / "ranks", curated, clip) == [shared(curated, clip)] * 3
