"""From an ingested pool and a base to clusters, experts and a student: who trains on what, what it costs, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.data.ingest import ingest
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.dnc.clusters import ABOUT, GALLERY, open_clusters, write_clusters
from superbatch.dnc.experts import Divided, expert_jobs, expert_models, train_experts
from superbatch.dnc.student import build_student, spent_before
from superbatch.errors import UserError
from superbatch.models import read_metadata
from superbatch.options import AugmentSettings, LearnerSettings, MoclrSettings, ModelSettings, TrainingSettings
from superbatch.tasks import SetFiles
from superbatch.tasks.image_jobs import moclr_job
from superbatch.training import TrainResult, train
from tests.tiny_model import tiny_model_cfg
from tests.training.training_helpers import Killed, kill_after

POOL, BATCH = 60, 8
PLAIN = AugmentSettings(min_area=0.8, jitter=0, gray=0, blur=0)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> SetFiles:
    """Pictures of three tints, half of the first."""
    folder, rng, samples = tmp_path_factory.mktemp("pool"), np.random.default_rng(0), []
    for row in range(POOL):
        pixels = rng.integers(0, 40, (16, 16, 3), np.uint8)
        pixels[..., tint_of(row)] += 200
        samples.append(Sample(f"{row:03d}", {"png": encode_image(pixels, "png"), "txt": b"a picture"}))
    write_shard(folder / "00000.tar", samples)
    ingest([folder / "00000.tar"], folder / "set")
    return SetFiles(folder / "set")


def tint_of(row: int) -> int:
    return (0, 1, 0, 2)[row % 4]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> LearnerSettings:
    file = tmp_path_factory.mktemp("model") / "model.json"
    file.write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    training = TrainingSettings(batch_size=BATCH, steps=10, loss="softmax", device="cpu", threads=1, checkpoint_every=2)
    moclr = MoclrSettings(augment=PLAIN, hidden=8, projection=4)
    return LearnerSettings(ModelSettings(config=str(file)), training=training, moclr=moclr)


@pytest.fixture(scope="module")
def base(pool, settings, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(moclr_job("moclr", settings, pool, tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def divided(pool, base, tmp_path_factory: pytest.TempPathFactory) -> Divided:
    out = tmp_path_factory.mktemp("clusters")
    write_clusters(base.model_dir, pool, (3,), BATCH, out, batch=32, device="cpu")
    return Divided(pool, base.model_dir, out, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def experts(settings, divided, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_experts(expert_jobs(settings, 10, False, divided), tmp_path_factory.mktemp("stages")).path


def test_clusters_are_a_file_by_row_with_a_gallery(divided, base, pool):
    cluster_N, about = divided.owners(), json.loads((divided.clusters / ABOUT).read_text())
    assert adjusted_rand_score([tint_of(row) for row in range(POOL)], cluster_N) == 1, "by colour, as they look"
    assert (
        about["sizes"] == [30, 15, 15] and about["rows"] == POOL and about["base"] == base.summary["digests"]["weights"]
    )
    forward = base.summary["flops"]["forward_image"]
    assert about["flops"] == forward * POOL and not (divided.clusters / "representations.npy").exists()
    sheet = np.asarray(Image.open(divided.clusters / GALLERY))
    assert sheet.shape == (3 * 16, 20 * 16, 3)
    for number, strip in enumerate(sheet.reshape(3, 16, 20 * 16, 3)):
        tint = tint_of(int(np.flatnonzero(cluster_N == number)[0]))
        assert strip[:, : 15 * 16].reshape(-1, 3).argmax(1).tolist() == [tint] * (16 * 15 * 16)


def test_clusters_of_another_base_or_pool_are_one_line(divided, base, pool, tmp_path):
    with pytest.raises(UserError, match="no clusters were found; run `kedro run --pipeline=dnc` again"):
        open_clusters(tmp_path, base.model_dir, pool.manifest())
    other = tmp_path / "other"
    other.mkdir()
    (other / "superbatch.json").write_text('{"weights_sha256": "another"}')
    with pytest.raises(UserError, match="has clusters of another base or pool"):
        open_clusters(divided.clusters, other, pool.manifest())


def test_an_expert_draws_from_its_cluster_alone_and_all_cost_one_run(settings, divided, base, experts):
    jobs, cluster_N = expert_jobs(settings, 10, False, divided), divided.owners()
    assert [job.training.steps for job in jobs] == [5, 3, 2]
    for number, job in enumerate(jobs):
        drawn = job.source.manifest_rows(np.arange(job.source.num_rows))
        assert set(drawn.tolist()) == set(np.flatnonzero(cluster_N == number).tolist())
        assert job.recipe is not None and job.recipe().run_hash == job.run_hash
    spent = json.loads((experts / "spent.json").read_text())
    assert spent["flops"] == pytest.approx(base.summary["flops"]["as_executed_total"]) and spent["steps"] == 10
    weights = [read_metadata(model)["weights_sha256"] for model in expert_models(experts)]
    assert len(set(weights)) == 3 and weights[0] == file_sha256(experts / "0" / "model" / "open_clip_model.safetensors")


def test_experts_may_start_from_the_base(settings, divided, base):
    (scratch, *_), (warm, *_) = (expert_jobs(settings, 10, start, divided) for start in (False, True))
    assert scratch.run_hash != warm.run_hash
    assert warm.full_identity["model"]["pretrained"] == base.summary["digests"]["weights"]


def test_killed_among_the_experts_it_goes_on_where_it_was(settings, divided, experts, tmp_path, monkeypatch):
    elsewhere = replace(divided, state_root=tmp_path / "state")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 7)  # in the second expert
        train_experts(expert_jobs(settings, 10, False, elsewhere), tmp_path / "stages")
    again = train_experts(expert_jobs(settings, 10, False, elsewhere), tmp_path / "stages").path
    digests = [[read_metadata(model)["weights_sha256"] for model in expert_models(one)] for one in (experts, again)]
    assert digests[0] == digests[1]
    with monkeypatch.context() as patch:
        kill_after(patch, 0)  # would die, were anything trained again
        train_experts(expert_jobs(settings, 10, False, elsewhere), tmp_path / "stages")


def test_a_student_learns_from_all_and_is_charged_for_what_led_to_it(settings, divided, base, experts, tmp_path):
    job = build_student("dnc", settings, divided, base.training_dir, experts, tmp_path)
    job.evaluate = None
    batch = job.source.read(job.task.reads.training, np.arange(POOL), 0)
    assert batch["owner"].tolist() == divided.owners().tolist() and len(job.task.teachers) == 4
    assert job.recipe is not None and job.recipe().run_hash == job.run_hash
    summary = train(job).summary
    spent = {name: one.flops for name, one in spent_before(base.training_dir, divided.clusters, experts).items()}
    assert summary["flops"]["charged"] == spent and min(spent.values()) > 0 and "student" in summary["settings"]
    assert summary["flops"]["charged_total"] == pytest.approx(
        summary["flops"]["as_executed_total"] + sum(spent.values())
    )


def test_what_decides_the_students_outcome_is_in_its_hash(settings, divided, base, experts, tmp_path):
    def hash_of(wanted: LearnerSettings = settings, one: Path = experts) -> str:
        return build_student("dnc", wanted, divided, base.training_dir, one, tmp_path).run_hash

    (tmp_path / "experts").mkdir()
    for number, other in enumerate((1, 0, 2)):
        (tmp_path / "experts" / str(number)).symlink_to(experts / str(other))
    (tmp_path / "experts" / "spent.json").symlink_to(experts / "spent.json")
    wider, longer = (
        replace(settings, moclr=replace(settings.moclr, hidden=9)),
        replace(settings, training=replace(settings.training, steps=11)),
    )
    found = [hash_of(), hash_of(wider), hash_of(longer), hash_of(one=tmp_path / "experts")]
    assert len(set(found)) == 4
    cooler = replace(settings, moclr=replace(settings.moclr, temperature=0.2))
    assert hash_of(cooler) == found[0], "nothing of it is asked of a student"


def test_other_experts_than_clusters_are_one_line(settings, divided, base, experts, tmp_path):
    with pytest.raises(UserError, match="no experts were found"):
        expert_models(tmp_path)
    (tmp_path / "0").symlink_to(experts / "0")
    with pytest.raises(UserError, match="has 1 experts, and there are 3 clusters"):
        build_student("dnc", settings, divided, base.training_dir, tmp_path, tmp_path)
