"""A small pool scored from end to end: every column, leakage of an evaluation set, and nothing done twice."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from superbatch.curation.decide import write_decisions
from superbatch.curation.scores import SCORES
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.errors import UserError
from superbatch.evaluation import EvaluationSet
from superbatch.files import read_json
from superbatch.models import build_model, save_checkpoint
from superbatch.options import (
    CurateSettings,
    DistillSettings,
    EmbedSettings,
    LabelSettings,
    LearnerSettings,
    ModelSettings,
    PoolSettings,
    RuleSettings,
    TrainingSettings,
)
from superbatch.tasks import SetFiles, embed, learner_job
from superbatch.tasks.cached import open_cache
from superbatch.tasks.contrastive import TOKENS
from superbatch.tasks.curating import LEAKAGE, Curated, write_scores
from superbatch.tasks.distilled import SEPARATE
from superbatch.tasks.filtering import kept
from superbatch.training import Job
from superbatch.training.flops import Spent
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


@pytest.fixture(scope="module")
def decisions(out: Path, given: Curated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decisions")
    best = RuleSettings("low", column="reference_cosine", best_share=0.5)
    alone = RuleSettings("duplicate", column="same_hash", one_of_each=True)
    write_decisions(pq.read_table(out / SCORES), {"best": [best], "alone": [alone]}, given.pool.manifest(), folder)
    return folder


def job_of(
    given: Curated, folder: Path, decisions: Path | None, distill: str | None = None, joining: bool = False, **pool: Any
) -> Job:
    how = {"first_share": 0.5, "first_by": "rarity"} if joining else {}
    settings = LearnerSettings(
        ModelSettings(config=str(given.reference.parent / "cfg.json")),
        pool=PoolSettings(**pool),
        training=TrainingSettings(batch_size=4, steps=2, device="cpu", **how),
        distill=DistillSettings(batch=distill) if distill else None,
    )
    charges = {name: Spent(1.0, 1.0) for name in ("decoding", "reference_training", "embedding")}
    further: dict[str, Any] = {"charges": charges, "decisions": decisions, "reference_dir": given.reference}
    return learner_job("mine", settings, given.pool, folder, curated=given.pool, **further)


def test_a_learner_draws_from_what_a_decision_keeps(given: Curated, decisions: Path, tmp_path: Path) -> None:
    job = job_of(given, tmp_path, decisions, curated_by="alone")
    assert job.source.rows is not None and len(job.source.rows) == ROWS - 2
    assert set(job.charges) == {"decoding", "reference_training", "embedding"}, "the scores took the reference"
    both = job_of(given, tmp_path, decisions, curated_by="alone", add_curated=True)
    assert both.source.rows is not None
    assert list(both.source.rows) == [*job.source.rows, *range(ROWS, 2 * ROWS)]


def test_a_best_share_keeps_what_keep_share_keeps(given: Curated, decisions: Path, tmp_path: Path) -> None:
    assert given.pool.features is not None
    cache = open_cache(given.pool.features, given.reference, given.pool.manifest())
    rows, same = job_of(given, tmp_path, decisions, curated_by="best").source.rows, kept(cache, PoolSettings(0.5)).rows
    assert rows is not None and same is not None and list(rows) == list(same)


@pytest.mark.parametrize("joining", [False, True])
@pytest.mark.parametrize("pool", [{}, {"curated_by": "best"}, {"keep_share": 0.5}])
def test_samples_beside_the_chosen_ones_are_of_the_rows_in_use(
    given: Curated, decisions: Path, tmp_path: Path, pool: dict[str, Any], joining: bool
) -> None:
    job = job_of(given, tmp_path, decisions, "separate", joining, **pool)
    ids, companions = (job.source.fields[name] for name in (TOKENS, SEPARATE + TOKENS))
    in_use = list(range(ROWS) if job.source.rows is None else job.source.rows)
    seen = {tuple(one) for step in range(9) for one in companions.read(np.arange(ROWS), step)}
    assert seen == {tuple(one) for one in ids.read(np.array(in_use), 0)}
    assert ("companions" in job.identity) == bool(pool), "runs of the whole pool keep their hash"
    assert "companions" not in job_of(given, tmp_path, decisions, "chosen", joining, **pool).identity


def test_the_rows_decide_a_run_s_hash_and_without_a_decision_it_is_as_before(
    given: Curated, decisions: Path, out: Path, tmp_path: Path
) -> None:
    plain, best = job_of(given, tmp_path, decisions), job_of(given, tmp_path, decisions, curated_by="best")
    assert "curated_by" not in plain.identity["pool"] and "kept_rows" not in plain.identity
    assert plain.run_hash == job_of(given, tmp_path, None).run_hash != best.run_hash
    other = RuleSettings("low", column="reference_cosine", best_share=0.6)
    write_decisions(pq.read_table(out / SCORES), {"best": [other]}, given.pool.manifest(), tmp_path)
    assert job_of(given, tmp_path, tmp_path, curated_by="best").run_hash != best.run_hash


def test_a_decision_that_is_not_there_is_refused_before_training(given: Curated, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pool.curated_by: best: the stage curate has not run"):
        job_of(given, tmp_path, None, curated_by="best")
    with pytest.raises(UserError, match="pool.curated_by: says which rows are kept, and so does keep_share"):
        PoolSettings(curated_by="best", keep_share=0.5)
    with pytest.raises(UserError, match=r"pool.curated_by: is decided by scores of pairs, and labels are set"):
        by_loss = TrainingSettings(loss="softmax")
        LearnerSettings(labels=LabelSettings("names.txt"), training=by_loss, pool=PoolSettings(curated_by="best"))
