"""What a real size needs of memory and time on one GPU, eight, 64 and 512: computed from parts, not measured on a GPU.

    python benchmarks/plan_gpu.py [--environment vit_b32 ...] [--mfu 0.45] [--memory 80] [--json FILE]

Operations, bytes and numbers of parameters are the project's own, counted on this machine (plan_gpu_parts.py). What GPUs and links do with them
is assumed: `Machine` names each assumption, most of them with an option. `benchmarks/gpu.py --prove` measures the MFU, once there is a GPU.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from common import parser, report, table
from plan_gpu_parts import HALF, WHOLE, Parts, parts

from superbatch.training.distributed import Ranks

ENVIRONMENTS = ("vit_b32", "vit_b16")
PRESETS = ("uniform", "jest", "flexi_jest")
WORLDS = (1, 8, 64, 512)
MOST = 1_024  # micro-batches that are tried
BENDS = 0.8  # share of a step that is computing: below it, more GPUs are hardly worth it
COMPUTE = "compute"


@dataclass(frozen=True)
class Machine:
    """What is assumed of GPUs, links and processors.

    Attributes:
        memory: bytes of a GPU. usable: share of it that a step may take; the rest is the allocator's, nccl's and cuBLAS's.
        peak: operations a second in bfloat16, dense, by the data sheet of an H100 SXM.
        mfu: share of the peak that a step of a tower reaches, small batches and large ones alike.
        selection: operations a second of the selection's kernel.
        in_node: bytes a second and GPU in each direction, NVLink. between: between nodes, InfiniBand at 400 Gb/s for each GPU.
        per_node: GPUs of a node, each with a link of its own to other nodes; rings use all of them.
        wait: seconds that a collective takes at least in a node. doubling: more for each doubling beyond it.
        cores: of processors, for each GPU, that read ahead.
        decoded: images of 224 pixels that one of them reads and decodes a second: measured (docs/benchmarks.md, the loader).
    """

    memory: float = 80e9
    usable: float = 0.9
    peak: float = 989e12
    mfu: float = 0.45
    selection: float = 400e12
    in_node: float = 350e9
    between: float = 40e9
    per_node: int = 8
    wait: float = 20e-6
    doubling: float = 10e-6
    cores: int = 24
    decoded: float = 600.0

    @property
    def rate(self) -> float:
        """Operations a second of a GPU."""
        return self.peak * self.mfu

    def each(self, world: int) -> float:
        """Bytes a second that a GPU sends where each one sends to each other."""
        return self.in_node if world <= self.per_node else self.between

    def ring(self, world: int) -> float:
        """Bytes a second of a ring collective: between nodes there are as many rings as links."""
        return self.in_node if world <= self.per_node else min(self.in_node, self.per_node * self.between)

    def latency(self, world: int) -> float:
        """Seconds that a collective takes however little it sends."""
        if world == 1:
            return 0.0
        return self.wait + self.doubling * max(0.0, math.log2(world / self.per_node))


def memory(one: Parts, world: int, accumulate: int) -> dict[str, float]:
    """Return the bytes that a GPU holds at most, by what.

    Weights, gradients and AdamW's two moments in float32, DDP's buckets, weights in bfloat16; the super-batch's pixels, token ids and
    cached embeddings, and the chosen once more; a slice that is scored; selection's working copies; activations of a micro-batch.
    """
    b, big_b = one.batch / world, one.super_batch / world
    sides = 2 * one.dim
    buckets = WHOLE * one.parameters if world > 1 else 0
    samples = big_b * (one.scored_pixels + one.tokens + HALF * sides) + b * (one.pixels + one.tokens)
    slice_ = min(one.score_batch or 1_024, big_b) * (WHOLE * one.scored_pixels + 3 * one.widest)
    return {
        "model": (4 * WHOLE + HALF) * one.parameters + buckets,
        "samples": samples,
        "scoring": slice_ + WHOLE * sides * big_b,
        "selection": 2 * 2 * HALF * sides * big_b,
        "activations": one.activation * math.ceil(b / accumulate),
        "loss": 2 * WHOLE * sides * one.batch,  # embeddings of all, and the gradients by them
    }


def peak_memory(one: Parts, world: int, accumulate: int) -> float:
    """Return the bytes of the fuller of the two halves of a step: scoring and selection come before activations."""
    held = memory(one, world, accumulate)
    return (
        held["model"] + held["samples"] + max(held["scoring"] + held["selection"], held["activations"] + held["loss"])
    )


def fewest_micro_batches(one: Parts, world: int, machine: Machine) -> int | None:
    """Return the smallest power of two that a GPU's memory allows as `training.accumulate`; None where none does."""
    number = 1
    while number <= min(MOST, one.batch // world):
        if peak_memory(one, world, number) <= machine.usable * machine.memory:
            return number
        number *= 2
    return None


def seconds(one: Parts, world: int, accumulate: int, machine: Machine) -> dict[str, float]:
    """Return the seconds of a step by part; they add up, but for gradients, of which only what the backward pass does not hide counts."""
    b, big_b, dim = one.batch, one.super_batch, one.dim
    others = (world - 1) / world
    operations = one.account(accumulate).step(b, big_b)
    hidden = 2 * one.forwards.learner * b / accumulate / world / machine.rate  # the last micro-batch's backward pass
    reduced = 2 * others * WHOLE * one.parameters / machine.ring(world) + machine.latency(world)
    found = {
        COMPUTE: operations / world / machine.rate,
        "gather": others * WHOLE * 2 * dim * b / machine.ring(world) + machine.latency(world),
        "gradients": max(0.0, reduced - hidden) if world > 1 else 0.0,
    }
    return found | (_choosing(one, world, machine) if big_b else {})


def _choosing(one: Parts, world: int, machine: Machine) -> dict[str, float]:
    """Seconds of selection itself, of what it sends (docs/selection.md, Across ranks), and of dealing the chosen pixels."""
    b, big_b, others = one.batch, one.super_batch, (world - 1) / world
    sides = 2 * 2 * HALF * one.dim  # bytes of a pair, both models
    dealt = others * sides * big_b / world / machine.each(world)
    chosen = 2 * others * sides * b * (1 - 1 / one.chunks) / machine.ring(world)
    calls = 4 * one.chunks + 6
    return {
        "selection": 8 * big_b * b * one.dim / world / machine.selection,
        "exchange": dealt + chosen + calls * machine.latency(world),
        "pixels": moved(b, big_b, world) * (one.pixels + one.tokens) / machine.each(world) + machine.latency(world),
    }


def moved(b: int, big_b: int, world: int, seed: int = 0) -> int:
    """Draw b of B places and deal them as a step does; returns how many samples the busiest rank sends or receives."""
    places = np.sort(np.random.default_rng(seed).permutation(big_b)[:b])
    ranks = Ranks(0, world)
    held, given = (
        np.searchsorted(ranks.edges(total), where, side="right") - 1
        for total, where in ((big_b, places), (b, np.arange(b)))
    )
    moves = held != given
    return int(max(np.bincount(side[moves], minlength=world).max() for side in (held, given)))


def reading(one: Parts, world: int, machine: Machine) -> float:
    """Return the seconds that reading and decoding a step's images takes; workers do it beside everything else, so it counts where it is longer.

    Where scoring sees smaller images, the chosen are read once more.
    """
    images = max(one.super_batch, one.batch) + (one.batch if one.scored_pixels < one.pixels else 0)
    return images / world / (machine.cores * machine.decoded)


def planned(one: Parts, world: int, machine: Machine) -> dict[str, float | int | None]:
    """Return what a preset needs on so many GPUs: memory, seconds by part and together, hours of its training."""
    accumulate = fewest_micro_batches(one, world, machine)
    if accumulate is None:
        return {"accumulate": None}
    by_part, read = seconds(one, world, accumulate, machine), reading(one, world, machine)
    step = max(read, sum(by_part.values()))
    return {
        "accumulate": accumulate,
        "gb": peak_memory(one, world, accumulate) / 1e9,
        **{f"ms_{name}": 1e3 * value for name, value in by_part.items()},
        "ms_reading": 1e3 * read,
        "ms_step": 1e3 * step,
        "hours": step * one.steps / 3600,
        "computing": by_part[COMPUTE] / sum(by_part.values()),
        "tflop": one.account(accumulate).step(one.batch, one.super_batch) / 1e12,
    }


def bend(one: Parts, machine: Machine) -> tuple[int, str] | None:
    """Return the first number of GPUs, doubled from one, at which less than 0.8 of a step is computing, and the part that takes the most besides.

    Reading is left out: processors come with GPUs, so its share stays what it is.

    None where this is so at no number up to 4,096, or the batch is too small for so many.
    """
    world = 1
    while world <= min(4_096, one.batch):
        accumulate = fewest_micro_batches(one, world, machine)
        if accumulate is not None:
            by_part = seconds(one, world, accumulate, machine)
            if by_part[COMPUTE] < BENDS * sum(by_part.values()):
                return world, max((name for name in by_part if name != COMPUTE), key=lambda name: by_part[name])
        world *= 2
    return None


def show(name: str, plans: dict[int, dict[str, float | int | None]]) -> None:
    """Print a preset's plans, a line for each number of GPUs."""
    columns = sorted({key for plan in plans.values() for key in plan if key.startswith("ms_")}, key=_order)
    rows = [
        [
            str(world),
            *(_cell(plan.get(key)) for key in ("accumulate", "gb", *columns, "hours", "computing")),
        ]
        for world, plan in plans.items()
    ]
    header = ["GPUs", "micro", "GB", *(key.removeprefix("ms_") for key in columns), "hours", "computing"]
    print(f"\n{name} (milliseconds a step)\n{table(header, rows)}")


def _order(key: str) -> int:
    return ["compute", "selection", "exchange", "pixels", "gather", "gradients", "reading", "step"].index(
        key.removeprefix("ms_")
    )


def _cell(value: float | int | None) -> str:
    return (
        "-"
        if value is None
        else f"{value:,}"
        if isinstance(value, int)
        else f"{value:,.2f}"
        if value < 10
        else f"{value:,.0f}"
    )


def options() -> argparse.Namespace:
    """Read the command line."""
    made = parser(str(__doc__))
    made.add_argument("--environment", nargs="+", default=list(ENVIRONMENTS))
    made.add_argument("--mfu", type=float, default=Machine.mfu, help="share of the peak that a step reaches")
    made.add_argument("--peak", type=float, default=Machine.peak / 1e12, help="TFLOP/s of a GPU in bfloat16")
    made.add_argument("--memory", type=float, default=Machine.memory / 1e9, help="GB of a GPU")
    made.add_argument("--between", type=float, default=Machine.between / 1e9, help="GB/s between nodes, each GPU")
    return made.parse_args()


def main(given: argparse.Namespace, presets: Sequence[str] = PRESETS) -> dict[str, dict[str, object]]:
    """Plan each preset at each size; prints tables and returns them."""
    machine = replace(
        Machine(), mfu=given.mfu, peak=1e12 * given.peak, memory=1e9 * given.memory, between=1e9 * given.between
    )
    found: dict[str, dict[str, object]] = {}
    for environment in given.environment:
        for preset in presets:
            one = parts(environment, preset)
            plans = {world: planned(one, world, machine) for world in WORLDS}
            show(f"{environment}, {preset}", plans)
            bends = bend(one, machine)
            print(
                "computing is less than 0.8 of a step "
                + (f"from {bends[0]:,} GPUs on: {bends[1]}" if bends else "nowhere")
            )
            measured = {key: value for key, value in asdict(one).items() if key != "forwards"}
            measured |= {"gflop_trained": one.forwards.learner / 1e9, "gflop_scored": one.forwards.scored / 1e9}
            found[f"{environment}/{preset}"] = {"parts": measured, "plans": plans, "bends": bends}
    report("plan_gpu", {"assumed": asdict(machine), "computed": found}, given)
    return found


if __name__ == "__main__":
    chosen = options()
    torch.set_num_threads(chosen.threads)
    main(chosen)
