"""On a GPU: equal bits each time, or an error that names the operation; and everything as it was afterwards."""

from __future__ import annotations

import pytest
import torch

from superbatch.errors import UserError
from superbatch.options import TrainingSettings
from superbatch.training.machine import repeatable

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
        pytest.raises(UserError, match=r"training\.deterministic: _efficient_attention_backward gives other bits .*; set it to false"),
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
