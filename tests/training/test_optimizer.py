"""The learning rate is a pure function of the step; decay spares vectors and scalars."""

from __future__ import annotations

import pytest
from torch import nn

from superbatch.options import OptimizerSettings
from superbatch.training.optimizer import learning_rate, make_optimizer


def test_warm_up_then_cosine_to_zero():
    settings = OptimizerSettings(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0) and rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] < 0.001 and all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_a_single_step_and_a_constant_schedule():
    assert learning_rate(0, 1, OptimizerSettings(learning_rate=0.5)) == 0.5
    constant = OptimizerSettings(learning_rate=0.5, schedule="constant", warmup=0.0)
    assert {learning_rate(step, 10, constant) for step in range(10)} == {0.5}


def test_decay_spares_vectors():
    optimizer = make_optimizer(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), OptimizerSettings(weight_decay=0.1))
    decayed, plain = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [2] and decayed["weight_decay"] == 0.1
    assert all(p.ndim == 1 for p in plain["params"]) and plain["weight_decay"] == 0
    assert optimizer.defaults["betas"][1] == 0.95
