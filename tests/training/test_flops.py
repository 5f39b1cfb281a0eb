"""Counted and closed-form operations agree; the two accountings are the paper's numbers."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from superbatch.models import build_model
from superbatch.models.cost import closed_form, count_forward, count_recomputed
from superbatch.options import ModelSettings
from superbatch.training import loop, train
from superbatch.training.flops import Account, Forwards


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


@pytest.mark.parametrize(
    "changes",
    [{}, {"accumulate": 2}, {"checkpoint_activations": True}, {"accumulate": 2, "checkpoint_activations": True}],
)
def test_the_ledger_counts_what_a_run_executes(make_job, monkeypatch, changes):
    """Steps alone, each counted as it is taken: the loss's own products, of b x b, are not the model's."""
    real, counted = loop.train_step, []

    def counting(*arguments):
        with FlopCounterMode(display=False) as counter:
            found = real(*arguments)
        counted.append(counter.get_total_flops())
        return found

    monkeypatch.setattr(loop, "train_step", counting)
    result = train(make_job("uniform", steps=2, **changes))
    assert result.summary["flops"]["as_executed_total"] == pytest.approx(sum(counted), rel=0.05)
    assert result.summary["plan"]["flops_as_executed"] == result.summary["flops"]["as_executed_total"]
    assert result.summary["flops"]["paper_total"] == 2 * 3 * 4 * result.summary["flops"]["forward_per_sample"]


def test_what_is_computed_again_is_the_blocks(model_file):
    clip = build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=8, seed=0)
    again, forward = count_recomputed(clip), count_forward(clip).total
    assert 0.5 * forward < again < forward
    assert all(parameter.grad is None for parameter in clip.model.parameters())
