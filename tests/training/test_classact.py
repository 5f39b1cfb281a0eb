"""ClassAct and RHO-LOSS through the real engine: scores and loss against float64, resume, ranks, micro-batches, checkpoint."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from superbatch.data.fields import Source
from superbatch.models import build_model, load_checkpoint, read_metadata
from superbatch.models.classifier import CLASSIFIER_FILE, Classifier, is_classifier
from superbatch.models.headed import load_measured
from superbatch.options import ModelSettings, OptimizerSettings, SelectionSettings, TrainingSettings
from superbatch.tasks.classact import LABEL, REFERENCE_LOSS, ClassAct
from superbatch.tasks.contrastive import IMAGE
from superbatch.training import Job, train
from superbatch.training.choosing import score
from tests.in_ranks import assert_killed, in_ranks
from tests.training.conftest import ROWS, in_memory
from tests.training.test_caption_labels import killed_at
from tests.training.test_ranks import assert_close, picks_of
from tests.training.training_helpers import Killed, kill_after, outcome

NAMES = ("red", "green", "blue", "fire truck")
SMOOTHING = 0.1


@pytest.fixture
def make_job(model_file: Path, proxy_file: Path, tmp_path: Path):
    """Return a function that makes the same job anew, from its first weights; with a proxy, as ClassAct has one."""

    def make(
        method: str = "independent",
        state: str = "state",
        criterion: str = "learnability",
        with_proxy: bool = True,
        gain: float = 1.0,
        **changes: Any,
    ) -> Job:
        torch.manual_seed(99)  # whatever the global state is, a run does not depend on it
        options = {"batch_size": 6, "steps": 12, "checkpoint_every": 4, "evaluate_every": 5, "threads": 1}
        options |= {"loss": "softmax", "optimizer": OptimizerSettings(learning_rate=3e-3)}
        training = TrainingSettings(**{**options, **changes})
        scores = method != "uniform" and criterion != "easy_reference"
        small = ModelSettings(config=str(proxy_file)) if with_proxy and scores else None
        selection = SelectionSettings(method, 0.75, criterion, gain=gain, proxy=small)
        models = [ModelSettings(config=str(model_file)), *([] if small is None else [small])]
        learner, proxy = ([classifier(one) for one in models] + [None])[:2]
        task = ClassAct(learner, training, selection, SMOOTHING, proxy, {"labels_by": "cls"})
        evaluate = lambda clip: {"set/top1": float(clip.model.class_weights(NAMES).sum())}  # noqa: E731
        source, b = Source(fields(), np.arange(0, ROWS, 2)), training.batch_size
        return Job("job", task, source, training, selection, selection.largest(b), {}, tmp_path / state, evaluate)

    return make


def classifier(settings: ModelSettings) -> Classifier:
    clip = build_model(settings, loss="softmax", batch_size=6, seed=0)
    return Classifier(clip, NAMES, settings.init_logit_scale, 0)


def fields() -> dict[str, Any]:
    """Images of four tints; a row's class is its tint, of one row in five another one. The odd rows have no label: nobody may read them."""
    rng = np.random.default_rng(0)
    pixels, tint = rng.integers(0, 130, (ROWS, 3, 16, 16), dtype=np.uint8), np.arange(ROWS) // 2 % 4
    for row in range(ROWS):
        pixels[row, : tint[row]] += 100
    labels, losses = (tint + (np.arange(ROWS) % 10 == 0)) % 4, rng.gamma(1.0, 1.0, ROWS).astype(np.float32)
    labels[1::2], losses[1::2] = -1, np.nan
    return {IMAGE: in_memory(pixels), LABEL: in_memory(labels.astype(np.int64)), REFERENCE_LOSS: in_memory(losses)}


def weights(job: Job) -> Tensor:
    found = [p.detach().flatten() for one in job.task.classifiers.values() for p in one.parameters()]
    return torch.cat(found)


def logits64(one: Classifier, pixels: Tensor) -> Tensor:
    """Logits in float64: the image tower's own embeddings, and plain cosines."""
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) * 255 for value in one.clip.mean_std)
    with torch.no_grad():
        image = one.clip.model.encode_image((pixels.float() - mean) / std).double()
    image, weight = (side / side.norm(dim=1, keepdim=True) for side in (image, one.weight.detach().double()))
    return math.exp(float(one.logit_scale.detach())) * image @ weight.T


def losses64(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with a smoothed target, as its definition has it."""
    logs = logits - torch.log(torch.exp(logits).sum(1, keepdim=True))
    target = torch.full_like(logits, smoothing / logits.shape[1])
    target[torch.arange(len(labels)), labels] += 1 - smoothing
    return -(target * logs).sum(1)


@pytest.mark.parametrize("with_proxy", [True, False])
@pytest.mark.parametrize("criterion", ["learnability", "easy_reference", "hard_learner", "easy_learner"])
def test_scores_are_differences_of_losses_without_smoothing(make_job, criterion, with_proxy):
    job = make_job(criterion=criterion, with_proxy=with_proxy)
    job.task.place(torch.device("cpu"), job.training)
    rule = job.selection.rules[0]
    batch = job.source.read(job.task.reads_by(rule).scoring, np.arange(16), 0)
    found = score(job.task, batch, rule, 5).values_n
    loss = easy = None
    if rule.scores:
        scorer = job.task.classifiers["proxy" if with_proxy else "learner"]
        loss = losses64(logits64(scorer, batch[IMAGE]), batch[LABEL])
    if rule.uses_reference:
        easy = batch[REFERENCE_LOSS].double()
    expected = {
        "learnability": lambda: loss - easy, "easy_reference": lambda: -easy,
        "hard_learner": lambda: loss, "easy_learner": lambda: -loss,
    }[criterion]()  # fmt: skip
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


def test_the_loss_is_cross_entropy_with_smoothing(make_job):
    """Of learner and proxy, over whole batches and over rows; and the gradients are those of float64."""
    job = make_job()
    job.task.place(torch.device("cpu"), job.training)
    batch = job.source.read(job.task.reads.training, np.arange(6), 0)
    for model, one in job.task.classifiers.items():
        one.eval()
        expected = losses64(logits64(one, batch[IMAGE]), batch[LABEL], SMOOTHING)
        outputs = job.task.outputs(model, batch)
        loss = job.task.loss(model, outputs, batch, None)
        assert float(loss.detach()) == pytest.approx(float(expected.mean()), rel=1e-5)
        own, finite = job.task.row_losses(model, batch)
        torch.testing.assert_close(own.double(), expected, rtol=1e-5, atol=1e-6)
        assert finite.all()
        (found,) = torch.autograd.grad(loss, outputs["logits"], retain_graph=True)
        logits = logits64(one, batch[IMAGE]).requires_grad_()
        (gradient,) = torch.autograd.grad(losses64(logits, batch[LABEL], SMOOTHING).mean(), logits)
        torch.testing.assert_close(found.double(), gradient, rtol=1e-4, atol=1e-6)
        assert all(g is not None for g in torch.autograd.grad(loss, list(one.parameters()))), (
            "every parameter takes part"
        )


def test_the_picks_are_a_draw_by_these_scores(make_job):
    picks = pq.read_table(train(make_job(steps=40)).training_dir / "picks.parquet").to_pandas()
    assert picks.groupby("step").chosen.sum().eq(6).all() and picks.row.mod(2).eq(0).all(), (
        "rows without a label are not drawn"
    )
    assert picks[picks.chosen].score.mean() > picks[~picks.chosen].score.mean() + 0.5


def test_at_the_gain_of_rho_loss_the_highest_are_chosen(make_job):
    """Of the 24 that a step looks at, those passed over are a sample: none of them has a higher score than one that was chosen."""
    picks = pq.read_table(train(make_job(with_proxy=False, gain=1e6)).training_dir / "picks.parquet").to_pandas()
    for _, step in picks.groupby("step"):
        assert step[step.chosen].score.min() >= step[~step.chosen].score.max() - 1e-4


@pytest.mark.parametrize("how", [{"with_proxy": False, "gain": 1e6}, {"method": "uniform", "accumulate": 2}])
def test_killed_and_resumed_is_bit_identical(make_job, monkeypatch, how):
    expected = outcome(train(make_job(state="never", **how)))
    for steps in (5, 3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(make_job(**how))
    assert outcome(train(make_job(**how))) == expected


def test_killed_by_sigkill_twice_and_resumed_is_bit_identical(make_job, tmp_path):
    expected = outcome(train(make_job(state="never")))
    for step in (4, 8):
        assert_killed(partial(killed_at, make_job, step), tmp_path / f"{step}")
    assert outcome(train(make_job())) == expected


def moved(make_job, **changes: Any) -> tuple[Any, Tensor]:
    job = make_job(**changes)
    before = weights(job)
    result = train(job)
    return picks_of(result), weights(job) - before


@pytest.mark.parametrize("criterion", ["learnability", "easy_reference"])
def test_ranks_and_micro_batches_make_the_run_of_one_process(make_job, tmp_path, criterion):
    picks, expected = moved(make_job, criterion=criterion, state="one")
    runs = in_ranks(2, partial(moved, make_job, criterion=criterion, state="two"), tmp_path / "ranks")
    for found, weights_moved in [*runs, moved(make_job, criterion=criterion, state="micro", accumulate=2)]:
        assert found == picks
        assert_close(weights_moved, expected)


def test_workers_change_nothing(make_job):
    assert outcome(train(make_job(state="a", workers=1))) == outcome(train(make_job(state="b")))


def test_it_learns_and_nobody_trains_the_text_tower(make_job):
    job = make_job(with_proxy=False, steps=60)
    clip = job.task.classifiers["learner"].clip
    before = {name: value.clone() for name, value in clip.model.state_dict().items()}
    ledger = pq.read_table(train(job).training_dir / "ledger.parquet").to_pydict()
    changed = {name for name, value in clip.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("visual.") for name in changed)
    batch = job.source.read((IMAGE, LABEL), np.arange(30), 0)
    right = logits64(job.task.classifiers["learner"].eval(), batch[IMAGE]).argmax(1) == batch[LABEL]
    assert right.float().mean() > 0.6 and np.mean(ledger["loss"][-5:]) < np.mean(ledger["loss"][:5])
    assert all(1 <= scale <= 100 for scale in ledger["scale"]) and len(set(ledger["scale"])) > 1


def test_the_scale_keeps_to_its_bounds(make_job):
    job = make_job(max_scale=20.0)
    for one in job.task.classifiers.values():
        one.logit_scale.data.fill_(7.0)
    job.task.after_update(0)
    assert all(float(one.logit_scale.detach().exp()) == pytest.approx(20) for one in job.task.classifiers.values())


def test_a_checkpoint_is_open_clips_with_class_weights_beside_it(make_job):
    job = make_job()
    result = train(job)
    learner = job.task.classifiers["learner"].eval()
    metadata = read_metadata(result.model_dir)
    assert is_classifier(result.model_dir) and metadata["classnames"] == list(NAMES) and metadata["labels_by"] == "cls"
    assert metadata["weights_sha256"] == result.summary["digests"]["weights"]
    pixels = torch.randn(3, 3, 16, 16)
    plain = open_clip.create_model(f"local-dir:{result.model_dir}").eval()
    torch.testing.assert_close(plain.encode_image(pixels), learner.clip.model.encode_image(pixels))
    torch.testing.assert_close(load_checkpoint(result.model_dir).model.encode_image(pixels), plain.encode_image(pixels))
    loaded = load_measured(result.model_dir)
    assert loaded.image_size == 16 and not loaded.model.training
    torch.testing.assert_close(
        loaded.model.logits(loaded.model.encode_image(pixels, normalize=True)),
        learner.logits(learner.encode_image(pixels, normalize=True)),
    )
    assert set(load_file(result.model_dir / CLASSIFIER_FILE)) == {"weight", "logit_scale"}


def test_class_weights_go_by_name(make_job):
    one = make_job().task.classifiers["learner"]
    whole = one.class_weights(NAMES)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(4))
    assert torch.equal(one.class_weights(NAMES[::-1]), whole.flip(0)) and torch.equal(
        one.class_weights(NAMES[2:3]), whole[2:3]
    )
    assert one.class_weights(("red", "violet")) is None
    one.classnames = ("crane", "crane", "a", "b")
    assert one.class_weights(one.classnames) is not None and one.class_weights(("a", "b")) is None


def test_the_cost_is_that_of_image_towers_and_class_weights(make_job):
    job = make_job()
    job.task.place(torch.device("cpu"), job.training)
    made = job.task.forwards()
    assert set(made.members) == {"image", "classes"} and made.scorer == "proxy" and made.reused == 0
    assert made.members["classes"].trained == {"learner": 2 * 4 * 16, "proxy": 2 * 4 * 8}
    uniform = make_job(method="uniform")
    uniform.task.place(torch.device("cpu"), uniform.training)
    assert uniform.task.forwards().scored == 0 and uniform.task.forwards().learner == made.learner
    again = replace(uniform.training, checkpoint_activations=True)
    uniform.task.place(torch.device("cpu"), again)
    assert uniform.task.forwards().recomputed["learner"] > 0
