"""Labels from ingested sets to a reference, its losses, a learner and back: what fits is trained, what does not is one line."""

from __future__ import annotations

import json
import pickle
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from superbatch.artifacts.atomic import write_json
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.reader import ImageReader
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.errors import UserError
from superbatch.models import read_metadata
from superbatch.models.classifier import load_classifier
from superbatch.models.towers import Towers
from superbatch.options import (
    EmbedSettings,
    LabelSettings,
    LearnerSettings,
    ModelSettings,
    PoolSettings,
    ReferenceSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.tasks import SetFiles, embed, label_job, label_reference_job, learner_job, reference_job
from superbatch.tasks.charges import charges
from superbatch.tasks.label_jobs import labelled_rows
from superbatch.tasks.labels import LOSSES, Labels, RowLosses, drawn_rows, labelled
from superbatch.tasks.learner import check_sizes
from superbatch.training import train
from tests.tiny_model import tiny_model_cfg

NAMES = ("fox", "sea", "house")
POOL, CURATED = 60, 40


def write_set(folder: Path, rows: int) -> Path:
    """Pictures of three tints; every third has no .cls, and a caption that names no class or two."""
    rng, samples = np.random.default_rng(rows), []
    for row in range(rows):
        pixels = rng.integers(0, 120, (16, 16, 3), np.uint8)
        pixels[..., row // 3 % 3] += 100
        named = f"a {NAMES[row // 3 % 3]}, drawn" if row % 3 else ("a fox by the sea" if row % 2 else "a picture")
        parts = {"png": encode_image(pixels, "png"), "txt": named.encode()}
        samples.append(Sample(f"{row:03d}", parts | ({"cls": str(row // 3 % 3).encode()} if row % 3 else {})))
    write_shard(folder / "00000.tar", samples)
    ingest([folder / "00000.tar"], folder / "set")
    return folder / "set"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("labelled")
    return write_set(folder / "pool", POOL), write_set(folder / "curated", CURATED)


@pytest.fixture
def settings(tmp_path: Path) -> LearnerSettings:
    """ClassAct's, with a model and a list of classes in `tmp_path`."""
    (tmp_path / "model.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    (tmp_path / "classnames.txt").write_text("\n".join(NAMES))
    model = ModelSettings(config=str(tmp_path / "model.json"))
    return LearnerSettings(
        model,
        selection=SelectionSettings("independent", 0.5, gain=1.0, proxy=model),
        training=TrainingSettings(batch_size=8, steps=3, loss="softmax", device="cpu", threads=1, evaluate_every=3),
        labels=LabelSettings(str(tmp_path / "classnames.txt")),
        reference="reference_labels",
    )


def reference_of(settings: LearnerSettings, sets: tuple[Path, Path], tmp_path: Path, held_out: float = 0.3):
    """Train a reference of labels; returns its result."""
    training = replace(settings.training, steps=20, evaluate_every=5, keep_best="held_out/top1", patience=2)
    wanted = ReferenceSettings(settings.model, training, held_out=held_out, labels=settings.labels)
    return train(label_reference_job(wanted, SetFiles(sets[1]), tmp_path / "state"))


def features_of(settings: LearnerSettings, reference: Path, directory: Path, out: Path) -> Path:
    embed(SetFiles(directory, out), reference, settings=EmbedSettings(batch=7, device="cpu", jobs=1))
    return out


def test_labels_come_from_cls_or_captions(sets, settings):
    manifest = read_manifest(sets[0])
    expected = np.where(np.arange(POOL) % 3 == 0, -1, np.arange(POOL) // 3 % 3)
    for by in ("cls", "captions"):
        found = Labels.of(replace(settings.labels, by=by)).rows(manifest)
        assert found.tolist() == expected.tolist()
        assert labelled(found).tolist() == np.flatnonzero(expected >= 0).tolist()
    assert drawn_rows(settings.labels, [SetFiles(one) for one in sets]) == 40 + 26
    assert labelled(np.array([0, 1])) is None


def test_a_reference_its_losses_and_a_learner(sets, settings, tmp_path):
    made = reference_of(settings, sets, tmp_path)
    assert made.summary["settings"]["held_out"] > 4 and 0 <= made.summary["final"]["held_out/top1"] <= 1
    assert made.summary["settings"]["labels"]["by"] == "cls"
    features, manifest = features_of(settings, made.model_dir, sets[0], tmp_path / "features"), read_manifest(sets[0])
    losses, told = np.load(features / LOSSES), json.loads((features / "features.json").read_text())
    known = np.arange(POOL) % 3 != 0
    assert losses.dtype == np.float32 and np.isnan(losses[~known]).all() and told["labelled"] == known.sum() == 40
    classifier = load_classifier(made.model_dir)
    towers = Towers.of(classifier.clip, torch.device("cpu"), "fp32")
    with torch.no_grad():
        pixels = torch.from_numpy(ImageReader(manifest, 16).read(np.flatnonzero(known)))
        logits = classifier.logits(towers.images(pixels)).double()
    expected = cross_entropy(logits, torch.from_numpy(manifest.labels[known]), reduction="none")
    np.testing.assert_allclose(losses[known], expected.numpy(), rtol=1e-4, atol=1e-5)
    sent = pickle.dumps(RowLosses(features))  # to a worker: its path alone
    assert len(sent) < 1_000 and pickle.loads(sent).of_rows(np.array([4, 1])).tolist() == losses[[4, 1]].tolist()
    spent = charges(made.training_dir, features)
    job = label_job(
        "classact",
        settings,
        SetFiles(sets[0], features),
        tmp_path / "state",
        reference_dir=made.model_dir,
        charges=spent,
    )
    summary = train(job).summary
    assert summary["plan"]["rows"] == 40 and summary["plan"]["super_batch_size"] == 16
    assert summary["settings"]["reference"] == read_metadata(made.model_dir)["weights_sha256"]
    assert summary["flops"]["charged"] == {
        "reference_training": made.summary["flops"]["as_executed_total"],
        "embedding": told["flops"],
        "decoding": 0.0,
    }


def test_uniform_and_hard_learner_need_no_reference_and_pay_for_none(sets, settings, tmp_path):
    spent = {"decoding": 1, "reference_training": 2, "embedding": 3}
    for selection in (SelectionSettings(), SelectionSettings("independent", 0.5, "hard_learner")):
        plain = replace(settings, selection=selection)
        job = label_job("classify", plain, SetFiles(sets[0]), tmp_path / "state", charges=spent)
        assert "reference" not in job.identity and set(job.charges) == {"decoding"}
        assert not plain.uses_reference and plain.goes_by == "reference" and not plain.uses_embeddings
    both = replace(settings, selection=SelectionSettings(), pool=PoolSettings(add_curated=True))
    job = label_job("both", both, SetFiles(sets[0]), tmp_path / "state", curated=SetFiles(sets[1]))
    assert job.source.num_rows == 40 + 26
    batch = job.source.read(("image", "label"), np.arange(66), 0)
    assert batch["label"].min() >= 0 and batch.rows.max() >= POOL


def test_what_decides_the_outcome_is_in_the_hash(sets, settings, tmp_path):
    plain = replace(settings, selection=SelectionSettings())
    others = [
        plain,
        replace(plain, labels=replace(plain.labels, smoothing=0.0)),
        replace(plain, labels=replace(plain.labels, by="captions")),
        replace(plain, training=replace(plain.training, seed=1)),
    ]
    hashes = [label_job("a", one, SetFiles(sets[0]), tmp_path / "state").run_hash for one in others]
    Path(plain.labels.classnames).write_text("fox\nsea\nhome\n")
    hashes.append(label_job("a", plain, SetFiles(sets[0]), tmp_path / "state").run_hash)
    assert len(set(hashes)) == 5


def test_accents_written_apart_are_in_the_hash_where_captions_decide(sets, settings):
    """They cut words in two before, so those runs had other labels; all others keep their hash."""
    manifest, apart = read_manifest(sets[0]), unicodedata.normalize("NFD", "mansión")
    for names, by, new in ((NAMES, "captions", False), ((apart,), "captions", True), ((apart,), "cls", False)):
        assert ("accents" in Labels(names, by).identity_on(manifest)) == new


def test_held_out_rows_are_not_trained_on(sets, settings):
    wanted = ReferenceSettings(settings.model, settings.training, held_out=0.3, labels=settings.labels)
    trained, held_out = labelled_rows(wanted, read_manifest(sets[1]))
    assert len(trained) + len(held_out) == 26 and not set(trained) & set(held_out) and len(held_out) > 2


def refused(*lines: str):
    return pytest.raises(UserError, match=".*".join(lines))


def test_labels_that_no_row_has_are_refused_before_a_training(sets, settings, tmp_path):
    pool, curated = SetFiles(sets[0]), SetFiles(sets[1])
    plain = replace(settings, selection=SelectionSettings())
    check_sizes(plain, pool, curated)
    Path(settings.labels.classnames).write_text("cat\ndog\nmouse\n")
    with refused("labels.by: captions, and no caption says the name of one class alone", "use cls"):
        check_sizes(replace(plain, labels=replace(plain.labels, by="captions")), pool, curated)
    Path(settings.labels.classnames).write_text("fox\nsea\n")
    with refused("labels.classnames: names classes 0..1, and 007 has label 2"):
        check_sizes(plain, pool, curated)
    with refused("nowhere.txt: no such file of class names"):
        check_sizes(replace(plain, labels=LabelSettings("nowhere.txt")), pool, curated)
    many = replace(plain, training=replace(plain.training, batch_size=41), labels=settings.labels)
    Path(settings.labels.classnames).write_text("\n".join(NAMES))
    with refused("41", "40"):
        check_sizes(many, pool, curated)


def test_losses_of_another_reference_set_or_classes_are_refused(sets, settings, tmp_path):
    made = reference_of(settings, sets, tmp_path)
    features = features_of(settings, made.model_dir, sets[0], tmp_path / "features")
    state = tmp_path / "state"
    with refused("learner.reference: the pool has no losses of a reference of labels"):
        label_job("a", settings, SetFiles(sets[0]), state, reference_dir=made.model_dir)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in (LOSSES, "features.json"):
        shutil.copy(features / name, alone / name)
    with refused("losses of another reference, set or classes", "references"):
        label_job("a", settings, SetFiles(sets[1], alone), state, reference_dir=made.model_dir)
    other = replace(settings, labels=replace(settings.labels, by="captions"))
    with refused("losses of another reference, set or classes"):
        label_job("a", other, SetFiles(sets[0], features), state, reference_dir=made.model_dir)
    for selection in (settings.selection, SelectionSettings("independent", 0.5, "hard_learner")):
        with refused("pool.add_curated: cannot be combined with selection"):
            both = replace(settings, selection=selection, pool=PoolSettings(add_curated=True))
            label_job(
                "a", both, SetFiles(sets[0], features), state, reference_dir=made.model_dir, curated=SetFiles(sets[1])
            )
    pairs = replace(settings, labels=None)
    with refused("learner.reference: was trained on labels, which say nothing about pairs"):
        learner_job("a", pairs, SetFiles(sets[0], features), state, reference_dir=made.model_dir)
    write_json(features / "features.json", {})
    with refused("losses of another reference"):
        label_job("a", settings, SetFiles(sets[0], features), state, reference_dir=made.model_dir)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"training": TrainingSettings()}, "training.loss: is sigmoid, but classes need cross-entropy"),
        ({"warm_start": True}, "warm_start: takes a reference of pairs"),
        ({"pool": PoolSettings(keep_share=0.5)}, "pool: is filtered by scores of pairs"),
        ({"selection": SelectionSettings("joint")}, "selection.method: is joint"),
        ({"selection": SelectionSettings("independent", score="match")}, "selection.score: is match"),
    ],
)
def test_settings_of_pairs_are_refused_beside_labels(settings, changes, line):
    with refused(line):
        replace(settings, **changes)


def test_the_jobs_of_pairs_take_no_labels(sets, settings, tmp_path):
    with refused("learner.labels: are set, and this job is of image-text pairs; make it with label_job"):
        learner_job("a", settings, SetFiles(sets[0]), tmp_path / "state")
    wanted = ReferenceSettings(settings.model, settings.training, labels=settings.labels)
    with refused("reference.labels: are set, .* label_reference_job"):
        reference_job(wanted, SetFiles(sets[1]), tmp_path / "state")


def test_labels_without_classes_are_refused():
    with refused("labels.classnames: names no file"):
        LabelSettings()
    with refused(
        "labels.classnames: s3://b/names.txt: is an address, and class names are read from this machine; copy"
    ):
        LabelSettings("s3://b/names.txt")
    with refused("import_from: is a checkpoint of pairs, and labels are set"):
        ReferenceSettings(import_from="a", training=TrainingSettings(loss="softmax"), labels=LabelSettings("a"))
