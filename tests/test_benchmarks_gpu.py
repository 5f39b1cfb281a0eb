"""benchmarks/gpu.py without a GPU: the search for the largest batch, on a card that is made up, and the names of its figures."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.project import PROJECT


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "benchmarks"))
        yield importlib.import_module("gpu")


@pytest.mark.parametrize(
    ("start", "most", "room", "expected"),
    [
        (1_024, 4_096, 1_024, 1_024),
        (1_024, 4_096, 1_023, 960),
        (1_024, 4_096, 700, 640),
        (1_024, 4_096, 1_700, 1_664),
        (1_024, 4_096, 64, 64),
        (1_024, 4_096, 63, 0),
        (1_024, 4_096, 9_999, 4_096),
        (128, 128, 9_999, 128),
        (16, 16, 16, 16),
    ],
)
def test_the_largest_batch_that_fits_is_found_in_a_few_tries(
    gpu: ModuleType, start: int, most: int, room: int, expected: int
) -> None:
    tries, cleaned = [], []

    def try_out(batch: int) -> None:
        tries.append(batch)
        if batch > room:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert gpu.largest_batch(try_out, start, most, lambda: cleaned.append(tries[-1])) == expected
    assert len(tries) == len(set(tries)) <= 8
    assert cleaned == tries
    assert max(tries) <= most


def test_another_error_is_not_taken_for_a_full_card(gpu: ModuleType) -> None:
    def try_out(batch: int) -> None:
        raise RuntimeError("no kernel image")

    with pytest.raises(RuntimeError, match="no kernel image"):
        gpu.largest_batch(try_out, 16, 16, lambda: None)


def test_what_a_failed_try_held_is_free_when_the_next_begins(gpu: ModuleType) -> None:
    import weakref

    class Held:
        """Stands for a step's tensors."""

    held: list[weakref.ref[Held]] = []
    alive = []

    def try_out(batch: int) -> None:
        mine = Held()
        held.append(weakref.ref(mine))
        raise torch.OutOfMemoryError("CUDA out of memory")

    gpu.largest_batch(try_out, 256, 256, lambda: alive.append(any(one() is not None for one in held)))
    assert alive == [False, False, False]


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA GH200 480GB", "nvidia_gh200_480gb"),
        ("NVIDIA A100-SXM4-80GB", "nvidia_a100_sxm4_80gb"),
    ],
)
def test_figures_are_named_by_the_card(gpu: ModuleType, device: str, expected: str) -> None:
    found = {"batch": 960, "JEST step": 2.0, "jest_step_over_formula": 1.1, "mfu": 0.5}
    figures = gpu.named(40.0, 3.0, found, "ViT-B-16", gpu.card(device))
    assert figures == {
        f"selection_ms_{expected}": 40.0,
        f"selection_gib_{expected}": 3.0,
        f"batch_vit_b16_{expected}": 960,
        f"jest_step_ms_{expected}": 2.0,
        f"jest_step_over_formula_{expected}": 1.1,
        f"mfu_vit_b16_{expected}": 0.5,
    }


@pytest.fixture(scope="module")
def prove(gpu: ModuleType) -> ModuleType:
    return importlib.import_module("gpu_prove")


def test_missed_goals_and_failed_parts_are_said(prove: ModuleType) -> None:
    found = {
        "selection": {"selection_ms": 61.0, "selection_gib": 3.9},
        "steps": {"mfu": 0.44},
        "kills": {"bit_identical_of_4": 4},
        "loader": {"failed": "took longer than 180 s"},
    }
    assert prove.unmet(found) == [
        "loader: took longer than 180 s",
        "selection_ms is 61.0, the goal at most 60.0",
        "mfu is 0.44, the goal at least 0.45",
    ]


def test_a_part_that_fails_costs_only_itself(prove: ModuleType, tmp_path: Path) -> None:
    options = Namespace(model="no-such-model", seed=0, threads=1, quick=False)
    found = prove.part_of("no such part", options, tmp_path)
    assert "invalid choice" in found["failed"]


@pytest.mark.slow
def test_every_part_runs_on_a_cpu(prove: ModuleType, tmp_path: Path) -> None:
    parts = [name for name in prove.PARTS if name != "tests"]  # they are tests of their own here
    command = [sys.executable, str(PROJECT / "benchmarks" / "gpu.py"), "--prove", "--threads", "1", "--only", *parts]
    done = subprocess.run([*command, "--json", str(tmp_path / "proved.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    proved = json.loads((tmp_path / "proved.json").read_text())["proved"]
    assert list(proved) == parts
    assert proved["kills"]["bit_identical_of_4"] == 4
    assert proved["syncs"]["unexpected_syncs"] == 0
