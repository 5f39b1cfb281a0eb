"""A small pool scored from end to end: every column, leakage of an evaluation set, and nothing done twice."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from superbatch.curation.decide import SCORES
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.errors import UserError
from superbatch.evaluation import EvaluationSet
from superbatch.files import read_json
from superbatch.models import build_model, save_checkpoint
from superbatch.options import CurateSettings, EmbedSettings, ModelSettings
from superbatch.tasks import SetFiles, embed
from superbatch.tasks.cached import open_cache
from superbatch.tasks.curating import LEAKAGE, Curated, write_scores
from tests.tiny_model import tiny_model_cfg

ROWS = 12
SETTINGS = CurateSettings(clusters=3, near=0.9999, device="cpu")


def picture(number: int) -> np.ndarray:
    coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    return coarse.repeat(3, 0).repeat(4, 1)


def ingested(folder: Path, images: list[bytes]) -> Path:
    parts = ({"png": image, "txt": f"number {n}, a picture".encode()} for n, image in enumerate(images))
    folder.mkdir()
    write_shard(folder / "0.tar", [Sample(f"{n:02d}", found) for n, found in enumerate(parts)])
    ingest([folder / "0.tar"], folder / "set")
    return folder / "set"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """Row 9 has row 4's file, row 10 its pixels in another file; the evaluation set has row 2's file and row 6's pixels."""
    folder = tmp_path_factory.mktemp("curating")
    pixels = [picture(n) for n in range(ROWS)]
    images = [encode_image(one, "png") for one in pixels]
    images[9], images[10] = images[4], again(pixels[4])
    pool = ingested(folder / "pool", images)
    test = ingested(folder / "test", [images[2], again(pixels[6]), encode_image(picture(50), "png")])
    (folder / "cfg.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    clip = build_model(ModelSettings(config=str(folder / "cfg.json")), loss="sigmoid", batch_size=8, seed=0)
    save_checkpoint(folder / "reference", clip, {})
    files = SetFiles(pool, folder / "features")
    embed(files, folder / "reference", settings=EmbedSettings(batch=5, device="cpu", jobs=1))
    return Curated(files, folder / "reference", [EvaluationSet("mine", "retrieval", "test", read_manifest(test))])


def again(pixels: np.ndarray) -> bytes:
    """The same pixels in another file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=0)
    return stream.getvalue()


@pytest.fixture(scope="module")
def out(given: Curated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scores")
    write_scores(given, SETTINGS, folder)
    return folder


def test_duplicates_by_file_hash_and_embedding(out: Path) -> None:
    scores = pq.read_table(out / SCORES).to_pydict()
    apart = [*range(9), 9, 10, 11]
    assert scores["same_file"] == [4 if row == 9 else row for row in apart]
    for name in ("same_hash", "same_embedding"):
        assert scores[name] == [4 if row in (9, 10) else row for row in apart], name
    assert scores["neighbour_cosine"][4] == pytest.approx(1, abs=1e-3)


def test_the_other_columns(out: Path, given: Curated) -> None:
    table, manifest = pq.read_table(out / SCORES), given.pool.manifest()
    assert given.pool.features is not None
    assert table.num_rows == ROWS and not any(column.null_count for column in table.columns)
    scores = table.to_pydict()
    cache = open_cache(given.pool.features, given.reference, manifest)
    assert scores["reference_cosine"] == cache.pair_scores().tolist(), "to the bit: filters go by them"
    assert set(scores["shorter_side"]) == {24} and set(scores["aspect_ratio"]) == {np.float32(32 / 24)}
    assert set(scores["caption_rows"]) == {ROWS} and set(scores["script"]) == {"latin"}
    sizes = np.bincount(scores["text_cluster"], minlength=3)
    assert scores["text_cluster_rows"] == sizes[scores["text_cluster"]].tolist()
    assert len(set(scores["draw"])) == ROWS


def test_leakage_of_an_evaluation_set(out: Path) -> None:
    scores, told = pq.read_table(out / SCORES).to_pydict(), read_json(out / LEAKAGE)
    assert np.flatnonzero(scores["evaluation_file"]).tolist() == [2]
    assert [row for row, bits in enumerate(scores["evaluation_bits"]) if bits == 0] == [2, 6]
    assert [row for row, cosine in enumerate(scores["evaluation_cosine"]) if cosine > 0.9999] == [2, 6]
    assert told["mine/test"]["images"] == 3
    assert told["mine/test"]["leaked"] == {"same_file": 1, "same_hash": 2, "same_embedding": 2, "any": 2}
    assert told["mine/test"]["rows"] == told["mine/test"]["leaked"]


def test_what_decides_the_scores_names_them(given: Curated) -> None:
    usual = given.fingerprint(SETTINGS)
    same = CurateSettings(clusters=3, near=0.9999, batch=2, decide={"all": ()})
    assert given.fingerprint(same) == usual
    others = [
        CurateSettings(near=0.9999),
        CurateSettings(clusters=3),
        CurateSettings(clusters=3, near=0.9999, hash_bits=1),
    ]
    names = {given.fingerprint(one) for one in others} | {
        Curated(given.pool, given.reference, []).fingerprint(SETTINGS)
    }
    assert len(names) == 4 and usual not in names


def test_more_clusters_than_rows_are_refused(given: Curated, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"curate.clusters: 64 clusters of 12 rows"):
        write_scores(given, CurateSettings(device="cpu"), tmp_path)
