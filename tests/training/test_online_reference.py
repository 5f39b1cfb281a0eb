"""A reference that is trained along on whole super-batches (ActiveCLIP): its scores, what it is trained on, and that a run with it is any run."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from test_ranks import assert_close, picks_of, trained
from training_helpers import Killed, kill_after, outcome

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.losses import contrastive_loss
from superbatch.options import (
    AdaptSettings,
    DistillSettings,
    FlexiSettings,
    LearnerSettings,
    LowSettings,
    ModelSettings,
    OnlineReferenceSettings,
    PoolSettings,
    SelectionSettings,
    check_added,
)
from superbatch.tasks import SetFiles, learner_job
from superbatch.tasks.contrastive import ALONG, IMAGE, TOKENS
from superbatch.tasks.learner import check_sizes
from superbatch.training import loop, train
from superbatch.training.choosing import score
from tests.in_ranks import in_ranks


@pytest.fixture
def make_online(make_job, proxy_file):
    """Return a function that makes the tests' usual job by a reference that is trained along; a proxy scores where that is asked for."""

    def make(method: str = "independent", score: str = "match", with_proxy: bool = True, rate: float = 2.0, **changes):
        online = OnlineReferenceSettings(ModelSettings(config=str(proxy_file)), rate)
        job = make_job(method, proxy=proxy_file if with_proxy else None, online=online, **changes)
        job.selection = job.task.selection = replace(job.selection, score=score)
        return job

    return make


def parameters(job) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in job.task.models[ALONG].module.named_parameters()}


def test_scores_are_the_differences_of_cosines_by_both_present_models(make_online):
    job = make_online()
    job.task.place(torch.device("cpu"), job.training)
    with torch.no_grad():
        for value in job.task.models[ALONG].module.parameters():
            value.add_(0.05 * torch.randn_like(value))  # else proxy and reference are the same model
    batch = job.source.read(job.task.reads.scoring, np.arange(16), 0)
    found = score(job.task, batch, job.selection.rules[0], 5)
    with torch.no_grad():
        sides = [job.task.training_sides(name, batch) for name in (ALONG, "proxy")]
    reference, own = ((image.double() * text.double()).sum(1) for image, text in sides)
    assert float((reference - own).abs().max()) > 1e-3
    torch.testing.assert_close(found.values_n.double(), reference - own, rtol=0, atol=1e-6)


def test_it_starts_where_the_proxy_starts_so_the_first_batch_is_drawn_evenly(make_online):
    job = make_online()
    job.task.place(torch.device("cpu"), job.training)
    batch = job.source.read(job.task.reads.scoring, np.arange(16), 0)
    assert float(score(job.task, batch, job.selection.rules[0], 16).values_n.abs().max()) == 0


def gradients_in_float64(module: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    """Of the plain sigmoid loss over all pairs of a batch; pixels as the tests' models want them, mean and deviation 0.5."""
    exact = deepcopy(module).double()
    exact.zero_grad()
    image = exact.encode_image((batch[IMAGE].double() / 255 - 0.5) / 0.5, normalize=True)
    text = exact.encode_text(batch[TOKENS], normalize=True)
    contrastive_loss("sigmoid")(image, text, exact.logit_scale.exp(), exact.logit_bias).backward()
    return {name: value.grad for name, value in exact.named_parameters()}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_its_gradients_are_those_of_the_whole_super_batch(make_online, monkeypatch, accumulate):
    seen, real = {}, loop.train_step

    def looking(task, models, share, settings, step, lap, whole):
        reference = next(one for one in models if one.name == ALONG)
        reference.gradients.backward(*whole)
        seen["found"] = {name: value.grad.clone() for name, value in reference.module.named_parameters()}
        seen["expected"] = gradients_in_float64(reference.module, whole[0])
        seen["rows"] = set(share.rows), set(whole[0].rows), whole[1]
        reference.module.zero_grad()
        return real(task, models, share, settings, step, lap, whole)

    monkeypatch.setattr(loop, "train_step", looking)
    train(make_online(steps=1, accumulate=accumulate))
    chosen, whole, total = seen["rows"]
    assert chosen < whole and len(chosen) == 4 and len(whole) == total == 16
    for name, expected in seen["expected"].items():
        torch.testing.assert_close(seen["found"][name].double(), expected, rtol=1e-3, atol=1e-6)


def test_its_rate_is_its_own(make_online):
    """The first step of Adam is as long as the rate, whatever the gradient: twice the rate is twice as far."""
    moved = []
    for rate in (1.0, 2.0):
        job = make_online(rate=rate, steps=1, state=f"rate {rate}")
        before = parameters(job)
        train(job)
        after = parameters(job)
        moved.append(torch.cat([(after[name] - before[name]).flatten() for name in before if "bias" not in name]))
    step, twice = moved[0].abs().max(), moved[1].abs().max()
    assert float(twice / step) == pytest.approx(2.0, rel=0.05)


def test_a_run_has_its_loss_time_and_operations(make_online):
    result = train(make_online(steps=6))
    ledger = pq.read_table(result.training_dir / "ledger.parquet").to_pydict()
    assert all(value > 0 for value in ledger["loss_reference"]) and all(v > 0 for v in ledger["seconds_reference"])
    flops = result.summary["flops"]
    small, b, big_b = flops["forward_reference"], 4, 16
    assert ledger["flops_reference"][-1] == flops["reference_total"] == 6 * 3 * small * big_b
    proxy = flops["forward_proxy"]
    each = 3 * flops["forward_per_sample"] * b + proxy * (3 * b + big_b) + small * (3 * big_b + big_b)
    assert flops["as_executed_total"] == pytest.approx(6 * each)
    assert flops["saved_by_proxy"] == pytest.approx(
        6 * (flops["forward_per_sample"] * big_b - proxy * (3 * b + big_b))
    ), "what the reference takes is not the proxy's"


@pytest.mark.parametrize(("method", "score", "with_proxy"), [("independent", "match", True), ("joint", "loss", False)])
def test_killed_and_resumed_is_bit_identical(make_online, monkeypatch, method, score, with_proxy):
    how = {"method": method, "score": score, "with_proxy": with_proxy}
    expected = outcome(train(make_online(state="never", **how)))
    for steps in (5, 3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(make_online(**how))
    assert outcome(train(make_online(**how))) == expected


def test_workers_change_nothing(make_online):
    """With workers a super-batch is shared memory, which is written again while later ones are read."""
    assert outcome(train(make_online(state="a", workers=2))) == outcome(train(make_online(state="b")))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_make_the_run_of_one_process(make_online, tmp_path, world):
    alone, expected = trained(make_online, {"state": "one"})
    for result, moved in in_ranks(world, trained, tmp_path / "ranks", make_online, {"state": "several"}):
        assert picks_of(result) == picks_of(alone)
        assert_close(moved, expected)
        assert ledger_loss(result) == pytest.approx(ledger_loss(alone), rel=1e-3)


def ledger_loss(result) -> list[float]:
    return pq.read_table(result.training_dir / "ledger.parquet")["loss_reference"].to_pylist()


def test_a_bad_step_of_it_names_the_rows_of_the_super_batch(make_online, monkeypatch):
    job = make_online()
    real = job.task.loss

    def broken(model, outputs, batch, peers):
        return real(model, outputs, batch, peers) * (float("nan") if model == ALONG else 1.0)

    monkeypatch.setattr(job.task, "loss", broken)
    with pytest.raises(UserError, match="the reference's loss is nan at step 0; .*all 16 rows are in"):
        train(job)


def test_it_needs_no_reference_of_before(make_online):
    job = make_online()
    settings = LearnerSettings(selection=job.selection)
    assert not job.selection.uses_reference and not settings.uses_reference and not settings.uses_embeddings
    assert replace(settings, pool=PoolSettings(keep_share=0.3)).uses_embeddings, (
        "a filter asks one of before all the same"
    )
    assert job.task.reads.scoring == (IMAGE, TOKENS)


def test_its_rate_and_its_weights_decide_a_runs_hash(make_online, make_job, proxy_file):
    one, other, none = make_online(), make_online(rate=1.0), make_online(rate=2.0)
    assert one.run_hash == none.run_hash != other.run_hash
    without = make_job("independent", proxy=proxy_file)
    assert without.run_hash == replace(without, selection=replace(without.selection)).run_hash != one.run_hash


def online(**changes) -> SelectionSettings:
    return SelectionSettings(**{"method": "joint", "online_reference": OnlineReferenceSettings(), **changes})


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: online(method="uniform"), "selection.online_reference: works with learnability only, and batches are chosen by nothing"),
        (lambda: online(criterion="easy_reference"), "selection.online_reference: works with learnability only, and batches are chosen by easy_reference"),
        (lambda: online(stale_steps=2), "selection.stale_steps: cannot be combined with selection.online_reference"),
        (lambda: online(adapt=AdaptSettings()), "selection.adapt: cannot be combined with selection.online_reference"),
        (lambda: LearnerSettings(selection=online(), distill=DistillSettings()), "distill: cannot be combined with selection.online_reference"),
        (lambda: LearnerSettings(selection=online(), flexi=FlexiSettings(LowSettings(patch_size=16))), "flexi: cannot be combined with selection.online_reference"),
        (lambda: LearnerSettings(model=ModelSettings(compact_vocabulary=False), selection=online()), "selection.online_reference.model.compact_vocabulary: is not the learner's"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(make, line):
    with pytest.raises(UserError) as refused:
        make()
    assert str(refused.value).startswith(line)


def test_the_curated_set_is_not_added_to_a_pool_that_is_scored(tmp_path):
    """Nothing of it is read: the settings alone say it."""
    added, nowhere = PoolSettings(add_curated=True), SetFiles(tmp_path / "nowhere")
    chosen = LearnerSettings(selection=online(), pool=added)
    for refuses in (
        lambda: check_sizes(chosen, nowhere, nowhere),
        lambda: learner_job("mine", chosen, nowhere, tmp_path, curated=nowhere),
        lambda: check_added(LearnerSettings(pool=replace(added, keep_share=0.5))),
        lambda: check_added(LearnerSettings(pool=added, distill=DistillSettings())),
    ):
        with pytest.raises(
            UserError, match=r"^pool\.add_curated: cannot be combined with selection, a filter or distill;"
        ):
            refuses()
    check_added(LearnerSettings(pool=added))
    check_added(LearnerSettings(selection=online()))
