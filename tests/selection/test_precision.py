"""TF32 and bfloat16, switched on for the towers, are off inside a selection and on again after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from superbatch.selection import joint, select_independently, select_jointly, select_jointly_sharded, sharded
from superbatch.selection.precision import full_precision
from tests.selection import oracle
from tests.selection.test_sharded import in_ranks

NEWER = hasattr(torch.backends, "fp32_precision")
needs_newer = pytest.mark.skipif(not NEWER, reason="needs torch 2.9")


def set_all(value: str) -> None:
    torch.backends.fp32_precision = value


def set_gpu(value: str) -> None:
    torch.backends.cuda.matmul.fp32_precision = value


def set_cpu(value: str) -> None:
    torch.backends.mkldnn.matmul.fp32_precision = value


def old(value: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = value


SWITCHES = [
    (torch.set_float32_matmul_precision, "high"),
    (torch.set_float32_matmul_precision, "medium"),
    (old, True),
    (old, False),
    pytest.param(set_gpu, "tf32", marks=needs_newer),
    pytest.param(set_cpu, "bf16", marks=needs_newer),
    pytest.param(set_all, "tf32", marks=needs_newer),
]


def state() -> dict[str, Any]:
    """Every switch that there is, and how it answers where torch refuses."""
    asked: dict[str, Callable[[], Any]] = {
        "usual": torch.get_float32_matmul_precision,
        "allow_tf32": lambda: torch.backends.cuda.matmul.allow_tf32,
        "convolutions": lambda: torch.backends.cudnn.allow_tf32,
    }
    if NEWER:
        asked |= {
            "gpu": lambda: torch.backends.cuda.matmul.fp32_precision,
            "cpu": lambda: torch.backends.mkldnn.matmul.fp32_precision,
            "all": lambda: torch.backends.fp32_precision,
        }
    found = {}
    for name, ask in asked.items():
        try:
            found[name] = ask()
        except RuntimeError:
            found[name] = "mixed"
    return found


def is_full(found: dict[str, Any]) -> bool:
    newer = all(found.get(name) in (None, "none", "ieee") for name in ("gpu", "cpu"))
    return found["usual"] == "highest" and found["allow_tf32"] is False and newer


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = state()
    yield
    if NEWER:
        set_all("none")
    torch.set_float32_matmul_precision("highest")
    if NEWER:
        set_gpu("none")
        set_cpu("none")
    assert state() == before


@pytest.mark.parametrize(("switch", "value"), SWITCHES)
@pytest.mark.parametrize("fails", [False, True])
def test_full_precision_inside_and_all_as_it_was_after(switch: Any, value: Any, fails: bool) -> None:
    switch(value)
    before = state()
    with suppress(ZeroDivisionError), torch.autocast("cpu"), full_precision("cpu"):
        assert is_full(state()) and not torch.is_autocast_enabled("cpu")
        _ = 1 / (0 if fails else 1)
    assert state() == before


def selected(rank: int = 0, world: int = 1) -> dict[tuple[str, str], tuple[bool, bool]]:
    """Of each way to select: whether products were full inside, and all was as before, after it and after an error in it."""
    torch.set_float32_matmul_precision("medium")
    before, seen = state(), [False]
    pair = [oracle.make_pairs(30, 5, seed, dtype=torch.float32) for seed in (1, 2)]
    usual = joint.own_scores

    def noting(*arguments: Any) -> Any:
        seen.append(is_full(state()))
        return usual(*arguments)

    def failing(*arguments: Any) -> Any:
        raise ZeroDivisionError

    found = {}
    ways = [select_jointly, select_independently] if world == 1 else [select_jointly_sharded]
    for way in ways:
        for scores in (noting, failing):
            with pytest.MonkeyPatch.context() as patch, suppress(ZeroDivisionError):
                for module in (joint, sharded):
                    patch.setattr(module, "own_scores", scores)
                way(*pair, 10)
            found[way.__name__, scores.__name__] = seen[-1], state() == before
    return found


def test_every_selection_multiplies_in_full_precision() -> None:
    found = selected()
    assert len(found) == 4 and all(all(facts) for facts in found.values()), found


def test_so_does_every_rank(tmp_path: Path) -> None:
    for found in in_ranks(2, selected, tmp_path):
        assert len(found) == 2 and all(all(facts) for facts in found.values()), found
