"""Counted and closed-form operations agree; the two accountings are the paper's numbers."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy

import pytest
import torch
from open_clip import CLIP, get_model_config
from torch.utils.flop_counter import FlopCounterMode

from superbatch.files import read_json
from superbatch.models import ClipModel, build_model
from superbatch.models.cost import closed_form, count_forward, count_recomputed
from superbatch.options import FlexiSettings, LowSettings, ModelSettings, SelectionSettings, TrainingSettings
from superbatch.tasks import Contrastive, Reference
from superbatch.tasks.flexi import Flexi
from superbatch.training.flops import Account, Forwards, Samples
from tests.project import PROJECT


def test_counted_forward_is_the_closed_form_within_one_percent(model_file):
    clip = build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=8, seed=0)
    for evaluation_mode in (True, False):
        clip.model.train(not evaluation_mode)
        counted, formula = count_forward(clip), closed_form(clip.config)
        assert counted.image == pytest.approx(formula.image, rel=0.01)
        assert counted.text == pytest.approx(formula.text, rel=0.01)


def test_counting_leaves_the_fast_path_as_it_was(model_file):
    clip = build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=8, seed=0)
    before = torch.backends.mha.get_fastpath_enabled()
    count_forward(clip)
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_a_training_step_is_three_forwards(model_file):
    clip = build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=8, seed=0)
    ids = torch.zeros(4, 8, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        images = torch.zeros(4, 3, 16, 16, requires_grad=True)
        (clip.model.encode_image(images).sum() + clip.model.encode_text(ids).sum()).backward()
    assert counter.get_total_flops() == pytest.approx(3 * 4 * count_forward(clip).total, rel=0.05)


def test_the_accountings_are_the_papers():
    account, b = Account(Forwards({"learner": 1.0}, scored=1.0, reused=1.0)), 100
    uniform = account.step(b, 0)
    assert uniform == account.step(b, 0, as_executed=False) == 300
    assert account.step(b, 500, as_executed=False) / uniform == pytest.approx(7 / 3)  # JEST 1.7: 2.33 at f = 0.8
    assert account.step(b, 500) / uniform == pytest.approx(8 / 3)
    assert Account(account.forwards, stale=True).step(b, 500, as_executed=False) / uniform == pytest.approx(8 / 3)


def test_what_is_done_twice_counts_as_executed_and_not_by_the_paper():
    forwards = Forwards({"learner": 10.0, "proxy": 2.0}, recomputed={"learner": 9.0, "proxy": 1.5})
    plain = Account(forwards).step(4, 0)
    assert Account(forwards, twice=True).step(4, 0) == plain + 4 * (10 + 2)
    assert Account(forwards, again=True).step(4, 0) == plain + 4 * (9 + 1.5)
    assert Account(forwards, twice=True, again=True).step(4, 0) == plain + 4 * (12 + 10.5)
    assert Account(forwards, twice=True, again=True).step(4, 0, as_executed=False) == plain


def on_meta(name: str) -> ClipModel:
    """A model of open_clip's or of conf without memory for its weights: what it costs can be counted all the same."""
    config = (
        {"model_cfg": get_model_config(name)} if name == "ViT-B-16" else read_json(PROJECT / "conf" / "models" / name)
    )
    with torch.device("meta"):
        return ClipModel(CLIP(**deepcopy(config["model_cfg"])), config, "SimpleTokenizer")


JEST = SelectionSettings("joint", 0.8)


@pytest.mark.parametrize(
    ("model", "low", "image", "whole"),
    [
        ("ViT-B-16", {"patch_size": 32}, 1.04, 1.28),
        ("ViT-B-16", {"image_size": 112}, 1.03, 1.27),
        ("ViT-B-16", {"patch_drop": 0.5}, 1.57, 1.73),
        ("tiny.json", {"patch_size": 16}, 1.20, 1.73),
        ("tiny.json", {"image_size": 16}, 1.11, 1.67),
    ],
)
def test_a_step_over_uniforms(model, low, image, whole, monkeypatch):
    """The table of docs/methods.md, "Two views", counted without weights and in closed form; text is full in each view."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no such device
    clip, training, step = on_meta(model), TrainingSettings(), Samples.of_step(1, 5)
    full = closed_form(clip.config)
    for task, expected, paper in (
        (Contrastive(clip, training, JEST, Reference(10.0, -1.0)), (8 / 3, 8 / 3), (7 / 3, 7 / 3)),
        (Flexi(clip, training, JEST, FlexiSettings(LowSettings(**low)), Reference(10.0, -1.0)), (image, whole), None),
    ):
        account = Account(task.forwards())
        assert account.forwards.at_full == pytest.approx(full.total, rel=0.01)
        for as_executed, wanted in ((True, expected), (False, paper or expected)):
            found = account.members["image"].over_uniform(step, as_executed), account.over_uniform(step, as_executed)
            assert found == pytest.approx(wanted, abs=0.006)
    views = account.forwards.views
    a = views["image_low"] / views["image"]
    assert account.members["image"].over_uniform(step) == pytest.approx((3 * (0.5 + 0.5 * a) + 5 * a) / 3)
    assert account.members["text"].over_uniform(step) == pytest.approx(8 / 3)


def test_the_papers_own_share_of_a_low_view():
    """Of the image tower alone, as papers.md 1.7 has it: 1.04 by tokens (A = 0.25), 1.10 at the A that the paper measured (0.28)."""
    for a, expected in ((0.25, 1.04), (0.28, 1.10)):
        forwards = Forwards({"learner": 0.5 + 0.5 * a}, scored=a, full=1.0)
        assert Account(forwards).over_uniform(Samples.of_step(1, 5), as_executed=False) == pytest.approx(
            expected, abs=0.01
        )


def test_parts_and_towers_add_up_to_the_whole(model_file, proxy_file):
    """Every way to spend operations at once: a proxy, micro-batches, activations that are not kept, what is measured."""
    clips = [
        build_model(ModelSettings(config=str(one)), loss="sigmoid", batch_size=8, seed=0)
        for one in (model_file, proxy_file)
    ]
    training = TrainingSettings(checkpoint_activations=True, accumulate=2)
    task = Contrastive(clips[0], training, JEST, Reference(10.0, -1.0), clips[1])
    task.place(torch.device("cpu"), training)
    account, samples = Account.of(task.forwards(), training, 0), Samples(trained=8, scored=40, measured=6, chosen=8)
    f, f_p = (count_forward(clip).total for clip in clips)
    again, again_p = (count_recomputed(clip).total for clip in clips)
    expected = {"train": 8 * (4 * f + again), "score": 40 * f_p + 6 * f, "proxy": 8 * (4 * f_p + again_p)}
    assert account.parts(samples) == pytest.approx(expected)
    assert account.parts(samples, as_executed=False) == pytest.approx({**expected, "train": 24 * f, "proxy": 24 * f_p})
    towers = account.by_member(samples)
    assert list(towers) == ["image", "text"] and account.total(samples) == pytest.approx(
        sum(value for parts in towers.values() for value in parts.values())
    )


def test_what_is_computed_again_is_the_blocks(model_file):
    clip = build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=8, seed=0)
    again, forward = count_recomputed(clip).total, count_forward(clip).total
    assert 0.5 * forward < again < forward
    assert all(parameter.grad is None for parameter in clip.model.parameters())
