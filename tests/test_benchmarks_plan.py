"""benchmarks/plan_gpu.py: its arithmetic against sums done by hand, what must grow with what, and bytes of activations against a network whose own are known."""

from __future__ import annotations

import importlib
import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from superbatch.training.flops import Forwards
from tests.project import PROJECT

CHOOSING = ("jest", "flexi_jest")


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[ModuleType, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "benchmarks"))
        yield importlib.import_module("plan_gpu"), importlib.import_module("plan_gpu_parts")


@pytest.fixture
def plan(scripts: tuple[ModuleType, ModuleType]) -> ModuleType:
    return scripts[0]


@pytest.fixture
def machine(plan: ModuleType) -> Any:
    """Round numbers: 100 operations a second, links of 10 bytes a second, no waiting."""
    return plan.Machine(
        memory=1e6, usable=1.0, peak=200, mfu=0.5, selection=1_000, in_node=10, between=5, per_node=2, wait=0, doubling=0, cores=2, decoded=4
    )  # fmt: skip


@pytest.fixture
def one(scripts: tuple[ModuleType, ModuleType]) -> Any:
    """b = 4 of B = 8, F = 10, embeddings of 2 numbers, 5 parameters."""
    forwards = Forwards({"learner": 10.0}, scored=10.0, reused=10.0)
    return scripts[1].Parts(
        batch=4, super_batch=8, chunks=2, steps=100, score_batch=3, dim=2, parameters=5, activation=7, pixels=12, tokens=1, scored_pixels=12, widest=6, forwards=forwards
    )  # fmt: skip


def test_memory_is_the_sum_done_by_hand(plan: ModuleType, one: Any) -> None:
    assert plan.memory(one, 1, 2) == {
        "model": 5 * (4 + 4 + 4 + 4 + 2),
        "samples": 8 * (12 + 1 + 2 * 4) + 4 * 13,  # pixels, ids, both cached embeddings in float16; the chosen again
        "scoring": 3 * (4 * 12 + 3 * 6) + 8 * 4 * 4,
        "selection": 8 * 2 * 2 * 2 * 4,
        "activations": 2 * 7,
        "loss": 2 * 4 * 4 * 4,
    }
    assert plan.memory(one, 2, 1)["model"] == 5 * 22, "DDP's buckets"
    held = plan.memory(one, 1, 2)
    assert plan.peak_memory(one, 1, 2) == held["model"] + held["samples"] + held["scoring"] + held["selection"]


def test_a_step_is_the_sum_done_by_hand(plan: ModuleType, one: Any, machine: Any) -> None:
    alone = plan.seconds(one, 1, 1, machine)
    assert alone == {
        "compute": (3 * 10 * 4 + 10 * 8) / 100,
        "gather": 0,
        "gradients": 0,
        "selection": 8 * 8 * 4 * 2 / 1_000,
        "exchange": 0,
        "pixels": 0,
    }
    assert plan.seconds(one, 1, 2, machine)["compute"] == alone["compute"] + 10 * 4 / 100, (
        "micro-batches: forward twice"
    )
    two = plan.seconds(one, 2, 1, machine)
    assert two["compute"] == alone["compute"] / 2
    assert two["gather"] == pytest.approx(0.5 * 4 * 4 * 4 / 10)
    assert two["gradients"] == pytest.approx(2 * 0.5 * 4 * 5 / 10 - 2 * 10 * 4 / 2 / 100), "less the backward pass"
    # Half of a rank's four pairs is sent, 16 bytes each for both models; then the first chunk's two chosen to everybody, by a sum.
    assert two["exchange"] == pytest.approx(0.5 * 16 * 4 / 10 + 2 * 0.5 * 16 * 4 * 0.5 / 10)
    assert plan.reading(one, 2, machine) == 8 / 2 / (2 * 4)
    assert plan.reading(replace(one, scored_pixels=3), 1, machine) == (8 + 4) / (2 * 4), "the chosen are read once more"


def test_a_uniform_step_chooses_nothing(plan: ModuleType, one: Any, machine: Any) -> None:
    uniform = replace(one, super_batch=0, forwards=Forwards({"learner": 10.0}))
    found = plan.seconds(uniform, 2, 1, machine)
    assert set(found) == {"compute", "gather", "gradients"}
    assert found["compute"] == 3 * 10 * 4 / 2 / 100
    assert plan.reading(uniform, 1, machine) == 4 / (2 * 4)


def test_links_between_nodes_and_waiting(plan: ModuleType) -> None:
    found = plan.Machine(in_node=300, between=40, per_node=8, wait=2, doubling=1)
    assert [found.each(world) for world in (8, 16)] == [300, 40]
    assert [found.ring(world) for world in (8, 16)] == [300, 300], "eight links are more than one GPU's own"
    assert replace(found, between=10).ring(16) == 80
    assert [found.latency(world) for world in (1, 2, 8, 16, 64)] == [0, 2, 2, 3, 5]


def test_micro_batches_are_the_fewest_that_fit(plan: ModuleType, one: Any, machine: Any) -> None:
    heavy = replace(one, activation=1_000, super_batch=0)
    for world in (1, 2):
        fewest = plan.fewest_micro_batches(heavy, world, replace(machine, memory=2_500))
        assert plan.peak_memory(heavy, world, fewest) <= 2_500
        assert fewest == 1 or plan.peak_memory(heavy, world, fewest // 2) > 2_500
    assert plan.fewest_micro_batches(heavy, 1, replace(machine, memory=2_500)) == 2
    assert plan.fewest_micro_batches(heavy, 1, replace(machine, memory=500)) is None
    assert plan.planned(heavy, 1, replace(machine, memory=500)) == {"accumulate": None}


def test_more_gpus_never_take_longer_to_compute_nor_more_memory(plan: ModuleType, one: Any) -> None:
    large = replace(
        one, batch=4_096, super_batch=20_480, parameters=10**8, activation=3e7, pixels=150_528, scored_pixels=150_528
    )
    plans = [plan.planned(large, world, plan.Machine()) for world in (2, 4, 8, 16, 64, 512)]
    for key in ("ms_compute", "ms_selection", "ms_reading", "accumulate", "computing"):
        values = [found[key] for found in plans]
        assert values == sorted(values, reverse=True), key
    held = [plan.peak_memory(large, world, 1) for world in (2, 4, 8, 64)]
    assert held == sorted(held, reverse=True)
    waits = [plan.seconds(large, world, 1, plan.Machine())["exchange"] for world in (8, 16, 64, 512)]
    assert waits == sorted(waits)


def test_a_step_takes_as_long_as_reading_where_that_is_longer(plan: ModuleType, one: Any, machine: Any) -> None:
    slow = replace(machine, decoded=0.01)
    assert plan.planned(one, 2, slow)["ms_step"] == 1e3 * plan.reading(one, 2, slow)
    quick = plan.planned(one, 2, machine)
    assert quick["ms_step"] == pytest.approx(1e3 * sum(plan.seconds(one, 2, 1, machine).values()))
    assert quick["hours"] == pytest.approx(quick["ms_step"] / 1e3 * 100 / 3600)


def test_where_it_bends_is_the_first_number_of_gpus_past_the_limit(plan: ModuleType, one: Any, machine: Any) -> None:
    def share(world: int) -> float:
        found = plan.seconds(one, world, 1, replace(machine, selection=1e9))
        return found["compute"] / sum(found.values())

    quick = replace(machine, selection=1e9)
    world, part = plan.bend(one, quick)
    assert share(world) < plan.BENDS <= share(world // 2)
    assert part == "exchange"
    assert plan.bend(one, replace(machine, in_node=1e9, between=1e9, selection=1e9)) is None


def test_dealing_moves_what_is_not_in_its_place(plan: ModuleType) -> None:
    assert plan.moved(8, 8, 4) == 0, "all chosen: each stays where it is"
    assert plan.moved(100, 500, 1) == 0
    for world in (2, 8, 64):
        assert 0 < plan.moved(4_096, 20_480, world) <= 4_096
    # With two ranks what moves is what one has too many: hypergeometric, its standard deviation 28.6.
    several = [plan.moved(4_096, 20_480, 2, seed) for seed in range(50)]
    assert 0.6 * 28.6 < sum(several) / 50 < 1.05 * 28.6, "the mean of its absolute value is 0.8 of it"


class OneLayer:
    """A task whose activations are known: of n samples the layer's input and what gives the square its gradient, of no other tensor."""

    def __init__(self) -> None:
        self.model = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 10))
        self.models = {"learner": Namespace(module=self.model)}

    def outputs(self, name: str, batch: Any) -> dict[str, torch.Tensor]:
        return {"out": self.model(torch.ones(len(batch), 6)).square()}


def test_activations_are_what_autograd_keeps_of_a_sample(scripts: tuple[ModuleType, ModuleType]) -> None:
    # The normalisation keeps its input, mean and deviation, the layer its input, the square its own.
    assert scripts[1].activation(OneLayer(), 4, 4) == 4 * (6 + 2 + 6 + 10)


def test_a_small_size_is_planned_from_its_own_parts(
    scripts: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    plan, parts = scripts
    monkeypatch.chdir(PROJECT)
    given = Namespace(
        environment=["vit_b32_tiny"],
        mfu=0.5,
        peak=1.0,
        memory=80.0,
        between=40.0,
        json=tmp_path / "plan.json",
        quick=False,
        seed=0,
    )
    found = plan.main(given, CHOOSING)
    assert set(found) == {f"vit_b32_tiny/{preset}" for preset in CHOOSING}
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written["assumed"]["mfu"] == 0.5
    jest, flexi = (parts.parts("vit_b32_tiny", preset) for preset in CHOOSING)
    assert (jest.batch, jest.super_batch, jest.dim, jest.pixels) == (32, 160, 64, 3 * 32**2)
    assert jest.forwards.scored == jest.forwards.learner > flexi.forwards.learner > flexi.forwards.scored
    assert jest.activation > flexi.activation > 0
    assert found["vit_b32_tiny/jest"]["plans"][8]["tflop"] == pytest.approx(
        jest.forwards.learner * (3 * 32 + 160) / 1e12
    )
    assert "vit_b32_tiny, jest (milliseconds a step)" in capsys.readouterr().out
