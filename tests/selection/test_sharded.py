"""Across ranks (processes that talk by gloo): the picks and scores of one process, to the bit."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from superbatch.errors import UserError
from superbatch.selection import JointSelector, PairEmbeddings, Selection, select_jointly, select_jointly_sharded
from superbatch.selection.sharded import _edges, _voice
from tests.in_ranks import free_port, in_processes
from tests.selection import oracle

COUNT = 203
# name: what is asked for. Tiles so small that every rank holds some, and the default (one tile: some ranks hold none).
CASES: dict[str, dict[str, Any]] = {
    "sigmoid": {"num_chunks": 5, "tile": 32, "loss": "sigmoid"},
    "softmax": {"num_chunks": 5, "tile": 32, "loss": "softmax"},
    "tile of one": {"num_chunks": 3, "tile": 1},
    "one tile": {"num_chunks": 16},
    "independent": {"num_chunks": 1, "tile": 16},
    "easy reference": {"num_chunks": 4, "tile": 16, "criterion": "easy_reference"},
    "hard learner": {"num_chunks": 4, "tile": 16, "criterion": "hard_learner", "loss": "softmax"},
    "easy learner": {"num_chunks": 4, "tile": 16, "criterion": "easy_learner"},
    "step and seed": {"num_chunks": 4, "tile": 48, "seed": 5, "step": 7, "gain": 2.0},
    "hot": {"num_chunks": 6, "tile": 24, "scale": 1e4},
    "places": {"num_chunks": 6, "tile": 24, "rows": None},
    "half": {"num_chunks": 6, "tile": 24, "dtype": torch.float16},
    "bfloat16": {"num_chunks": 6, "tile": 24, "dtype": torch.bfloat16},
    "double": {"num_chunks": 6, "tile": 24, "dtype": torch.float64},
    "sent as bfloat16": {"num_chunks": 6, "tile": 24, "communication": torch.bfloat16},
    "nearly all": {"num_chunks": 7, "tile": 24, "num_select": 201},
}
SHARES = {1: (203,), 2: (120, 83), 3: (1, 150, 52), 4: (51, 51, 51, 50)}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums are split by threads, so a comparison to the bit is at equal threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def models(dtype: torch.dtype = torch.float32, scale: float = 30.0) -> tuple[PairEmbeddings, PairEmbeddings]:
    learner = oracle.make_pairs(COUNT, 12, 1, scale=scale, bias=-4.0, dtype=dtype)
    return learner, oracle.make_pairs(COUNT, 20, 2, scale=40.0, bias=-9.0, noise=0.6)


def part(pairs: PairEmbeddings, which: slice) -> PairEmbeddings:
    return PairEmbeddings(pairs.image_ND[which], pairs.text_ND[which], pairs.scale, pairs.bias, pairs.name)


def rows_of() -> Tensor:
    return torch.randperm(1000, generator=torch.Generator().manual_seed(4))[:COUNT]


def ask(name: str, which: slice | None) -> Selection:
    """One case, by one process, or this rank's part of it."""
    how = {"num_select": 60, "rows": rows_of()} | CASES[name]
    learner, reference = models(how.pop("dtype", torch.float32), how.pop("scale", 30.0))
    sent = how.pop("communication", None)
    if which is None:
        if sent:
            learner, reference = (
                PairEmbeddings(p.image_ND.to(sent), p.text_ND.to(sent), p.scale, p.bias) for p in (learner, reference)
            )
        return select_jointly(learner, reference, compare_independent=True, **how)
    how["rows"] = None if how["rows"] is None else how["rows"][which]
    step, rows = how.pop("step", 0), how.pop("rows")
    selector = JointSelector(group=dist.group.WORLD, communication=sent, compare_independent=True, **how)
    return selector(part(learner, which), part(reference, which), step=step, rows=rows)


def slice_of(rank: int, world: int) -> slice:
    start = sum(SHARES[world][:rank])
    return slice(start, start + SHARES[world][rank])


def in_ranks(world: int, work: Any, folder: Path, backend: str | None = "gloo") -> list[Any]:
    """What `work(rank, world)` returns on each of `world` ranks."""
    port = free_port()
    return in_processes(world, lambda rank: _said(rank, world, port, work, backend), folder)


def _said(rank: int, world: int, port: int, work: Any, backend: str | None) -> Any:
    """What a rank returns, or the message of its user's mistake."""
    limit = datetime.timedelta(seconds=60)
    dist.init_process_group(backend, f"tcp://127.0.0.1:{port}", limit, world_size=world, rank=rank)
    try:
        return work(rank, world)
    except UserError as error:
        return str(error)


def every_case(rank: int, world: int) -> dict[str, Selection]:
    return {name: ask(name, slice_of(rank, world)) for name in CASES}


@pytest.mark.parametrize("world", [1, 3, *(pytest.param(world, marks=pytest.mark.slow) for world in (2, 4))])
def test_as_one_process_to_the_bit(world: int, tmp_path: Path) -> None:
    for found in in_ranks(world, every_case, tmp_path):
        for name in CASES:
            alone, ours = ask(name, None), found[name]
            assert ours.indices.tolist() == alone.indices.tolist(), name
            assert torch.equal(ours.scores, alone.scores) and torch.equal(ours.conditional, alone.conditional), name
            assert ours.chunk_sizes == alone.chunk_sizes and torch.equal(ours.independent, alone.independent)


def wrong_calls(rank: int, world: int) -> list[str]:
    """Messages of calls that are wrong on one rank or on all."""
    learner, reference = (part(pairs, slice_of(rank, world)) for pairs in models())
    said = []
    for change in (
        {"num_select": 204},
        {"num_select": 10 + rank},
        {"rows": torch.arange(3) if rank else None},
        {"loss": "hinge" if rank else "sigmoid"},
        {"seed": rank},
    ):
        try:
            select_jointly_sharded(learner, reference, **({"num_select": 60} | change))
            said.append("nothing")
        except UserError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("backend", ["gloo", "cpu:gloo", "cpu:gloo,cuda:gloo", None])
def test_every_rank_hears_of_a_wrong_call(tmp_path: Path, backend: str | None) -> None:
    first, second = in_ranks(2, wrong_calls, tmp_path, backend)
    same = "arguments: are not the same on all ranks; give every rank"
    assert first[0] == second[0] and first[0].startswith("num_select: is 204 of a super-batch of 203")
    assert first[1].startswith(same) and first[4].startswith(same) and first[1::3] == second[1::3]
    assert first[2] == first[3] == "rank 1: could not take part; its own message says why"
    assert second[2].startswith("rows: is torch.int64 [3] for a super-batch of 83")
    assert second[3].startswith("loss: 'hinge' is not known")


@pytest.mark.parametrize(
    ("backend", "config", "kind"),
    [
        ("gloo", "cpu:gloo,cuda:gloo", "cpu"),
        ("cpu:gloo,cuda:nccl", "cpu:gloo,cuda:nccl", "cpu"),  # as training starts it on GPUs
        ("cuda:nccl,cpu:gloo", "cuda:nccl,cpu:gloo", "cpu"),
        ("nccl", "cuda:nccl", "cuda"),
        ("undefined", "cuda:nccl", "cuda"),  # init_process_group() on a machine with a GPU
        ("cuda:nccl", "cuda:nccl", "cuda"),
        ("xccl", "xpu:xccl", "xpu"),
    ],
)
def test_ranks_with_and_without_embeddings_speak_from_one_kind_of_device(
    backend: str, config: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dist, "get_backend", lambda group: backend)
    monkeypatch.setattr(dist, "get_backend_config", lambda group: config)
    places = [None, torch.device("cpu"), torch.device("cuda", 3), torch.device("xpu", 1)]
    voices = [_voice(None, place) for place in places]
    assert {voice.type for voice in voices} == {kind}
    assert kind != "cuda" or voices[2] == torch.device("cuda", 3)


def test_without_a_process_group() -> None:
    with pytest.raises(
        UserError, match="group: no process group has been started; call torch.distributed.init"
    ) as caught:
        select_jointly_sharded(*models(), 60)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize(("total", "tile"), [(203, 32), (64, 32), (10, 32), (5, 1)])
def test_whole_tiles_are_dealt_evenly(total: int, tile: int, world: int) -> None:
    edges = _edges(total, tile, world)
    assert edges[0] == 0 and edges[-1] == total and len(edges) == world + 1
    assert all(edge % tile == 0 for edge in edges[:-1] if edge != total)
    tiles = [-(-(stop - start) // tile) for start, stop in pairwise(edges)]
    assert max(tiles) - min(tiles) <= 1
