"""What a GPU does: a selection at the paper's size, and uniform and JEST steps of a ViT on synthetic images, as large as fit.

    python benchmarks/gpu.py [--quick] [--json FILE] [--model ViT-B-16]
    python benchmarks/gpu.py --prove       # this and all else that a GPU has to show (gpu_prove.py), in about ten minutes

Figures (DESIGN.md, "Numbers to hold"), named by the card that is found (h100, h200): selection_ms_<gpu>, selection_gib_<gpu> at
B = 163,840, b = 32,768, d = 768, N = 16; jest_step_over_formula_<gpu> with bf16 steps; mfu_<model>_<gpu>, a uniform step's operations a
second over what the largest matrix product reaches; batch_<model>_<gpu>, the b of these steps, the largest that fits. Without a GPU it
runs tiny sizes on the CPU, to show that it works, and names no figure.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from common import interleaved, median, parser, report, table
from gpu_prove import PARTS, prove, run_part

from superbatch.data.fields import Batch
from superbatch.models import build_model
from superbatch.options import ModelSettings, SelectionSettings, TrainingSettings
from superbatch.selection import PairEmbeddings, select_jointly
from superbatch.tasks import Contrastive, Reference
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS
from superbatch.training.choosing import choose, score, score_slice
from superbatch.training.distributed import ALONE
from superbatch.training.flops import Account
from superbatch.training.gradients import BatchGradients
from superbatch.training.machine import repeatable
from superbatch.training.optimizer import make_optimizer
from superbatch.training.step import Trained, train_step
from superbatch.training.task import LEARNER


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run.

    Attributes:
        count, num_select, dim: of the selection.
        batch, most: of the training steps, the first batch that is tried, and the largest.
        repeats: of each measurement.
        matrix: side of the product that the peak is taken from.
    """

    count: int
    num_select: int
    dim: int
    batch: int
    most: int
    repeats: int
    matrix: int


SIZES = {
    "gpu": Sizes(163_840, 32_768, 768, 1_024, 4_096, 10, 16_384),
    "quick": Sizes(16_384, 3_276, 256, 128, 128, 3, 8_192),
    "cpu": Sizes(640, 128, 64, 16, 16, 2, 512),
}
RULE = SelectionSettings(method="joint", filter_ratio=0.8)
GRAIN = 64  # batches are multiples of it
PLAIN = ("batch", "jest_step_over_formula", "mfu")  # numbers without a unit; the others are milliseconds


def unit(count: int, dim: int, device: torch.device, seed: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    """Return random unit vectors (count, dim)."""
    made = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(made, dim=1).to(device, dtype)


def timed(call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Wrap a call so that it ends when the device has finished."""

    @wraps(call)
    def wait() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return wait


def selection(sizes: Sizes, device: torch.device, seed: int) -> tuple[float, float]:
    """Time one joint selection; returns milliseconds and GiB beyond the embeddings."""
    models = [
        PairEmbeddings(
            unit(sizes.count, sizes.dim, device, 4 * seed + i),
            unit(sizes.count, sizes.dim, device, 4 * seed + i + 2),
            10.0,
            -10.0,
        )
        for i in (0, 1)
    ]
    before = torch.cuda.memory_allocated() if device.type == "cuda" else 0
    call = timed(lambda: select_jointly(models[0], models[1], sizes.num_select, num_chunks=16), device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = median(interleaved({"selection": call}, sizes.repeats)["selection"])
    peak = torch.cuda.max_memory_allocated() - before if device.type == "cuda" else 0
    return 1e3 * seconds, peak / 2**30


def matrix_peak(device: torch.device, side: int, repeats: int) -> float:
    """Return operations a second of a product of two (side, side) matrices in bfloat16."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = median(interleaved({"product": timed(lambda: left @ right, device)}, repeats)["product"])
    return 2 * side**3 / seconds


class Steps:
    """Steps of a model on synthetic images, of any batch, as a run takes them.

    Args:
        config: the model's configuration.
        device: where.
        seed: of weights and noise.
    """

    def __init__(self, config: Path, device: torch.device, seed: int) -> None:
        self.device, self.settings = device, TrainingSettings(seed=seed)
        self.clip = build_model(ModelSettings(config=str(config)), loss="sigmoid", batch_size=1_024, seed=seed)
        self.task = Contrastive(self.clip, self.settings, RULE, Reference(10.0, -10.0))
        self.task.place(device, self.settings)
        optimizer = make_optimizer(self.clip.model.train(), self.settings.optimizer)
        self.trained = [Trained(LEARNER, optimizer, BatchGradients(self.task, LEARNER, ALONE))]

    def super_batch(self, batch: int) -> Batch:
        """Make up a super-batch for a batch of that many."""
        big, size, dim = round(batch / (1 - RULE.filter_ratio)), self.clip.image_size, self.clip.config["model_cfg"]
        fields = {
            IMAGE: torch.randint(0, 255, (big, 3, size, size), dtype=torch.uint8).to(self.device),
            TOKENS: torch.randint(1, 1000, (big, self.clip.context_length)).to(self.device),
        }
        cached = {name: unit(big, dim["embed_dim"], self.device, 7) for name in CACHED}
        return Batch(np.arange(big), {**fields, **cached})

    def contenders(self, batch: int) -> dict[str, Callable[[], None]]:
        """Return a uniform and a JEST step, and what the second has more of."""
        whole, settings = self.super_batch(batch), replace(self.settings, batch_size=batch)
        first = whole.take(torch.arange(batch, device=self.device))

        def forward() -> None:
            score(self.task, whole, RULE.rules[0], score_slice(settings, self.device, whole))

        def jest() -> None:
            scores = score(self.task, whole, RULE.rules[0], score_slice(settings, self.device, whole))
            chosen = choose(scores, whole.rows, batch, RULE, settings.seed, 0)
            train_step(self.task, self.trained, whole.take(chosen.indices), settings)

        calls = {
            "forward of the super-batch": forward,
            "uniform step": lambda: train_step(self.task, self.trained, first, settings),
            "JEST step": jest,
        }
        return {name: timed(call, self.device) for name, call in calls.items()}

    def try_out(self, batch: int) -> None:
        """Take two JEST steps.

        Raises:
            torch.OutOfMemoryError: the batch does not fit, or only as long as memory is given back and taken again at each step.
        """
        step = self.contenders(batch)["JEST step"]
        step()
        before = self._retries()
        step()
        if self._retries() > before:
            raise torch.OutOfMemoryError("memory has to be given back within a step")

    def _retries(self) -> int:
        return torch.cuda.memory_stats()["num_alloc_retries"] if self.device.type == "cuda" else 0

    def measure(self, batch: int, sizes: Sizes) -> dict[str, float]:
        """Time the parts of a uniform and of a JEST step.

        Returns:
            Medians in milliseconds, the ratio of a JEST step to the formula, and a uniform step's share of the matrix peak (mfu).
        """
        found = {
            name: 1e3 * median(seconds) for name, seconds in interleaved(self.contenders(batch), sizes.repeats).items()
        }
        formula = found["uniform step"] + found["forward of the super-batch"]  # F(3 + B/b) with both parts measured
        peak = matrix_peak(self.device, sizes.matrix, sizes.repeats)
        achieved = Account(self.task.forwards()).step(batch, 0) / (found["uniform step"] / 1e3)
        return {**found, "jest_step_over_formula": found["JEST step"] / formula, "mfu": achieved / peak}


def largest_batch(try_out: Callable[[int], None], start: int, most: int, clean: Callable[[], None]) -> int:
    """Return the largest batch that fits: doubled or halved until the answer changes, then bisected.

    Args:
        try_out: raises torch.OutOfMemoryError where a batch does not fit.
        start: the first batch that is tried.
        most: none is larger; a multiple of 64, if it is not `start`.
        clean: gives back what a try has left.

    Returns:
        `most`, or a multiple of 64; 0 where none fits.
    """
    grain = min(GRAIN, start)
    fits, too_large, batch = 0, most + grain, start
    while too_large - fits > grain:
        try:
            try_out(batch)
            fits = batch
        except torch.OutOfMemoryError:
            too_large = batch
        clean()  # outside of `except`, where the error still holds the tensors of its frames
        if fits == 0:
            batch = too_large // 2 // grain * grain
        elif too_large > most:
            batch = min(2 * fits, most)
        else:
            batch = fits + (too_large - fits) // 2 // grain * grain
    return fits


def clean(steps: Steps) -> None:
    """Give back gradients and what the allocator keeps."""
    for one in steps.trained:
        one.optimizer.zero_grad(set_to_none=True)
    gc.collect()
    torch.cuda.empty_cache()


def measure_steps(config: Path, sizes: Sizes, device: torch.device, seed: int) -> dict[str, float]:
    """Find the largest batch that fits, and time its steps; `batch` is in the result."""
    steps = Steps(config, device, seed)
    with repeatable(device, steps.settings):
        batch = largest_batch(steps.try_out, sizes.batch, sizes.most, lambda: clean(steps))
        if batch == 0:
            raise SystemExit(f"{config}: not even a batch of {GRAIN} fits on this device")
        return {"batch": batch, **steps.measure(batch, sizes)}


def card(name: str) -> str:
    """Return how figures call a device, by its name: h100, h200, or else the name in small letters."""
    known = re.search(r"\bh[12]00\b", name.lower())
    return known[0] if known else re.sub(r"\W+", "_", name.lower()).strip("_")


def named(milliseconds: float, gib: float, found: dict[str, float], model: str, gpu: str) -> dict[str, float]:
    """Return the figures under the names of model and card."""
    short = model.lower().replace("-", "_", 1).replace("-", "")  # ViT-B-16: vit_b16
    figures = {f"selection_ms_{gpu}": milliseconds, f"selection_gib_{gpu}": gib}
    for name, value in found.items():
        suffix = "" if name in PLAIN else "_ms"
        of_model = f"_{short}" if name in ("batch", "mfu") else ""
        figures[f"{name.replace(' ', '_').lower()}{suffix}{of_model}_{gpu}"] = value
    return figures


def model_config(name: str, device: torch.device, folder: Path) -> Path:
    """Write open_clip's configuration of a model to a file; the tiny one without a GPU."""
    import open_clip

    if device.type != "cuda":
        return Path(__file__).resolve().parents[1] / "conf" / "models" / "tiny.json"
    path = folder / "model.json"
    path.write_text(json.dumps({"model_cfg": open_clip.get_model_config(name)}))
    return path


def shown(name: str, value: float) -> str:
    """Say a number of the table."""
    if name == "batch":
        return f"{value:,}"
    return f"{value:.2f}" if name in PLAIN else f"{value:.1f} ms"


def main(options: argparse.Namespace) -> None:
    """Run both parts, print a table and the line of JSON."""
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        print("there is no GPU here: tiny sizes on the CPU show that it works, and no figure is named", flush=True)
    sizes = SIZES["cpu" if device.type == "cpu" else "quick" if options.quick else "gpu"]
    milliseconds, gib = selection(sizes, device, options.seed)
    with TemporaryDirectory() as folder:
        found = measure_steps(model_config(options.model, device, Path(folder)), sizes, device, options.seed)
    what = f"selection B={sizes.count:,} b={sizes.num_select:,} d={sizes.dim}"
    rows = [[what, f"{milliseconds:.1f} ms", f"{gib:.2f} GiB"]]
    rows += [[name, shown(name, value), ""] for name, value in found.items()]
    gpu = card(torch.cuda.get_device_name()) if device.type == "cuda" else "cpu"
    print(table(["what", gpu, "extra memory"], rows))
    real = device.type == "cuda" and not options.quick
    report("gpu", named(milliseconds, gib, found, options.model, gpu) if real else {}, options)


if __name__ == "__main__":
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--model", default="ViT-B-16", help="an open_clip model name")
    arguments.add_argument("--prove", action="store_true", help="run everything that a GPU has to show")
    arguments.add_argument("--only", nargs="+", choices=sorted(PARTS), help="parts of --prove")
    arguments.add_argument("--part", choices=sorted(PARTS), help="be one part's process; --json FILE is its answer")
    given = arguments.parse_args()
    (run_part if given.part else prove if given.prove else main)(given)
