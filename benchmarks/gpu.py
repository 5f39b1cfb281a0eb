"""What a GPU does: a selection at the paper's size, and uniform and JEST steps of a ViT on synthetic images.

    python benchmarks/gpu.py [--quick] [--json FILE] [--model ViT-B-16]

Figures (DESIGN.md, "Numbers to hold"): selection_ms_<gpu>, selection_gib_<gpu> at B = 163,840, b = 32,768, d = 768, N = 16;
jest_step_over_formula with bf16 steps; mfu_<model>_<gpu>, a uniform step's operations a second over what the largest matrix product reaches. Without a GPU it runs tiny sizes on the CPU, to show that it works, and names no figure.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from common import interleaved, median, parser, report, table

from superbatch.models import build_model
from superbatch.options import ModelSettings, SelectionSettings, TrainingSettings
from superbatch.selection import PairEmbeddings, select_jointly
from superbatch.training.flops import count_forward
from superbatch.training.job import Reference
from superbatch.training.optimizer import make_optimizer
from superbatch.training.step import Batch, Towers, Trained, choose, score, score_slice, train_step


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run: of the selection, and of the training steps."""

    count: int
    num_select: int
    dim: int
    batch: int
    repeats: int
    matrix: int


SIZES = {
    "gpu": Sizes(163_840, 32_768, 768, 1_024, 10, 16_384),
    "quick": Sizes(16_384, 3_276, 256, 128, 3, 8_192),
    "cpu": Sizes(640, 128, 64, 16, 2, 512),
}
FILTER_RATIO = 0.8


def unit(count: int, dim: int, device: torch.device, seed: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """Return random unit vectors (count, dim)."""
    made = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(made, dim=1).to(device, dtype)


def timed(call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Wrap a call so that it ends when the device has finished."""

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


class RandomReference:
    """Reference embeddings of random rows: the cost of looking them up and choosing, without a reference."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (n, dim) unit vectors twice."""
        made = unit(len(rows), self.dim, torch.device("cpu"), 7, torch.float32).numpy()
        return made, made


def matrix_peak(device: torch.device, side: int, repeats: int) -> float:
    """Return operations a second of a product of two (side, side) matrices in bfloat16."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = median(interleaved({"product": timed(lambda: left @ right, device)}, repeats)["product"])
    return 2 * side**3 / seconds


def steps(config: Path, sizes: Sizes, device: torch.device, seed: int) -> dict[str, float]:
    """Time the parts of a uniform and of a JEST step.

    Returns:
        Medians in milliseconds, the ratio of a JEST step to the formula, and a uniform step's share of the matrix peak (mfu).
    """
    training = TrainingSettings(batch_size=sizes.batch)
    clip = build_model(ModelSettings(config=str(config)), loss="sigmoid", batch_size=sizes.batch, seed=seed)
    clip.model.to(device).train()
    towers = Towers.of(clip, device, "auto")
    trained = [Trained(towers, make_optimizer(clip.model, training.optimizer))]
    big = round(sizes.batch / (1 - FILTER_RATIO))
    size = clip.image_size
    pixels = torch.randint(0, 255, (big, 3, size, size), dtype=torch.uint8).to(device)
    ids = torch.randint(1, 1000, (big, clip.context_length)).to(device)
    batch = Batch(np.arange(big), pixels, ids)
    first = batch.take(torch.arange(sizes.batch, device=device))
    reference = Reference(RandomReference(clip.config["model_cfg"]["embed_dim"]), 10.0, -10.0)
    rule = SelectionSettings(method="joint", filter_ratio=FILTER_RATIO)

    def jest() -> None:
        learner = score(towers, batch, score_slice(training, device))
        chosen = choose(learner, reference, batch.rows, sizes.batch, rule, "sigmoid", seed, 0)
        train_step(trained, batch.take(chosen.indices), training)

    contenders = {
        "forward of the super-batch": timed(lambda: score(towers, batch, score_slice(training, device)), device),
        "uniform step": timed(lambda: train_step(trained, first, training), device),
        "JEST step": timed(jest, device),
    }
    found = {name: 1e3 * median(seconds) for name, seconds in interleaved(contenders, sizes.repeats).items()}
    formula = found["uniform step"] + found["forward of the super-batch"]  # F(3 + B/b) with both parts measured
    peak = matrix_peak(device, sizes.matrix, sizes.repeats)
    achieved = 3 * count_forward(clip).total * sizes.batch / (found["uniform step"] / 1e3)
    return {**found, "jest_step_over_formula": found["JEST step"] / formula, "mfu": achieved / peak}


def model_config(name: str, device: torch.device, folder: Path) -> Path:
    """Write open_clip's configuration of a model to a file; the tiny one without a GPU."""
    import open_clip

    if device.type != "cuda":
        return Path(__file__).resolve().parents[1] / "conf" / "models" / "tiny.json"
    path = folder / "model.json"
    path.write_text(json.dumps({"model_cfg": open_clip.get_model_config(name)}))
    return path


def main(options: argparse.Namespace) -> None:
    """Run both parts, print a table and the line of JSON."""
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = SIZES["cpu" if device.type == "cpu" else "quick" if options.quick else "gpu"]
    milliseconds, gib = selection(sizes, device, options.seed)
    with TemporaryDirectory() as folder:
        found = steps(model_config(options.model, device, Path(folder)), sizes, device, options.seed)
    rows = [
        [
            f"selection B={sizes.count:,} b={sizes.num_select:,} d={sizes.dim}",
            f"{milliseconds:.1f} ms",
            f"{gib:.2f} GiB",
        ]
    ]
    rows += [
        [name, f"{value:.2f}" if name in ("jest_step_over_formula", "mfu") else f"{value:.1f} ms", ""]
        for name, value in found.items()
    ]
    print(table(["what", device.type, "extra memory"], rows))
    figures = {}
    if device.type == "cuda" and not options.quick:
        gpu = torch.cuda.get_device_name().split()[-1].lower()
        model = options.model.lower().replace("-", "_", 1).replace("-", "")  # ViT-B-16: vit_b16
        figures = {f"selection_ms_{gpu}": milliseconds, f"selection_gib_{gpu}": gib, **found}
        figures[f"mfu_{model}_{gpu}"] = figures.pop("mfu")
    report("gpu", figures, options)


if __name__ == "__main__":
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--model", default="ViT-B-16", help="an open_clip model name")
    main(arguments.parse_args())
