"""DnC's student through the real engine: loss against float64, who teaches whom, resume, ranks, micro-batches, cost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from superbatch.data.fields import Source
from superbatch.errors import UserError
from superbatch.models import build_model
from superbatch.models.headed import is_image_only
from superbatch.options import MoclrSettings, ModelSettings, OptimizerSettings, SelectionSettings, TrainingSettings
from superbatch.tasks.regression import OWNER, Student
from superbatch.tasks.views import VIEWS, view_of, views_field
from superbatch.training import Job, train
from tests.in_ranks import in_ranks
from tests.training.conftest import ROWS, in_memory
from tests.training.test_momentum_contrast import fields, moved
from tests.training.test_ranks import assert_close
from tests.training.training_helpers import Killed, kill_after, outcome

MOCLR = MoclrSettings(hidden=12)
OWNERS = np.arange(ROWS) * 7 % 3


@pytest.fixture
def make_job(model_file: Path, proxy_file: Path, tmp_path: Path):
    """Return a function that makes the same job anew: teachers of another width than the student's."""

    def make(state: str = "state", **changes: Any) -> Job:
        torch.manual_seed(99)  # whatever the global state is, a run does not depend on it
        options = {"batch_size": 6, "steps": 9, "checkpoint_every": 3, "threads": 1, "loss": "softmax"}
        options |= {"optimizer": OptimizerSettings(learning_rate=3e-3)}
        training = TrainingSettings(**{**options, **changes})
        student, *teachers = (
            build_model(ModelSettings(config=str(file)), loss="softmax", batch_size=6, seed=seed)
            for seed, file in enumerate((model_file, *[proxy_file] * 4))
        )
        task = Student(student, training, MOCLR, teachers[0], teachers[1:])
        source = Source({**fields(), VIEWS: views_field(0, ROWS, 1), OWNER: in_memory(OWNERS)})
        return Job("dnc", task, source, training, SelectionSettings(), 6, {}, tmp_path / state)

    return make


def placed(job: Job) -> Job:
    job.task.place(torch.device("cpu"), job.training)
    return job


def embedded(clip: Any, view: Tensor) -> Tensor:
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) * 255 for value in clip.mean_std)
    with torch.no_grad():
        return normalize(clip.model.visual((view - mean) / std), dim=1)


def test_the_loss_is_the_regression_to_the_base_and_to_the_owner(make_job):
    job = placed(make_job())
    batch = job.source.read(job.task.reads.training, np.arange(6), 0)
    assert batch[OWNER].tolist() == [0, 1, 2, 0, 1, 2]
    view, heads = view_of(batch, 0, MOCLR.augment), job.task.learner.heads
    student, expected = embedded(job.task.clip, view), torch.zeros(6, dtype=torch.float64)
    for row, owner in enumerate(batch[OWNER].tolist()):
        for name, teacher in (("base", 0), (f"expert_{owner}", 1 + owner)):
            said = heads[name](student[row]).double()
            taught = embedded(job.task.teachers[teacher], view[row : row + 1])[0].double()
            expected[row] += (said / said.norm() - taught / taught.norm()).square().sum().detach()
    outputs = job.task.outputs("learner", batch)
    loss = job.task.loss("learner", outputs, batch, None)
    assert float(loss.detach()) == pytest.approx(float(expected.mean()), rel=1e-5)
    rows, finite = job.task.row_losses("learner", batch)
    torch.testing.assert_close(rows, expected, rtol=1e-5, atol=1e-6)
    assert finite.all() and not outputs["expert_taught"].requires_grad


def test_every_parameter_takes_part_and_only_the_owners_head_is_pulled(make_job):
    job = placed(make_job())
    batch = job.source.read(job.task.reads.training, np.array([1, 4]), 0)
    assert batch[OWNER].tolist() == [1, 1]
    loss = job.task.loss("learner", job.task.outputs("learner", batch), batch, None)
    loss.backward()
    pulled = {
        name: float(sum(p.grad.abs().sum() for p in head.parameters())) for name, head in job.task.learner.heads.items()
    }
    assert pulled["base"] > 0 and pulled["expert_1"] > 0 and pulled["expert_0"] == pulled["expert_2"] == 0
    assert all(p.grad is None for teacher in job.task.teachers for p in teacher.model.parameters())


@pytest.mark.parametrize("how", [{}, {"accumulate": 2}])
def test_killed_and_resumed_is_bit_identical(make_job, monkeypatch, how):
    expected = outcome(train(make_job(state="never", **how)))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 4)
        train(make_job(**how))
    assert outcome(train(make_job(**how))) == expected


def test_ranks_and_micro_batches_make_the_run_of_one_process(make_job, tmp_path):
    expected = moved(make_job, state="one")
    runs = in_ranks(2, partial(moved, make_job, state="two"), tmp_path / "ranks")
    for found in [*runs, moved(make_job, state="micro", accumulate=2)]:
        assert_close(found, expected)


def test_it_learns_and_its_teachers_do_not(make_job):
    job = make_job(steps=50)
    before = [p.clone() for teacher in job.task.teachers for p in teacher.model.parameters()]
    result = train(job)
    after = [p for teacher in job.task.teachers for p in teacher.model.parameters()]
    assert all(torch.equal(*both) for both in zip(before, after, strict=True)) and is_image_only(result.model_dir)
    loss = pq.read_table(result.training_dir / "ledger.parquet").to_pydict()["loss"]
    assert np.mean(loss[-10:]) < 0.5 * np.mean(loss[:5])


def test_the_cost_is_of_the_student_and_of_two_teachers(make_job):
    job = placed(make_job())
    made = job.task.forwards()
    teacher, heads = placed(job).task.forwards().members["image"].frozen / 2, 4 * 2 * (16 * 12 + 12 * 8)
    assert (
        made.members["heads"].learner == heads and made.learner == made.at_full + heads and made.frozen == 2 * teacher
    )
    assert 0 < teacher < made.at_full, "the teachers are the smaller ones here"
    assert job.account().step(6, 0) == 6 * (3 * made.learner + made.frozen)


def test_teachers_of_another_input_are_one_line(make_job):
    job = make_job()
    other = replace(job.task.teachers[1], config={**job.task.teachers[1].config, "preprocess_cfg": {"mean": [0, 0, 0]}})
    with pytest.raises(UserError, match="dnc.student.model: has another input than its teachers"):
        Student(job.task.clip, job.training, MOCLR, job.task.teachers[0], [other])
