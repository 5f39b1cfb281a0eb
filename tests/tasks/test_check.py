"""The reference check over sets, with references whose strength is known: one that reads what is painted, and one that knows nothing."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superbatch.artifacts.atomic import write_json
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.reader import ImageReader
from superbatch.data.writing import Sample, write_shard
from superbatch.errors import UserError
from superbatch.evaluation.pairs.batches import Pairs
from superbatch.models import build_model, save_checkpoint
from superbatch.options import LearnerSettings, ModelSettings, PoolSettings, SelectionSettings
from superbatch.tasks import check as checking
from superbatch.tasks.check import CHECK, Checked, check, rare_concepts
from superbatch.tasks.jobs import Directories, remarks
from superbatch.tasks.reference import split_rows
from tests.tiny_model import tiny_model_cfg

CURATED, POOL, BAD = 120, 400, 0.4


def write_set(folder: Path, pairs: int, bad: float, seed: int) -> Path:
    """Pictures of one colour each, captioned by its numbers; a share has another picture's caption."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (pairs, 3))
    caption_of = np.arange(pairs)
    wrong = caption_of[: round(bad * pairs)]
    caption_of[wrong] = np.roll(wrong, 1)
    samples = []
    for number in range(pairs):
        stream = io.BytesIO()
        Image.new("RGB", (20, 20), tuple(map(int, colours[number]))).save(stream, "PNG")
        caption = " ".join(map(str, colours[caption_of[number]]))
        samples.append(Sample(f"{number:04d}", {"png": stream.getvalue(), "txt": caption.encode()}))
    write_shard(folder / "00000.tar", samples)
    ingest([folder / "00000.tar"], folder / "set")
    return folder / "set"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    for name in ("curated", "pool", "model", "training"):
        (root / name).mkdir()
    curated, pool = write_set(root / "curated", CURATED, 0.0, 0), write_set(root / "pool", POOL, BAD, 1)
    (root / "cfg.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    clip = build_model(ModelSettings(config=str(root / "cfg.json")), loss="sigmoid", batch_size=8, seed=0)
    save_checkpoint(root / "model", clip, {"run": "reference"})
    return {"model": root / "model", "training": root / "training", "curated": curated, "pool": pool}


def checked(sets: dict[str, Path], settings: dict[str, object] | None = None) -> Checked:
    """The reference as its record has it: by default trained on all but 30 of the curated pairs."""
    default = {"sets": [read_manifest(sets["curated"]).fingerprint], "held_out": 30}
    write_json(sets["training"] / "run.json", {"settings": default if settings is None else settings})
    return Checked.of(**sets)


def embed_colours(clip, towers, manifest, rows):
    """An encoder that reads the colours: of the image from its digest's picture, of the caption from its words; slightly blurred."""
    captions = [texts[0] for texts in manifest.captions(rows)]
    pixels = ImageReader(manifest, 4).read(rows)[:, :, 0, 0].astype(float)
    words = np.array([[float(word) for word in caption.split()] for caption in captions])
    sides = []
    for seed, values in enumerate((pixels, words)):
        phases = np.concatenate([f(values / 256 * k * np.pi) for f in (np.cos, np.sin) for k in (1, 2, 3)], 1)
        blurred = phases + 0.1 * np.random.default_rng(seed).normal(size=phases.shape)
        sides.append(torch.nn.functional.normalize(torch.from_numpy(blurred).float(), dim=1))
    return (*sides, captions)


def test_a_reference_that_reads_the_pictures_helps(sets: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "embed_rows", embed_colours)
    found = check(checked(sets))
    assert found["verdict"] == "helps" and found["remedy"] == "" and not found["imported"]
    assert found["pairs"] == {"held_out": 30, "training": 90, "pool": POOL}
    assert found["auc"]["pair"]["all"]["low"] > 0.95
    assert found["bad_share"]["low"] - 0.05 <= BAD <= found["bad_share"]["high"] + 0.05
    assert found["bad_share"]["value"] == pytest.approx(BAD, abs=0.1)
    assert [best["value"] > 0.9 for best in found["purity"]["filter"]] == [True] * 3
    assert sum(found["scores"]["pool"]) == POOL and sum(found["scores"]["true"]) == 30
    assert {
        kept: found["loss"][kept]["fitted"] <= found["loss"][kept]["as_it_is"] for kept in ("held_out", "training")
    } == {"held_out": True, "training": True}
    assert json.loads(json.dumps(found, allow_nan=False)) == found, "null where a number is missing"
    assert check(checked(sets)) == found


def test_a_reference_that_was_never_trained_does_not(sets: dict[str, Path]) -> None:
    found = check(checked(sets))
    assert found["verdict"] in ("would_harm", "unsure") and "weak and not overfit" in found["remedy"]
    assert found["auc"]["pair"]["all"]["low"] < 0.6
    if found["auc"]["pair"]["all"]["low"] <= 0.5:
        assert found["bad_share"] is None and found["purity"] is None


def test_of_an_imported_one_all_curated_pairs_are_held_out(
    sets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "embed_rows", embed_colours)
    found = check(checked(sets, {"imported_from": "theirs"}))
    assert found["imported"] and found["verdict"] == "helps"
    assert found["pairs"] == {"held_out": CURATED, "training": 0, "pool": POOL}
    assert found["recall"]["training"] is None and found["loss"]["training"] is None


def test_without_held_out_pairs_nothing_is_said(sets: dict[str, Path]) -> None:
    given = checked(sets)
    found = check(checked(sets, {"sets": [given.curated.fingerprint]}))
    assert found["verdict"] == "unsure" and found["remedy"] == "curate more pairs, or raise reference.held_out"
    assert found["pairs"]["held_out"] == 0 and "auc" not in found


def test_what_is_measured_is_what_the_training_left_out(sets: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    looked: dict[str, np.ndarray] = {}

    def look(clip, towers, manifest, rows):
        looked.setdefault(f"{manifest.fingerprint} {len(rows)}", rows)
        return embed_colours(clip, towers, manifest, rows)

    monkeypatch.setattr(checking, "embed_rows", look)
    given = checked(sets)
    check(given)
    rows, held = split_rows(given.curated, 0.25)
    assert np.array_equal(looked[f"{given.curated.fingerprint} 30"], held)
    assert np.array_equal(looked[f"{given.curated.fingerprint} 90"], rows)


def test_a_check_is_named_by_all_that_decides_it(sets: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    given = checked(sets)
    names = {
        given.fingerprint,
        replace(given, pool=given.curated).fingerprint,
        replace(given, curated=given.pool).fingerprint,
    }
    names.add(checked(sets, {"sets": [given.curated.fingerprint], "held_out": 12}).fingerprint)
    monkeypatch.setattr(checking, "THRESHOLDS", {})
    names.add(checked(sets).fingerprint)
    assert len(names) == 5


def test_a_reference_of_another_curated_set_is_refused(sets: dict[str, Path]) -> None:
    with pytest.raises(
        UserError,
        match="the reference was trained on another curated set than .*; run `kedro run --pipelines reference` again",
    ):
        checked(sets, {"sets": ["another"]})


def test_rare_concepts_are_those_of_small_clusters_in_the_pool() -> None:
    """Many captions around each of two directions, and few around eight others; held-out pairs are of all ten."""
    rng = np.random.default_rng(0)
    concepts = np.concatenate(
        [np.repeat(np.arange(2), 180), np.repeat(np.arange(2, 10), 5), np.repeat(np.arange(10), 3)]
    )
    texts = torch.from_numpy(np.eye(16)[concepts] + 0.01 * rng.normal(size=(430, 16)))
    pool, held = (Pairs(part, part, [""] * len(part), 1.0, 0.0, "sigmoid") for part in (texts[:400], texts[400:]))
    rare = rare_concepts(pool, held)
    assert rare.sum() >= 12 and set(concepts[400:][rare]).isdisjoint({0, 1})
    assert not rare_concepts(pool, replace(held, text_nD=texts[:30], captions=[""] * 30)).all()


@pytest.mark.parametrize(
    ("settings", "uses"),
    [
        (LearnerSettings(), False),
        (LearnerSettings(warm_start=True), True),
        (LearnerSettings(pool=PoolSettings(keep_share=0.5)), True),
        (LearnerSettings(selection=SelectionSettings("joint")), True),
        (LearnerSettings(selection=SelectionSettings("joint", criterion="hard_learner")), False),
    ],
)
def test_the_record_of_a_run_that_uses_the_reference_has_the_verdict(
    settings: LearnerSettings, uses: bool, tmp_path: Path
) -> None:
    write_json(tmp_path / "superbatch.json", {"weights_sha256": "these"})
    write_json(
        tmp_path / CHECK, {"verdict": "helps", "line": "it helps", "remedy": "", "auc": {}, "reference": "these"}
    )
    given = Directories(*[tmp_path] * 8, reference_check=tmp_path)
    verdict = {"reference_check": {"verdict": "helps", "line": "it helps", "remedy": ""}}
    assert remarks(settings, given) == (verdict if uses else {})
    assert remarks(settings, replace(given, reference_check=None)) == {}
    write_json(tmp_path / "superbatch.json", {"weights_sha256": "others"})
    assert remarks(settings, given) == {}
