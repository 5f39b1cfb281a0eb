"""The scoring pass: a slice at a time, whatever the slice, and small slices on a CPU."""

from __future__ import annotations

import numpy as np
import torch

from superbatch.options import TrainingSettings
from superbatch.training.step import Batch, Towers, score, score_slice

CPU = torch.device("cpu")


def test_slices_change_no_score_and_leave_the_model_training(make_job) -> None:
    job = make_job()
    rows = np.arange(40)
    batch = Batch(rows, torch.from_numpy(job.source.pixels.read(rows)), job.source.token_ids_NL[rows])
    towers = Towers.of(job.clip, CPU, "fp32")
    whole = score(towers, batch, 40)
    for size in (1, 7, 39, 100):
        sliced = score(towers, batch, size)
        torch.testing.assert_close(sliced.image_ND, whole.image_ND, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(sliced.text_ND, whole.text_ND, atol=1e-6, rtol=1e-5)
    assert job.clip.model.training


def test_the_slice_goes_by_the_device_unless_it_is_set() -> None:
    assert score_slice(TrainingSettings(), CPU) == 128
    assert score_slice(TrainingSettings(), torch.device("cuda")) == 1_024
    assert score_slice(TrainingSettings(score_batch=7), CPU) == 7
