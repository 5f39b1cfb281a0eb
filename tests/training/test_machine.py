"""On a GPU: equal bits each time, or an error that names the operation; and everything as it was afterwards."""

from __future__ import annotations

import pytest
import torch

from superbatch.errors import UserError
from superbatch.options import TrainingSettings
from superbatch.training import train
from superbatch.training.machine import repeatable
from tests.training.training_helpers import Killed, kill_after

GPU = torch.device("cuda")  # the switches are there without one
REFUSAL = "_efficient_attention_backward does not have a deterministic implementation, but you set 'torch.use_...'"


def switches() -> tuple[bool, ...]:
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cuda.mem_efficient_sdp_enabled(),
    )


@pytest.mark.parametrize(("asked", "inside"), [(True, (True, True, False, False, False)), (False, (True, False, False, False, True))])  # fmt: skip
def test_determinism_is_asked_for_strictly_and_put_back(asked, inside):
    before = switches()
    with repeatable(GPU, TrainingSettings(deterministic=asked)):
        assert switches() == inside
    assert switches() == before
    with pytest.raises(KeyError), repeatable(GPU, TrainingSettings(deterministic=asked)):
        raise KeyError
    assert switches() == before


def test_an_operation_that_refuses_is_one_line_with_the_setting():
    with (
        pytest.raises(UserError, match=r"training\.deterministic: _efficient_attention_backward gives different bits .*; set it to false"),
        repeatable(GPU, TrainingSettings()),
    ):  # fmt: skip
        raise RuntimeError(REFUSAL)
    with pytest.raises(RuntimeError, match="out of memory"), repeatable(GPU, TrainingSettings()):
        raise RuntimeError("CUDA out of memory")


def test_on_a_cpu_nothing_is_switched():
    before = switches()
    with repeatable(torch.device("cpu"), TrainingSettings()):
        assert switches() == before
    with pytest.raises(RuntimeError), repeatable(torch.device("cpu"), TrainingSettings()):
        raise RuntimeError(REFUSAL)


def test_threads_are_given_back(make_job, monkeypatch):
    """Else the bits of a learner would depend on the reference that was trained before it in the same process."""
    before = torch.get_num_threads()
    result = train(make_job(steps=1, threads=before + 1))
    assert result.summary["threads"] == before + 1 and torch.get_num_threads() == before
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 0)
        train(make_job(steps=1, threads=before + 1, seed=1))
    assert torch.get_num_threads() == before


def test_a_run_is_the_same_whatever_ran_before_it(make_job):
    """Alone, and behind another one that took more threads."""
    names = ("threads", "digests", "machine")
    alone = train(make_job(state="alone", threads=0)).summary
    train(make_job("uniform", state="before", threads=alone["threads"] + 1, seed=3))
    behind = train(make_job(state="behind", threads=0)).summary
    assert [behind[name] for name in names] == [alone[name] for name in names]
