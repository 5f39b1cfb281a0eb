"""The Triton kernel: interpreted at small sizes on any machine, compiled where asked, run where there is a GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from superbatch.selection import PairEmbeddings, interactions, select_jointly
from superbatch.selection.candidates import Candidates
from tests.selection import oracle
from tests.selection.kernel_device import PLACES, environment_at, needs_cuda

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")


def run_cases(place: str) -> dict[str, Any]:
    """What the kernel made of its cases at one place."""
    command = [sys.executable, "-m", "tests.selection.kernel_cases"]
    environment = environment_at(place) | {"PYTHONPATH": f"{ROOT}/src"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=PLACES)
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    return run_cases(request.param)


@needs_triton
def test_the_kernel_s_sums_are_the_exact_ones(found: dict[str, Any]) -> None:
    assert len(found["kernels"]) == 12
    for case, result in found["kernels"].items():
        assert result["error"] < found["tolerance"], case
        assert result["others"] == 0, case


@needs_triton
def test_what_a_candidate_gets_does_not_depend_on_its_neighbours(found: dict[str, Any]) -> None:
    assert all(result["same_bits"] for result in found["kernels"].values())


@needs_triton
def test_picks_with_the_kernel_are_those_without(found: dict[str, Any]) -> None:
    for result in found["picks"].values():
        assert result["calls"] == 2 * 3 and result["same"] and result["error"] < 1e-4


@needs_triton
def test_the_kernel_is_launched_on_the_device_of_its_tensors(found: dict[str, Any]) -> None:
    assert found["guarded"] == ["entered", "launched", "left"]


def test_the_kernel_is_told_the_places_of_all_candidates() -> None:
    for moves in (True, False):
        candidates = Candidates(40, 16, torch.device("cpu"))
        candidates.moves = moves
        candidates.take(torch.tensor([3, 39, 0, 17] if moves else [3, 39, 0, 17, 40]))  # 40 lies elsewhere
        places, live = candidates.alive()
        slots = candidates.slot_B[places[: int(live)]].tolist()
        assert int(live) == 36 and sorted(slots) == sorted(set(range(40)) - {3, 39, 0, 17})


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from superbatch.selection import fused

types = {"chosen": "*bf16", "held": "*bf16", "alive": "*i64", "live": "*i64", "out": "*fp64",
         "num_chosen": "i32", "dim": "i32", "count": "i32", "scale": "fp32", "bias": "fp32"}
blocks = {"SOFTMAX": False, "BLOCK_C": fused._BLOCK_C, "BLOCK_K": fused._BLOCK_K, "BLOCK_D": fused._BLOCK_D}
source = ASTSource(fused._pair_sums, types | dict.fromkeys(blocks, "constexpr"), blocks,
                   {(i,): [["tt.divisibility", 16]] for i in range(8)})
made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8, "num_stages": 3})
assert "wgmma.mma_async" in made.asm["ptx"] and made.metadata.shared <= 232448, made.metadata
"""


@needs_triton
@pytest.mark.slow
def test_compiles_for_a_hopper_gpu_with_its_matrix_units(tmp_path: Path) -> None:
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT}/src"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_on_another_gpu_than_the_current_one() -> None:
    here = [oracle.make_pairs(300, 72, seed, scale=20.0, bias=-8.0, dtype=torch.bfloat16) for seed in (1, 2)]
    there = [PairEmbeddings(p.image_ND.to("cuda:1"), p.text_ND.to("cuda:1"), p.scale, p.bias) for p in here]
    one, other = (select_jointly(*pair, 60, num_chunks=3, gain=5.0) for pair in (here, there))
    assert len(set(one.indices.tolist()) & set(other.indices.tolist())) >= 59


@needs_cuda
@needs_triton
@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_on_a_gpu_the_kernel_gives_the_scores_of_the_cpu(loss: str, dtype: torch.dtype) -> None:
    here = [oracle.make_pairs(700, 72, seed, scale=20.0, bias=-8.0, dtype=dtype) for seed in (1, 2)]
    there = [PairEmbeddings(p.image_ND.cuda(), p.text_ND.cuda(), p.scale, p.bias) for p in here]
    assert interactions.fusable(there[0].image_ND)
    one, other = (select_jointly(*pair, 200, num_chunks=5, gain=5.0, loss=loss) for pair in (here, there))
    both = set(one.indices.tolist()) & set(other.indices.tolist())
    assert len(both) >= 198
    torch.testing.assert_close(one.scores, other.scores.cpu(), rtol=1e-5, atol=1e-4)
    right = oracle.conditional_scores(*here, other.indices.cpu(), other.chunk_sizes, loss=loss)
    torch.testing.assert_close(other.conditional.cpu(), right, rtol=1e-5, atol=1e-4)
