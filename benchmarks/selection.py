"""Joint selection: ours (streaming) against the matrix forms, side by side, interleaved, at equal threads.

    python benchmarks/selection.py [--quick] [--json FILE] [--threads N]

Figures (DESIGN.md, "Numbers to hold"), sigmoid loss, float32, B=8,192, b=1,638, d=512, N=16, gain 100: speed against
the printed matrix algorithm and against a matrix form with running sums, peak extra memory against both, and whether
the picks are the same (in float64 equal, in float32 Jaccard >= 0.999 to float64's). Then the softmax loss, and small
trainings' sizes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from common import interleaved, median, parser, peak_bytes, report, table
from peers_selection import PEERS
from torch import Tensor

from superbatch.selection import PairEmbeddings, select_jointly

GAIN, CHUNKS = 100.0, 16
Pair = tuple[PairEmbeddings, PairEmbeddings]


class Case(NamedTuple):
    """A loss, the sizes, who takes part beside ours, and how often each is timed."""

    loss: str
    count: int
    num_select: int
    dim: int
    peers: tuple[str, ...]
    repeats: int


# Algorithm 3 as printed takes minutes at the full size; it is measured at a smaller one.
FULL = [
    Case("sigmoid", 8192, 1638, 512, ("printed", "masked", "running"), 7),
    Case("softmax", 8192, 1638, 512, ("running",), 3),
    Case("softmax", 1024, 205, 256, ("printed", "running"), 3),
]
QUICK = [
    Case("sigmoid", 2048, 410, 128, ("printed", "masked", "running"), 5),
    Case("softmax", 1024, 205, 128, ("printed", "running"), 2),
]


def embeddings(count: int, dim: int, seed: int, dtype: torch.dtype = torch.float32) -> Pair:
    """A super-batch as in training: concepts in clusters, a third of the captions another image's."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    concept = normal(count // 16 + 1, dim)[torch.randint(count // 16 + 1, (count,), generator=generator)]
    meaning = concept + normal(count, dim)
    caption = torch.where(torch.rand(count, 1, generator=generator) < 0.35, meaning.roll(1, 0), meaning)

    def model(noise: float, scale: float, bias: float) -> PairEmbeddings:
        sides = (
            torch.nn.functional.normalize(side + noise * normal(count, dim), dim=-1).to(dtype)
            for side in (meaning, caption)
        )
        return PairEmbeddings(*sides, scale=scale, bias=bias)

    return model(2.0, 15.0, -10.0), model(1.0, 40.0, -12.0)


def contender(name: str, loss: str, pair: Pair, num_select: int, seed: int) -> Callable[[], Tensor]:
    """The call that gives the indices."""
    if name == "streaming":
        return lambda: select_jointly(*pair, num_select, num_chunks=CHUNKS, gain=GAIN, loss=loss, seed=seed).indices
    return lambda: PEERS[loss][name](*pair, num_select, CHUNKS, GAIN, seed)


def prepared(name: str, loss: str, count: int, dim: int, num_select: int, seed: int) -> Callable[[], Tensor]:
    """A contender with embeddings of its own, warmed up on a small super-batch (for memory, in another process)."""
    contender(name, loss, embeddings(64, dim, seed), 16, seed)()
    return contender(name, loss, embeddings(count, dim, seed), num_select, seed)


def jaccard(one: Tensor, other: Tensor) -> float:
    a, b = set(one.tolist()), set(other.tolist())
    return len(a & b) / len(a | b)


def same_picks(case: Case, seed: int) -> dict[str, Any]:
    """In float64 against the matrix forms; in float32 against our float64."""
    narrow, wide = (embeddings(case.count, case.dim, seed, dtype) for dtype in (torch.float32, torch.float64))
    exact = contender("streaming", case.loss, wide, case.num_select, seed)()
    equal = {
        name: exact.tolist() == contender(name, case.loss, wide, case.num_select, seed)().tolist()
        for name in case.peers
    }
    names = ("streaming", *case.peers)
    overlap = {name: jaccard(exact, contender(name, case.loss, narrow, case.num_select, seed)()) for name in names}
    return {"equal_float64": equal, "jaccard_float32": overlap}


def compare(case: Case, seed: int) -> dict[str, dict[str, float]]:
    """Median seconds and peak extra bytes of all contenders."""
    names = ("streaming", *case.peers)
    pair = embeddings(case.count, case.dim, seed)
    seconds = interleaved(
        {name: contender(name, case.loss, pair, case.num_select, seed) for name in names}, case.repeats
    )
    sizes = (case.loss, case.count, case.dim, case.num_select, seed)
    peaks = {name: peak_bytes(prepared, name, *sizes) for name in names}
    return {name: {"seconds": median(seconds[name]), "peak_bytes": peaks[name]} for name in names}


def small(repeats: int, seed: int) -> dict[str, float]:
    """Median milliseconds a selection at the sizes of small trainings (d=64, f=0.8), streaming alone, in turns."""
    calls = {}
    for loss in PEERS:
        for count in (320, 640, 1280):
            calls[f"{loss} B={count} b={count // 5}"] = contender(
                "streaming", loss, embeddings(count, 64, seed), count // 5, seed
            )
    return {name: 1000 * median(seconds) for name, seconds in interleaved(calls, repeats).items()}


def show(case: Case, results: dict[str, dict[str, float]], picks: dict[str, Any]) -> None:
    """One case as a table."""
    ours = results["streaming"]
    rows = [
        [
            name,
            f"{result['seconds']:.3f}",
            f"{result['seconds'] / ours['seconds']:.1f}",
            f"{result['peak_bytes'] / 2**20:.0f}",
            f"{result['peak_bytes'] / ours['peak_bytes']:.1f}",
            str(picks["equal_float64"].get(name, "-")),
            f"{picks['jaccard_float32'][name]:.4f}",
        ]
        for name, result in results.items()
    ]
    print(f"{case.loss}, B={case.count} b={case.num_select} d={case.dim} N={CHUNKS} gain={GAIN:g}, float32")
    print(
        table(["", "seconds", "x ours", "peak MiB", "x ours", "= ours float64", "Jaccard float32"], rows) + "\n",
        flush=True,
    )


def run(case: Case, seed: int) -> dict[str, Any]:
    """Times, memory and picks of one case, shown."""
    results, picks = compare(case, seed), same_picks(case, seed)
    show(case, results, picks)
    same = all(picks["equal_float64"].values()) and picks["jaccard_float32"]["streaming"] >= 0.999
    return {**case._asdict(), "results": results, "picks": picks, "same": same}


def figures(options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, with the named figures on top."""
    print(f"{torch.get_num_threads()} CPU thread(s)\n", flush=True)
    cases = [run(case, options.seed) for case in (QUICK if options.quick else FULL)]
    milliseconds = small(5 if options.quick else 30, options.seed)
    print(
        table(["small sizes, d=64", "ms"], [[name, f"{value:.1f}"] for name, value in milliseconds.items()]) + "\n",
        flush=True,
    )
    ours, printed, masked, running = (
        cases[0]["results"][name] for name in ("streaming", "printed", "masked", "running")
    )
    return {
        "selection_speedup_printed": printed["seconds"] / ours["seconds"],
        "selection_speedup_masked": masked["seconds"] / ours["seconds"],
        "selection_speedup_incremental": running["seconds"] / ours["seconds"],
        "selection_memory_ratio": printed["peak_bytes"] / ours["peak_bytes"],
        "selection_memory_ratio_incremental": running["peak_bytes"] / ours["peak_bytes"],
        "selection_same_picks": all(case["same"] for case in cases),
        "cases": cases,
        "small_ms": milliseconds,
    }


def main() -> None:
    options = parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(options.threads)
    report("selection", figures(options), options)


if __name__ == "__main__":
    main()
