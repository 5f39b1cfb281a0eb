"""Models cut over ranks: the run of whole models, each rank with its part of the memory, and continued by any number of ranks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from superbatch.errors import UserError
from superbatch.options import (
    AdaptSettings,
    FlexiSettings,
    LabelSettings,
    LearnerSettings,
    MoclrSettings,
    OnlineReferenceSettings,
    ReferenceSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.training import TrainResult, sharding, train
from superbatch.training.distributed import Ranks
from tests.in_ranks import in_ranks
from tests.training.training_helpers import Killed, kill_after, outcome

pytestmark = pytest.mark.slow


def weights_of(result: TrainResult) -> dict[str, torch.Tensor]:
    return load_file(result.model_dir / "open_clip_model.safetensors")


def in_two(folder: Path, make_job: Any, **changes: Any) -> list[TrainResult]:
    return in_ranks(2, trained, folder, make_job, changes)


def trained(make_job: Any, changes: dict[str, Any]) -> TrainResult:
    return train(make_job(**changes))


def ledger_of(result: TrainResult) -> dict[str, list[Any]]:
    return pq.read_table(result.training_dir / "ledger.parquet").to_pydict()


def assert_same_run(ours: TrainResult, theirs: TrainResult) -> None:
    """To float32's rounding: the same picks, and curves and weights that differ in their last digits."""
    assert ours.summary["digests"]["picks"] == theirs.summary["digests"]["picks"]
    for name in ("loss", "gradient_norm", "scale"):
        assert ledger_of(ours)[name] == pytest.approx(ledger_of(theirs)[name], rel=1e-4), name
    found, expected = weights_of(ours), weights_of(theirs)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape
    far, all_of = (torch.cat([t.flatten() for t in some]) for some in ([found[n] - expected[n] for n in expected], expected.values()))
    assert float(far.norm() / all_of.norm()) < 1e-3


@pytest.mark.parametrize(
    "how",
    [
        {"method": "joint", "final": 0.5},
        {"method": "uniform", "accumulate": 2, "checkpoint_activations": True},
    ],
)
def test_x(make_job, tmp_path, how):
    whole = in_two(tmp_path / "whole", make_job, **how, state="whole")[0]
    cut = in_two(tmp_path / "cut", make_job, **how, state="cut", shard=True)[0]
    assert_same_run(cut, whole)
    print(ledger_of(cut)["loss"], ledger_of(whole)["loss"])
