"""Any open_clip checkpoint as the reference: other architecture, loss, image size, context length and tokenizer than the learner's."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.curation.held_out import held_out_rows
from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache, embeddings_file
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.reader import ImageReader
from superbatch.data.writing import Sample, write_shard
from superbatch.errors import UserError
from superbatch.models import build_model, checkpoint_directory, load_checkpoint, read_metadata, save_checkpoint
from superbatch.models.flexible import LowView
from superbatch.models.towers import Towers
from superbatch.options import (
    EmbedSettings,
    FlexiSettings,
    LearnerSettings,
    LowSettings,
    ModelSettings,
    PoolSettings,
    ReferenceSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.tasks import SetFiles, embed, import_reference, learner_job, reference_job
from superbatch.tasks.charges import charged, charges
from superbatch.tasks.contrastive import CACHED
from superbatch.tasks.held_out import METRIC
from superbatch.tasks.learner import check_sizes
from superbatch.tasks.reference import check_reference, split_rows
from superbatch.tasks.trusted import held_out_scores
from superbatch.training import train
from superbatch.training.flops import Spent
from tests.tiny_model import tiny_model_cfg

ROWS = 40
THEIRS = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 24, "patch_size": 12, "width": 48, "layers": 1, "head_width": 16},
    # Another tokenizer: captions are lower-cased and lose their punctuation before CLIP's vocabulary is applied.
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "tokenizer_kwargs": {"clean": "canonicalize"}},
}  # fmt: skip
INPUT = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}


def write_theirs(folder: Path, model_cfg: dict = THEIRS) -> Path:
    """Save a softmax model as open_clip's users do: its own weights and configuration, nothing of ours."""
    torch.manual_seed(5)
    kind = open_clip.CustomTextCLIP if model_cfg.get("custom_text") else open_clip.CLIP
    plain = {
        key: {k: v for k, v in value.items() if k not in ("hf_tokenizer_name", "tokenizer_kwargs")}
        if isinstance(value, dict)
        else value
        for key, value in model_cfg.items()
    }
    plain.pop("custom_text", None)
    folder.mkdir()
    save_file(kind(**plain).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": INPUT}))
    return folder


def picture(number: int) -> bytes:
    rng, stream = np.random.default_rng(number), io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    samples = [
        Sample(f"{number:03d}", {"png": picture(number), "txt": f"Picture, number {number}!".encode()})
        for number in range(ROWS)
    ]
    write_shard(tmp_path / "00000.tar", samples)
    ingest([tmp_path / "00000.tar"], tmp_path / "set")
    return tmp_path / "set"


def imported(folder: Path, theirs: Path, pool: Path, loss: str = "sigmoid") -> Path:
    """Import a checkpoint with some loss; returns the reference's directory."""
    settings = ReferenceSettings(import_from=str(theirs), training=TrainingSettings(loss=loss, device="cpu"))
    model, record = import_reference(settings, SetFiles(pool), folder / "stages", lambda clip: {"set/top1": 0.5})
    summary = json.loads((record.path / "run.json").read_text())
    assert summary["plan"]["steps"] == 0
    assert summary["final"] == {"set/top1": 0.5}
    assert summary["flops"]["charged_total"] == 0
    return model.path


def learner_settings(folder: Path, loss: str) -> LearnerSettings:
    (folder / "learner.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    return LearnerSettings(
        ModelSettings(config=str(folder / "learner.json")),
        selection=SelectionSettings("joint", filter_ratio=0.75, num_chunks=2),
        training=TrainingSettings(batch_size=8, steps=3, loss=loss, device="cpu"),
    )


def train_with(folder: Path, reference: Path, pool: Path, loss: str):
    """Embed the pool with the reference and train a learner of three steps on joint picks."""
    settings = learner_settings(folder, loss)
    embed_pool(folder, reference, pool, settings)
    return train(learner_of(folder, reference, pool, settings))


def embed_pool(folder: Path, reference: Path, pool: Path, settings: LearnerSettings) -> None:
    view = build_model(settings.model, loss=settings.training.loss, batch_size=8, seed=0)
    embed(SetFiles(pool, folder / "features"), reference, learner=view, settings=EmbedSettings(device="cpu", jobs=1))


def reconfigure(checkpoint: Path, block: str, key: str, value: object) -> None:
    """Change one entry of a checkpoint's configuration; its weights stay."""
    file = checkpoint / "open_clip_config.json"
    config = json.loads(file.read_text())
    config[block][key] = value
    file.write_text(json.dumps(config))


def learner_of(folder: Path, reference: Path, pool: Path, settings: LearnerSettings):
    return learner_job("jest", settings, SetFiles(pool, folder / "features"), folder / "state", reference_dir=reference)


def expected_embeddings(theirs: Path, pool: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """What open_clip itself makes of the pool's images (in the model's size and normalisation) and captions."""
    model = open_clip.create_model(f"local-dir:{theirs}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{theirs}")
    manifest = read_manifest(pool)
    pixels = torch.from_numpy(ImageReader(manifest, 24).read(np.arange(ROWS))).float() / 255
    mean, std = (torch.tensor(INPUT[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        images = model.encode_image((pixels - mean) / std, normalize=True)
        return images, model.encode_text(tokenizer(manifest.first_captions()), normalize=True)


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_reference_embed_and_learner_from_a_foreign_checkpoint(tmp_path: Path, pool: Path, loss: str) -> None:
    theirs = write_theirs(tmp_path / "theirs")
    reference = imported(tmp_path, theirs, pool, loss)
    result = train_with(tmp_path, reference, pool, loss)

    cache = EmbeddingCache(tmp_path / "features" / EMBEDDINGS)
    for found, expected in zip(cache.rows(np.arange(ROWS)), expected_embeddings(theirs, pool), strict=True):
        assert np.allclose(found, expected.numpy(), atol=2e-3), "float16 of what open_clip gives"
    assert len(list((tmp_path / "features").glob("pixels-*"))) == 2, "packed for 24 and for 16 pixels"
    assert len(list((tmp_path / "features").glob("tokens-*"))) == 2, "for two tokenizers"
    ledger = pq.read_table(result.training_dir / "ledger.parquet").to_pydict()
    assert ledger["step"] == [0, 1, 2]
    assert np.isfinite(ledger["loss"]).all() and np.isfinite(ledger["score_pick"]).all()
    picks = pq.read_table(result.training_dir / "picks.parquet")
    assert picks.filter(picks["chosen"]).num_rows == 3 * 8


def test_scale_and_bias_are_fitted_where_the_sigmoid_loss_needs_them(tmp_path: Path, pool: Path) -> None:
    theirs = write_theirs(tmp_path / "theirs")
    fitted = read_metadata(imported(tmp_path / "a", theirs, pool, "sigmoid"))["calibrated"]
    assert fitted["loss_after"] < fitted["loss_before"]
    assert load_checkpoint(tmp_path / "theirs").scale_and_bias()[1] == 0.0
    reference = imported(tmp_path / "b", theirs, pool, "sigmoid")
    assert load_checkpoint(reference).scale_and_bias() == pytest.approx((fitted["scale"], fitted["bias"]), rel=1e-4)
    assert "calibrated" not in read_metadata(imported(tmp_path / "c", theirs, pool, "softmax"))


def write_word_tokenizer(folder: Path) -> None:
    """A Hugging Face tokenizer of a dozen words, in files."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {
        word: number for number, word in enumerate(["[PAD]", "[UNK]", "picture", "number", *map(str, range(ROWS))])
    }
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)


def test_an_import_by_address_is_that_of_the_folder(
    tmp_path: Path, pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts which weights they are, not where they lie; a process keeps to the copy that it has."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    theirs, memory = write_theirs(tmp_path / "theirs"), fsspec.filesystem("memory")
    memory.put(str(theirs), "/references/theirs", recursive=True)
    settings = [
        ReferenceSettings(import_from=name, training=TrainingSettings(loss="softmax", device="cpu"))
        for name in (str(theirs), "memory://references/theirs")
    ]
    made = [
        import_reference(one, SetFiles(pool), tmp_path / "stages", lambda clip: {"set/top1": 0.5})[0]
        for one in settings
    ]
    assert made[0] == made[1]
    memory.rm("/references", recursive=True)
    assert checkpoint_directory("memory://references/theirs").is_dir()


def test_a_hugging_face_tokenizer_travels_with_the_reference(tmp_path: Path, pool: Path) -> None:
    pytest.importorskip("transformers")
    text = {
        "context_length": 6,
        "vocab_size": 64,
        "width": 32,
        "heads": 2,
        "layers": 1,
        "hf_tokenizer_name": "nobody/words",
    }
    siglip = {"no_causal_mask": True, "pool_type": "last", "tokenizer_kwargs": {"clean": "canonicalize"}}
    theirs = write_theirs(tmp_path / "theirs", {**THEIRS, "custom_text": True, "text_cfg": text | siglip})
    write_word_tokenizer(theirs)
    reference = imported(tmp_path, theirs, pool)
    assert load_checkpoint(reference).tokenizer_id == load_checkpoint(theirs).tokenizer_id
    assert load_checkpoint(reference).tokenizer()(["Picture, number 3!"]).tolist() == [[2, 3, 7, 0, 0, 0]]
    train_with(tmp_path, reference, pool, "sigmoid")
    (theirs / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="no tokenizer could be read"):
        load_checkpoint(theirs).tokenizer()


def test_a_tokenizers_id_tells_its_options(tmp_path: Path) -> None:
    ours = load_checkpoint(write_theirs(tmp_path / "a"))
    plain = {**THEIRS, "text_cfg": {k: v for k, v in THEIRS["text_cfg"].items() if k != "tokenizer_kwargs"}}
    other = load_checkpoint(write_theirs(tmp_path / "b", plain))
    assert other.tokenizer_id == "SimpleTokenizer"
    assert ours.tokenizer_id not in ("SimpleTokenizer", other.tokenizer_id)
    assert ours.tokenizer()(["A, b!"]).tolist() != other.tokenizer()(["A, b!"]).tolist()
    save_checkpoint(tmp_path / "c", ours, {})
    assert load_checkpoint(tmp_path / "c").tokenizer_id == ours.tokenizer_id


@pytest.mark.parametrize(
    "change",
    [("preprocess_cfg", "mean", [0.1, 0.5, 0.6]), ("model_cfg", "quick_gelu", True)],
    ids=["mean", "quick_gelu"],
)
def test_a_cache_of_other_pixels_is_refused(tmp_path: Path, pool: Path, change: tuple[str, str, object]) -> None:
    """The same weights with another mean, or another activation, make other embeddings: by the cache's name, and by the run's hash."""
    theirs = write_theirs(tmp_path / "theirs")
    reference = imported(tmp_path, theirs, pool, "softmax")
    train_with(tmp_path, reference, pool, "softmax")
    settings = learner_settings(tmp_path, "softmax")
    usual = learner_of(tmp_path, reference, pool, settings).run_hash
    reconfigure(reference, *change)
    with pytest.raises(
        UserError,
        match=r"features: embeddings that the reference made with another configuration .*; run `kedro run --pipelines embed` again",
    ):
        learner_of(tmp_path, reference, pool, settings)
    embed_pool(tmp_path, reference, pool, settings)
    assert learner_of(tmp_path, reference, pool, settings).run_hash != usual


def test_an_import_of_the_same_weights_with_another_configuration_is_another(tmp_path: Path, pool: Path) -> None:
    theirs = write_theirs(tmp_path / "theirs")
    first = imported(tmp_path, theirs, pool, "softmax")
    reconfigure(theirs, "preprocess_cfg", "mean", [0.1, 0.5, 0.6])
    second = imported(tmp_path, theirs, pool, "softmax")
    assert first != second and load_checkpoint(second).mean_std[0] == (0.1, 0.5, 0.6)


def test_an_import_still_says_how_its_pictures_were_fitted(
    tmp_path: Path, pool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = write_theirs(tmp_path / "theirs")
    reconfigure(theirs, "preprocess_cfg", "resize_mode", "squash")
    found = load_checkpoint(imported(tmp_path, theirs, pool, "softmax"))
    assert found.config["preprocess_cfg"]["resize_mode"] == "squash"
    assert f"{theirs}: says resize_mode squash, and is shown the centre square here" in caplog.text


@pytest.mark.parametrize("criterion", ["learnability", "easy_reference"])
def test_a_softmax_reference_under_a_sigmoid_learner_is_refused(tmp_path: Path, pool: Path, criterion: str) -> None:
    theirs = write_theirs(tmp_path / "theirs")
    reference = imported(tmp_path, theirs, pool, "softmax")
    train_with(tmp_path, reference, pool, "softmax")
    settings = learner_settings(tmp_path, "sigmoid")
    with pytest.raises(
        UserError,
        match=r"learner\.training\.loss: sigmoid, but the reference was trained with softmax: .*; train both with one loss, or name",
    ):
        learner_of(
            tmp_path, reference, pool, replace(settings, selection=replace(settings.selection, criterion=criterion))
        )
    learner_of(
        tmp_path, reference, pool, replace(settings, selection=SelectionSettings(), pool=PoolSettings(keep_share=0.5))
    )
    learner_of(
        tmp_path, reference, pool, replace(settings, selection=replace(settings.selection, criterion="hard_learner"))
    )


def reference_of(folder: Path, curated: Path, held_out: float, **training: Any):
    (folder / "reference.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    model = ModelSettings(config=str(folder / "reference.json"))
    settings = ReferenceSettings(
        model, TrainingSettings(batch_size=8, steps=8, device="cpu", **training), held_out=held_out
    )
    return reference_job(settings, SetFiles(curated), folder / "state")


def test_a_reference_that_sees_all_has_the_hash_that_it_had_before_any_was_held_out(tmp_path: Path, pool: Path) -> None:
    job = reference_of(tmp_path, pool, 0.0)
    assert set(job.full_identity) == {"format", "training", "selection", "B", "model", "sets"}
    assert job.source.rows is None
    assert reference_of(tmp_path, pool, 0.01).run_hash == job.run_hash, "no row of forty"


def test_a_reference_never_sees_what_is_held_out(tmp_path: Path, pool: Path) -> None:
    job, manifest = reference_of(tmp_path, pool, 0.2), read_manifest(pool)
    rows, held_out = split_rows(manifest, 0.2)
    assert len(held_out) == 8 and sorted([*rows, *held_out]) == list(range(ROWS))
    assert job.full_identity["held_out"] == 8 and job.run_hash != reference_of(tmp_path, pool, 0.0).run_hash
    picks = pq.read_table(train(job).training_dir / "picks.parquet")["row"].to_pylist()
    assert set(picks) == set(rows), "two epochs of four batches"


def test_held_out_pairs_of_one_caption_choose_no_checkpoint(tmp_path: Path) -> None:
    """Nothing can be measured on them: no image has another caption to be told from."""
    samples = [Sample(f"{k}", {"png": picture(k), "txt": b"image"}) for k in range(ROWS)]
    write_shard(tmp_path / "00000.tar", samples)
    ingest([tmp_path / "00000.tar"], tmp_path / "set")
    job = reference_of(tmp_path, tmp_path / "set", 0.2, keep_best=METRIC, patience=1, evaluate_every=4)
    assert job.full_identity["held_out"] == 8 and job.evaluate is None
    assert (job.training.keep_best, job.training.patience) == (None, 0)
    assert train(job).summary["plan"]["steps"] == 8


def test_a_batch_must_fit_into_what_is_left_for_training() -> None:
    settings = ReferenceSettings(training=TrainingSettings(batch_size=33))
    check_reference(settings, 33, 7)
    check_reference(replace(settings, import_from="theirs"), 32, 8)
    with pytest.raises(
        UserError, match=r"33 pairs are more than the 32 of the curated set that are not held out \(8 are\); lower it"
    ):
        check_reference(settings, 32, 8)


def test_a_learner_over_levelled_clusters(tmp_path: Path, pool: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It trains on the rows that the filter kept, which its hash names; a filter without clusters has the hash of ever."""
    reference = imported(tmp_path, write_theirs(tmp_path / "theirs"), pool)
    settings = replace(learner_settings(tmp_path, "sigmoid"), selection=SelectionSettings())
    embed_pool(tmp_path, reference, pool, settings)

    def job(**filtered: float):
        return learner_of(tmp_path, reference, pool, replace(settings, pool=PoolSettings(**filtered)))

    plain, clustered = job(keep_share=0.5), job(keep_share=0.5, clusters=4, balance=1.0)
    assert plain.run_hash == fingerprint(plain.full_identity | {"pool": {"keep_share": 0.5, "add_curated": False}})
    assert "kept_rows" not in plain.full_identity and plain.run_hash != clustered.run_hash
    with caplog.at_level("INFO"):
        assert job(keep_share=0.5, clusters=4, balance=1.0).run_hash == clustered.run_hash
    assert (
        "jest: keeps 20 of 40 rows, the best of each of 4 clusters by reference score; effective number" in caplog.text
    )
    rows = clustered.source.rows
    assert len(rows) == 20 and set(rows) != set(plain.source.rows)
    picks = pq.read_table(train(clustered).training_dir / "picks.parquet")
    assert set(picks["row"].to_pylist()) <= set(rows)
    with pytest.raises(UserError, match=r"^pool\.clusters: 41 clusters of 40 rows; use 40 or fewer"):
        check_sizes(replace(settings, pool=PoolSettings(keep_share=0.5, clusters=41)), SetFiles(pool), SetFiles(pool))


LOW = LowSettings(patch_size=16)


def low_learner(folder: Path, view: str) -> LearnerSettings:
    """A learner that scores in patches of 16, and the view of its reference's cache."""
    return replace(learner_settings(folder, "sigmoid"), flexi=FlexiSettings(LOW, reference=view))


def test_the_low_view_has_a_cache_of_its_own_beside_the_other(tmp_path: Path, pool: Path) -> None:
    settings, reference = low_learner(tmp_path, "low"), tmp_path / "reference"
    clip = build_model(settings.model, loss="sigmoid", batch_size=8, seed=7)
    save_checkpoint(reference, clip, {})
    embed_pool(tmp_path, reference, pool, settings)
    at_full = low_learner(tmp_path, "full")
    hashes = {learner_of(tmp_path, reference, pool, at_full).run_hash}
    with pytest.raises(UserError, match=r"did not embed this set in the low view \(patch16\); set embed\.low to fl"):
        learner_of(tmp_path, reference, pool, settings)

    before = (tmp_path / "features" / EMBEDDINGS).read_bytes()
    files, how = SetFiles(pool, tmp_path / "features"), EmbedSettings(device="cpu", jobs=1, low=LOW)
    embed(files, reference, learner=clip, settings=how)
    assert (tmp_path / "features" / EMBEDDINGS).read_bytes() == before, "jest goes on as ever"
    cache = EmbeddingCache(tmp_path / "features" / embeddings_file(LOW))
    towers = Towers.of(clip, torch.device("cpu"), "fp32")
    pixels = torch.from_numpy(ImageReader(read_manifest(pool), 16).read(np.arange(ROWS)))
    with torch.no_grad():
        expected = towers.images(pixels, LowView(clip, LOW).encode_image)
    assert np.allclose(cache.rows(np.arange(ROWS))[0], expected.numpy(), atol=2e-3)
    job = learner_of(tmp_path, reference, pool, settings)
    assert np.array_equal(job.source.fields["reference_image"].read(np.arange(4), 0), cache.images(np.arange(4)))
    assert job.run_hash not in hashes
    spent = json.loads((tmp_path / "features" / "features.json").read_text())
    assert 0 < spent["flops_low"] < spent["flops"]
    assert min(spent["seconds"], spent["seconds_low"]) > 0 and "seconds_decoding" in spent
    (tmp_path / "features" / EMBEDDINGS).rename(tmp_path / "features" / embeddings_file(LOW))
    with pytest.raises(UserError, match="embeddings that the reference made with another configuration"):
        learner_of(tmp_path, reference, pool, settings)


def test_what_was_spent_before_is_charged_to_whoever_owes_it(tmp_path: Path) -> None:
    training, features = tmp_path / "training", tmp_path / "features"
    record = {"flops": {"as_executed_total": 5e9}, "seconds": {"seconds_train": 2.0, "seconds_data": 1.0}}
    write_json(training / "run.json", record)
    embedded = {"flops": 3e9, "seconds": 4.0, "flops_low": 1e9, "seconds_low": 2.0, "seconds_decoding": 6.0}
    write_json(features / "features.json", embedded)
    spent = charges(training, features)
    assert spent == {"reference_training": Spent(5e9, 3.0), "embedding": Spent(3e9, 4.0), "decoding": Spent(0.0, 6.0)}
    assert charges(training, features, LOW)["embedding"] == Spent(1e9, 2.0)
    plain = LearnerSettings(training=TrainingSettings())
    for settings, uses_cache, owed in (
        (plain, False, {"decoding"}),
        (replace(plain, warm_start=True), False, {"decoding", "reference_training"}),
        (plain, True, set(spent)),
    ):
        assert set(charged(settings, uses_cache, spent)) == owed
    write_json(features / "features.json", {"flops": 3e9})
    older = charges(training, features)
    assert older["embedding"] == Spent(3e9, None) and "decoding" not in older


def test_a_reference_may_be_trained_at_both_views(tmp_path: Path, pool: Path) -> None:
    settings = learner_settings(tmp_path, "sigmoid")
    plain = ReferenceSettings(settings.model, settings.training)
    job = reference_job(replace(plain, flexi=FlexiSettings(LOW)), SetFiles(pool), tmp_path / "state")
    assert job.run_hash != reference_job(plain, SetFiles(pool), tmp_path / "state").run_hash
    summary = train(job).summary
    assert summary["flops"]["forward_low"] < summary["flops"]["forward_per_sample"] < summary["flops"]["forward_full"]
    assert load_checkpoint(job.state_dir / "final").image_size == 16


def test_a_low_view_that_is_none_is_refused_before_a_reference_is_trained(tmp_path: Path, pool: Path) -> None:
    settings = replace(learner_settings(tmp_path, "sigmoid"), flexi=FlexiSettings(LowSettings(patch_size=12)))
    with pytest.raises(UserError, match=r"flexi\.low\.patch_size: patches of 12 pixels do not divide an image of 16"):
        check_sizes(settings, SetFiles(pool), SetFiles(pool))


def test_a_learner_over_rows_that_score_like_held_out_pairs(
    tmp_path: Path, pool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run is the one that the share found would have given, and trains on no row that scores below the line."""
    reference = imported(tmp_path, write_theirs(tmp_path / "theirs"), pool)
    settings = replace(learner_settings(tmp_path, "sigmoid"), selection=SelectionSettings())
    embed_pool(tmp_path, reference, pool, settings)
    write_json(tmp_path / "run.json", {"settings": {"sets": [read_manifest(pool).fingerprint], "held_out": 10}})
    curated = SetFiles(pool, tmp_path / "features")  # the same set serves as both

    def job(filtered: PoolSettings):
        known = partial(held_out_scores, curated, reference, tmp_path)
        asked, state = replace(settings, pool=filtered), tmp_path / "state"
        return learner_job("filtered", asked, curated, state, reference_dir=reference, known=known)

    with caplog.at_level("INFO"):
        found = job(PoolSettings(like_curated=0.7))
    scores = EmbeddingCache(tmp_path / "features" / EMBEDDINGS).pair_scores()
    held = held_out_rows(read_manifest(pool).column("sha256").to_pylist(), 10)
    kept = np.flatnonzero(scores >= np.sort(scores[held])[2])
    assert list(found.source.rows) == kept.tolist() and 0 < len(kept) < ROWS
    assert found.run_hash == job(PoolSettings(keep_share=round(len(kept) / ROWS, 4))).run_hash
    assert "% of the pool scores like 70 % of the 10 curated pairs that the reference was not trained on" in caplog.text
    with pytest.raises(UserError, match=r"^pool\.like_curated: needs `known`, which was not given"):
        learner_of(tmp_path, reference, pool, replace(settings, pool=PoolSettings(like_curated=0.7)))
    with pytest.raises(
        UserError, match=r"^embed: the curated set has no embeddings; run `kedro run --pipelines embed` first"
    ):
        held_out_scores(SetFiles(pool), reference, tmp_path)


def test_whoever_asks_no_reference_needs_none_and_pays_for_none(tmp_path: Path, pool: Path) -> None:
    settings = learner_settings(tmp_path, "sigmoid")
    alone = replace(settings, selection=replace(settings.selection, criterion="hard_learner"))
    spent = {name: Spent(1.0, 1.0) for name in ("reference_training", "embedding", "decoding")}
    job = learner_job("hard", alone, SetFiles(pool), tmp_path / "state", charges=spent)
    assert set(job.charges) == {"decoding"} and "reference" not in job.identity
    assert not set(CACHED) & set(job.task.reads.scoring)


@pytest.mark.parametrize("compact", [True, False])
def test_more_token_ids_than_the_model_knows(tmp_path: Path, pool: Path, compact: bool) -> None:
    """CLIP's tokenizer beside a model that was made for another one: an IndexError at the first step."""
    settings = learner_settings(tmp_path, "sigmoid")
    file = Path(settings.model.config)
    config = json.loads(file.read_text())
    config["model_cfg"]["text_cfg"]["vocab_size"] = 32_000
    file.write_text(json.dumps(config))
    with pytest.raises(
        UserError,
        match=r"learner.json: text_cfg.vocab_size: is 32,000, and the tokenizer gives id 49,407; name the tokenizer that",
    ):
        learner_job(
            "uniform",
            replace(settings, model=replace(settings.model, compact_vocabulary=compact), selection=SelectionSettings()),
            SetFiles(pool),
            tmp_path / "state",
        )
