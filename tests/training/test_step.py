"""The scoring pass: a slice at a time, whatever the slice, and small slices on a CPU; and what is chosen by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.options import SelectionSettings, TrainingSettings
from superbatch.selection import select_by_scores
from superbatch.training import SampleScores
from superbatch.training.choosing import _kernel_type, choose, score, score_slice

CPU = torch.device("cpu")


def test_slices_change_no_score_and_leave_the_model_training(make_job) -> None:
    job = make_job()
    job.task.place(CPU, job.training)
    batch = job.source.read(job.task.reads.scoring, np.arange(40), 0)
    job.task.clip.model.train()
    whole = score(job.task, batch, job.selection.rules[0], 40)
    for size in (1, 7, 39, 100):
        sliced = score(job.task, batch, job.selection.rules[0], size)
        for model in ("learner", "reference"):
            for ours, theirs in zip(getattr(sliced, model).sides, getattr(whole, model).sides, strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert job.task.clip.model.training


@pytest.mark.parametrize(("side", "at_once"), [(32, 128), (64, 128), (96, 86), (224, 16), (448, 16)])
def test_large_images_are_scored_fewer_at_once(side, at_once):
    """On a CPU; 128 up to 64 px, as all recorded runs have it."""
    fields = {
        "image": torch.empty(2, 3, side, side, dtype=torch.uint8),
        "tokens": torch.empty(2, 20, dtype=torch.int64),
    }
    batch = Batch(np.arange(2), fields)
    assert score_slice(TrainingSettings(), CPU, batch) == at_once
    assert score_slice(TrainingSettings(score_batch=7), CPU, batch) == 7
    assert score_slice(TrainingSettings(), torch.device("cuda"), batch) == 1_024


def test_numbers_of_single_samples_choose_independently_alone() -> None:
    scores = SampleScores.joined([SampleScores(torch.randn(9)), SampleScores(torch.randn(7))])
    rows, rule = np.arange(100, 116), SelectionSettings("independent", 0.75, gain=2.0)
    found = choose(scores, rows, 4, rule, 3, 5)
    expected = select_by_scores(scores.values_n, 4, gain=2.0, seed=3, step=5, rows=torch.from_numpy(rows))
    assert torch.equal(found.indices, expected.indices)
    with pytest.raises(UserError, match="selection.method: joint: the task scores each sample by itself"):
        choose(scores, rows, 4, SelectionSettings("joint"), 3, 5)


def test_a_gpus_kernel_gets_the_type_that_it_takes() -> None:
    class OnGpu:
        is_cuda = True

        def half(self) -> str:
            return "float16"

    assert _kernel_type(OnGpu()) == "float16"  # type: ignore[arg-type]
    assert _kernel_type(torch.zeros(2, dtype=torch.float16)).dtype == torch.float32, "elsewhere it is widened anyway"
