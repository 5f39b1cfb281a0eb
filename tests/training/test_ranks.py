"""A run in 2 and 3 ranks is the run of one process: super-batches, picks, records; and so it is continued in another number."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from superbatch.data.order import Order
from superbatch.errors import UserError
from superbatch.models.towers import Towers
from superbatch.training import TrainResult, train
from superbatch.training.distributed import Ranks, joined, ranks_met
from tests.in_ranks import in_ranks
from tests.training.training_helpers import Killed, kill_after


def picks_of(result: TrainResult) -> list[dict[str, Any]]:
    return pq.read_table(result.training_dir / "picks.parquet", columns=["step", "row", "chosen"]).to_pylist()


def ledger_of(result: TrainResult) -> dict[str, list[Any]]:
    return pq.read_table(result.training_dir / "ledger.parquet").to_pydict()


def weights_of(job: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in job.task.clip.model.parameters()])


def trained(make_job: Any, changes: dict[str, Any]) -> tuple[TrainResult, torch.Tensor]:
    """The run, and how far it moved the weights."""
    job = make_job(**changes)
    before = weights_of(job)
    result = train(job)
    return result, weights_of(job) - before


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """As a whole: Adam makes full steps of rounding errors where a gradient is zero, as that of a key's bias is."""
    assert float((ours - theirs).norm() / theirs.norm()) < 0.01


@pytest.mark.parametrize(
    "how",
    [
        {"method": "joint", "final": 0.5},
        {"method": "uniform"},
        {"criterion": "easy_reference", "workers": 1},
    ],
)
def test_one_two_and_three_ranks_make_the_same_run(make_job, tmp_path, how):
    """b = 4 and B = 16, which shrinks along the run, are dealt unevenly to three."""
    alone, weights = trained(make_job, how | {"state": "one"})
    for world in (2, 3):
        everybody = in_ranks(world, trained, tmp_path / f"{world}", make_job, how | {"state": f"of {world}"})
        result = everybody[0][0]
        assert all(other.summary == result.summary for other, _ in everybody)
        assert picks_of(result) == picks_of(alone)
        assert result.summary["digests"]["picks"] == alone.summary["digests"]["picks"]
        ours, theirs = ledger_of(result), ledger_of(alone)
        for name in ("step", "learning_rate", "samples_scored", "samples_trained", "flops_as_executed"):
            assert ours[name] == theirs[name], name
        for name in ("loss", "gradient_norm", "scale"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3), name
        assert_close(everybody[0][1], weights)
        for _, moved in everybody:
            assert torch.equal(everybody[0][1], moved), "the ranks hold the same weights"


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("window", [0, 8])
def test_slices_of_ranks_make_the_super_batch(world, window):
    order = Order(3, 60, 17, window)
    for step in (0, 5):
        slices = [order.rows(step, rank, world) for rank in range(world)]
        assert np.array_equal(np.concatenate(slices), order.rows(step))
        assert [len(one) for one in slices] == Ranks(0, world).counts(17)


def until_killed(make_job: Any, changes: dict[str, Any], steps: int) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, steps)
        train(make_job(**changes))
    return "killed"


@pytest.mark.parametrize("worlds", [(2, 1), (1, 3)])
def test_a_killed_run_continues_with_another_number_of_ranks(make_job, tmp_path, worlds):
    expected, weights = trained(make_job, {"state": "never-killed"})
    first, second = worlds
    if first == 1:
        until_killed(make_job, {}, 6)
    else:
        in_ranks(first, until_killed, tmp_path / "first", make_job, {}, 6)
    states = sorted(path.name for path in make_job().state_dir.glob("step-*"))
    assert states == ["step-000000004"]
    if second == 1:
        result, found = trained(make_job, {"processes": 1})
    else:
        result, found = in_ranks(second, trained, tmp_path / "second", make_job, {"processes": 2})[0]
    assert picks_of(result) == picks_of(expected) and ledger_of(result)["step"] == list(range(12))
    assert_close(found, weights)


def evaluated(make_job: Any) -> list[dict[str, Any]]:
    """A run whose evaluation needs all ranks at once."""
    job = make_job("uniform", steps=2, evaluate_every=2)
    job.evaluate = lambda _: {"set/ranks": ranks_met().most(ranks_met().rank + 1)}
    return pq.read_table(train(job).training_dir / "evaluations.parquet", columns=["step", "value"]).to_pylist()


def test_all_ranks_evaluate_and_one_takes_note(make_job, tmp_path):
    for found in in_ranks(2, evaluated, tmp_path / "ranks", make_job):
        assert found == [{"step": 0, "value": 2.0}, {"step": 2, "value": 2.0}]


def bad_step(make_job: Any) -> str:
    job = make_job("uniform", steps=2)
    with torch.no_grad():
        job.task.clip.model.visual.proj.fill_(float("nan"))
    try:
        train(job)
    except UserError as error:
        return str(error)
    return "nothing"


def test_every_rank_hears_of_a_bad_step_with_its_rows(make_job, tmp_path):
    first, second = in_ranks(2, bad_step, tmp_path / "ranks", make_job)
    assert first == second and "all 4 rows are in" in first
    file = next((make_job("uniform", steps=2).state_dir / "records").glob("bad-*.parquet"))
    assert len(set(pq.read_table(file)["row"].to_pylist())) == 4


def test_rank_0_alone_talks(tmp_path):
    first, second = in_ranks(2, level_inside, tmp_path / "ranks")
    assert first <= logging.INFO < second == logging.WARNING


def level_inside() -> int:
    logging.getLogger("superbatch").setLevel(logging.INFO)
    with joined("cpu") as ranks:
        return ranks.tell(0) + logging.getLogger("superbatch").level


def test_more_ranks_than_gpus_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setitem(os.environ, name, value)
    with pytest.raises(UserError, match="training.processes: 2 ranks on a machine with 1 GPUs"), joined("auto"):
        pass


def test_more_cuts_than_pairs_is_one_line(make_job, monkeypatch):
    with pytest.raises(UserError, match="4 samples cannot be split into 6 micro-batches"):
        make_job(processes=3, accumulate=2)
    with pytest.raises(UserError, match=r"training\.rendezvous: 2 machines do not know where to meet"):
        make_job(machines=2)
    for where in ("node0", "node0:", ":29400", "node0:port"):
        with pytest.raises(
            UserError, match=rf"training\.rendezvous: '{where}' is not a host and a port; name a host and port of one"
        ):
            make_job(machines=2, rendezvous=where)
    make_job(machines=2, rendezvous="fd00::1:29400")


def test_how_many_ranks_is_not_what_a_run_is(make_job):
    usual = make_job().run_hash
    assert make_job(processes=2).run_hash == usual == make_job(checkpoint_activations=True).run_hash
    assert make_job(accumulate=2).run_hash != usual != make_job(compile=True).run_hash


def test_accumulation_makes_the_same_run(make_job):
    alone, weights = trained(make_job, {"state": "whole"})
    cut, found = trained(make_job, {"state": "cut", "accumulate": 3})
    assert picks_of(cut) == picks_of(alone)
    assert_close(found, weights)


def test_checkpointed_activations_give_the_same_bits(make_job):
    alone, _ = trained(make_job, {"state": "kept"})
    again, _ = trained(make_job, {"state": "computed again", "checkpoint_activations": True})
    assert again.summary["digests"] == alone.summary["digests"]


def test_bf16_is_near(make_job):
    (alone, _), (half, _) = (
        trained(make_job, {"method": "uniform", "state": name, "steps": 4, "precision": name})
        for name in ("fp32", "bf16")
    )
    assert ledger_of(half)["loss"] == pytest.approx(ledger_of(alone)["loss"], rel=0.2)
    assert half.summary["digests"]["weights"] != alone.summary["digests"]["weights"]


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_towers_give_the_same_embeddings(make_job, monkeypatch, backend):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    clip = make_job().task.clip
    batch = torch.randint(0, 255, (4, 3, 16, 16), dtype=torch.uint8), torch.ones(4, 8).long()
    plain, compiled = (Towers.of(clip, torch.device("cpu"), "fp32", wanted) for wanted in (False, True))
    assert plain.compiled is None and compiled.compiled is not None
    for ours, theirs in zip(compiled.embed(*batch), plain.embed(*batch), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
