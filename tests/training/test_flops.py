"""Counted and closed-form operations agree; the two accountings are the paper's numbers."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from superbatch.models import build_model
from superbatch.options import ModelSettings
from superbatch.training.flops import closed_form, count_forward, step_flops


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
    forward, b = 1.0, 100
    uniform = step_flops(forward, b, 0, scored=False, reuse=False)
    assert step_flops(forward, b, 500, scored=True, reuse=True) / uniform == pytest.approx(
        7 / 3
    )  # JEST 1.7: 2.33 at f = 0.8
    assert step_flops(forward, b, 500, scored=True, reuse=False) / uniform == pytest.approx(8 / 3)
