"""Joint selection: ours (streaming) against the matrix forms and DRRho-CLIP's, interleaved, at equal threads.

    python benchmarks/selection.py [--quick] [--json FILE] [--plot FILE] [--threads N] [--huge] [--loss] [--original train.py]

Figures (DESIGN.md, "Numbers to hold"), sigmoid loss, float32, B=8,192, b=1,638, d=512, N=16, gain 100: speed against
the printed matrix algorithm and against a matrix form with running sums, peak extra memory against both, and whether
the picks are the same (in float64 equal, in float32 Jaccard >= 0.999 to float64's). Then the softmax loss; one size
changed at a time from B=1,024, f=0.8, N=16, d=256, float32; sizes and temperatures that the others do not survive; small
trainings' sizes. --huge adds B=65,536, ours alone (minutes). --original: DRRho-CLIP's own function too, out of a clone.
`loss_mib`: peak extra memory of the contrastive loss and its gradients alone, b=32,768, d=512 (--loss: nothing else).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import median, parser, peak_bytes, report, table
from loss_memory import measure as measure_loss
from peers_selection import PEERS
from peers_trainer import load_original, outcome, paper, trainer
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
    chunks: int = CHUNKS
    dtype: str = "float32"

    def label(self) -> str:
        """The sizes in a line."""
        sizes = f"B={self.count:,} b={self.num_select:,} N={self.chunks} d={self.dim}"
        return f"{self.loss} {sizes} {self.dtype}"


# What takes minutes at the full size (Algorithm 3 as printed, the trainer's recomputation) is measured at a smaller one.
FULL = [
    Case("sigmoid", 8192, 1638, 512, ("printed", "masked", "running"), 2),
    Case("softmax", 8192, 1638, 512, ("running",), 2),
    Case("softmax", 1024, 205, 256, ("printed", "running", "recomputed"), 3),
]
QUICK = [
    Case("sigmoid", 2048, 410, 128, ("printed", "masked", "running"), 2),
    Case("softmax", 1024, 205, 128, ("printed", "running", "recomputed"), 1),
]


def sweep(quick: bool) -> list[Case]:
    """One size changed at a time."""
    base = {"sigmoid": ("printed", "running"), "softmax": ("running", "recomputed")}
    size = 512 if quick else 1024
    changes: list[dict[str, Any]] = [{"count": size}, {"count": size // 2}, {"share": 0.5}, {"share": 0.1}]
    changes += [{"chunks": 4}, {"chunks": 64}, {"dim": 64}, {"dim": 768}]
    changes += [{"dtype": name} for name in ("bfloat16", "float16", "float64")] + [{"count": 2 * size}]
    cases = []
    for loss, peers in base.items():
        for change in changes[:2] if quick else changes:
            known = {"count": size, "share": 0.2, "chunks": CHUNKS, "dim": 256, "dtype": "float32"} | change
            kept = peers if known["count"] <= size else tuple(name for name in peers if name != "recomputed")
            count = known["count"]
            sizes = (count, round(count * known["share"]), known["dim"])
            cases.append(Case(loss, *sizes, kept, 1 if quick else 2, known["chunks"], known["dtype"]))
    return cases


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


def contender(name: str, case: Case, pair: Pair, seed: int) -> Callable[[], Tensor]:
    """The call that gives the indices."""
    how: dict[str, Any] = {"num_chunks": case.chunks, "gain": GAIN, "seed": seed}
    if name == "streaming":
        return lambda: select_jointly(*pair, case.num_select, loss=case.loss, **how).indices
    return lambda: PEERS[case.loss][name](*pair, case.num_select, **how)


def of(case: Case, seed: int, dtype: torch.dtype | None = None) -> Pair:
    """Embeddings of a case's sizes."""
    return embeddings(case.count, case.dim, seed, dtype or getattr(torch, case.dtype))


def prepared(name: str, case: Case, seed: int) -> Callable[[], Tensor]:
    """A contender with embeddings of its own, warmed up on a small super-batch (for memory, in another process)."""
    small = case._replace(count=64, num_select=16)
    contender(name, small, of(small, seed), seed)()
    return contender(name, case, of(case, seed), seed)


def jaccard(one: Tensor, other: Tensor) -> float:
    a, b = set(one.tolist()), set(other.tolist())
    return len(a & b) / len(a | b)


def measured(case: Case, pair: Pair, seed: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Median seconds and picks of all contenders, in turns, after a warm-up at a small size.

    On one thread these are CPU seconds, so that other work on the machine does not count.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    names = ["streaming", *case.peers]
    calls = {name: contender(name, case, pair, seed) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    picked: dict[str, Tensor] = {}
    for name in names:
        prepared(name, case._replace(count=64, num_select=16), seed)()
    for turn in range(case.repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = clock()
            picked[name] = calls[name]()
            seconds[name].append(clock() - start)
    return {name: median(seconds[name]) for name in names}, picked


def compare(case: Case, seed: int, memory: bool = True) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Seconds and peak extra bytes of all contenders, and how their picks overlap with ours in float64."""
    seconds, picks = measured(case, of(case, seed), seed)
    exact = contender("streaming", case, of(case, seed, torch.float64), seed)()
    results = {name: {"seconds": taken} for name, taken in seconds.items()}
    if memory:
        for name, result in results.items():
            result["peak_bytes"] = peak_bytes(prepared, name, case, seed)
    return results, {name: jaccard(exact, picked) for name, picked in picks.items()}


def equal_picks(case: Case, seed: int) -> dict[str, bool]:
    """Whether each matrix form picks exactly what ours does, in float64."""
    wide = of(case, seed, torch.float64)
    exact = contender("streaming", case, wide, seed)().tolist()
    return {name: exact == contender(name, case, wide, seed)().tolist() for name in case.peers}


def small(repeats: int, seed: int) -> dict[str, float]:
    """Median milliseconds a selection at the sizes of small trainings (d=64, f=0.8), streaming alone."""
    cases = [Case(loss, count, count // 5, 64, (), repeats) for loss in PEERS for count in (320, 640, 1280)]
    return {case.label(): 1000 * measured(case, of(case, seed), seed)[0]["streaming"] for case in cases}


def huge(seed: int) -> list[dict[str, Any]]:
    """B=65,536 once, ours alone: two matrices of all pairs would take 34 GB."""
    found = []
    for loss in PEERS:
        case = Case(loss, 65_536, 13_107, 512, (), 1)
        results, _ = measured(case, of(case, seed), seed)
        peak = peak_bytes(prepared, "streaming", case, seed)
        found.append({**case._asdict(), "seconds": results["streaming"], "peak_bytes": peak})
        print(f"{case.label()}: {results['streaming']:.0f} s, {peak / 2**20:.0f} MiB extra\n", flush=True)
    return found


def survival(original: Path | None, seed: int) -> list[list[str]]:
    """What comes of extreme temperatures and of sizes that do not divide; each draw with its own default gain."""
    own = load_original(original) if original else None
    rows = []
    for count, ratio, chunks in ((320, 0.8, 16), (250, 0.8, 16), (100, 0.8, 3), (1000, 0.9, 7)):
        rows.append(_outcomes(f"B={count} f={ratio} N={chunks}", count, ratio, chunks, None, own, seed))
    for scale in (10.0, 100.0, 1000.0, 1e4):
        rows.append(_outcomes(f"B=320 N=4, scale {scale:g}", 320, 0.8, 4, scale, own, seed))
    return rows


def _outcomes(label: str, count: int, ratio: float, chunks: int, scale: float | None, own: Any, seed: int) -> list[str]:
    learner, reference = embeddings(count, 64, seed)
    if scale:
        learner, reference = (PairEmbeddings(p.image_ND, p.text_ND, scale, -10.0) for p in (learner, reference))
    wanted = round(count * (1 - ratio))
    draws: list[Callable[[], Tensor]] = [
        lambda: select_jointly(learner, reference, wanted, num_chunks=chunks, seed=seed).indices,
        lambda: paper(learner, reference, ratio, chunks),
        lambda: paper(learner, reference, ratio, chunks, gain=1.0),
        lambda: trainer(learner, reference, ratio, chunks),
    ]
    draws += [lambda: own(learner, reference, ratio, chunks)] if own else []
    return [label, *(outcome(draw, wanted) for draw in draws)]


def show(case: Case, results: dict[str, dict[str, float]], overlap: dict[str, float], equal: dict[str, bool]) -> None:
    """One case as a table."""
    ours = results["streaming"]
    rows = [
        [
            name,
            f"{result['seconds']:.3f}",
            f"{result['seconds'] / ours['seconds']:.1f}",
            f"{result['peak_bytes'] / 2**20:.0f}",
            f"{result['peak_bytes'] / ours['peak_bytes']:.1f}",
            str(equal.get(name, "-")),
            f"{overlap[name]:.4f}",
        ]
        for name, result in results.items()
    ]
    print(f"{case.label()} gain={GAIN:g}")
    print(table(["", "seconds", "x ours", "peak MiB", "x ours", "= ours float64", "Jaccard"], rows) + "\n", flush=True)


def run(case: Case, seed: int) -> dict[str, Any]:
    """Times, memory and picks of one case, shown."""
    results, overlap = compare(case, seed)
    equal = equal_picks(case, seed)
    show(case, results, overlap, equal)
    same = all(equal.values()) and overlap["streaming"] >= 0.999
    return {**case._asdict(), "results": results, "equal_float64": equal, "jaccard": overlap, "same": same}


def swept(cases: list[Case], seed: int) -> list[dict[str, Any]]:
    """Times and overlap of the sweep, a line each."""
    rows, found = [], []
    for case in cases:
        results, overlap = compare(case, seed, memory=False)
        found.append({**case._asdict(), "results": results, "jaccard": overlap})
        ours = results.pop("streaming")
        others = [f"{name} {result['seconds'] / ours['seconds']:.1f}" for name, result in results.items()]
        rows.append([case.label(), f"{1000 * ours['seconds']:.0f}", f"{overlap['streaming']:.3f}", *others])
        results["streaming"] = ours
        rows[-1] += [""] * (5 - len(rows[-1]))
    print(table(["", "ours ms", "Jaccard", "times ours", ""], rows) + "\n", flush=True)
    return found


def plot(figures: dict[str, Any], file: Path) -> None:
    """Seconds and extra memory against B, all forms, from the sweep and the full cases."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    points: dict[str, dict[int, dict[str, float]]] = {}
    for case in [*figures["sweep"], *figures["cases"], *figures["huge"]]:
        usual = (case["chunks"], case["dtype"]) == (CHUNKS, "float32") and case["dim"] in (256, 512)
        if usual and abs(case["num_select"] / case["count"] - 0.2) < 0.01:
            for name, result in case.get("results", {"streaming": case}).items():
                points.setdefault(f"{case['loss']}, {name}", {})[case["count"]] = result
    picture, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for label, at in points.items():
        for axis, key, unit in zip(axes, ("seconds", "peak_bytes"), (1, 2**20), strict=True):
            known = {count: result[key] / unit for count, result in sorted(at.items()) if key in result}
            style = "o-" if label.endswith("streaming") else "s--"
            axis.loglog(list(known), list(known.values()), style, label=label, ms=4)
    for axis, title in zip(axes, ("seconds", "extra memory, MiB"), strict=True):
        axis.set(xlabel="super-batch B (f = 0.8, N = 16, d = 256, or 512 from B = 8,192)", title=title)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7, frameon=False)
    picture.savefig(file, dpi=110)


def figures(options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, with the named figures on top."""
    print(f"{torch.get_num_threads()} CPU thread(s)\n", flush=True)
    cases = [run(case, options.seed) for case in (QUICK if options.quick else FULL)]
    milliseconds = small(5 if options.quick else 30, options.seed)
    print(
        table(["small sizes, d=64", "ms"], [[name, f"{value:.1f}"] for name, value in milliseconds.items()]) + "\n",
        flush=True,
    )
    survived = survival(options.original, options.seed)
    names = ["ours", "paper, as printed", "paper, gain 1", "trainer's draw"] + (
        ["trainer's own code"] if options.original else []
    )
    print(table(["asked", *names], survived) + "\n", flush=True)
    found = swept(sweep(options.quick), options.seed)
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
        "survival": [dict(zip(["asked", *names], row, strict=True)) for row in survived],
        "sweep": found,
        "huge": huge(options.seed) if options.huge else [],
        **measure_loss(options.quick, options.seed),
    }


def main() -> None:
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--plot", type=Path, metavar="FILE", help="draw time and memory against B")
    made.add_argument("--huge", action="store_true", help="B=65,536 too, which takes minutes")
    made.add_argument("--loss", action="store_true", help="the loss's memory and time alone")
    made.add_argument(
        "--original", type=Path, metavar="FILE", help="DRRho-CLIP's src/training/train.py, to run its own"
    )
    options = made.parse_args()
    torch.set_num_threads(options.threads)
    found = measure_loss(options.quick, options.seed) if options.loss else figures(options)
    if options.plot and not options.loss:
        plot(found, options.plot)
    report("selection", found, options)


if __name__ == "__main__":
    main()
