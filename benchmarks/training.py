"""The training engine: the loader against the decoder alone, uniform training against open_clip's trainer, steps that score against uniform's.

    python benchmarks/training.py [--quick] [--json FILE] [--threads N] [--only PART] [--shards "POOL/{00000..00003}.tar"]

Figures (DESIGN.md, "Numbers to hold"): loader_vs_decoder.<size>px, train_vs_open_clip.<size>px_<device>, jest_step_over_formula and its worst
preset, flexi_step_over_uniform_224, step_over_matmul.<case>; besides, step_over_formula.<case>_<preset>, step_over_uniform.<case>_<preset> and
step_over_jest.<model>_<who scores>.
Pictures are made up (photos.py) unless --shards names real ones. Contenders take turns, a step each; where there are loader
processes, a run each. A GPU adds ViT-B/32 and ViT-B/16 in bf16; it was never run on one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import simplejpeg
import torch
from common import interleaved, median, parser, processor_seconds, report, table
from matmul import show_matmul
from photos import write_shards
from PIL import Image
from steps import headline, show_scoring, show_steps
from trainers import Case, open_clips, our_job, ours, vit, write_config
from turns import Steps, in_turns

from superbatch.data.fields import Batch, Source, Stored
from superbatch.data.ingest import ingest
from superbatch.data.order import Order
from superbatch.data.reader import ImageReader
from superbatch.files import expand_shards
from superbatch.tasks import SetFiles
from superbatch.tasks.contrastive import IMAGE, TOKENS
from superbatch.training import Job
from superbatch.training.optimizer import make_optimizer
from superbatch.training.reading import TRAINING, Phase, Reader, read_ahead
from superbatch.training.task import LEARNER

CPU = torch.device("cpu")


class Pool:
    """The shards of a benchmark, ingested."""

    def __init__(self, folder: Path, shards: str | None, distinct: int, samples: int, seed: int) -> None:
        self.paths = expand_shards(shards) if shards else write_shards(folder / "shards", distinct, samples, seed)
        ingest(self.paths, folder / "set")
        self.files = SetFiles(folder / "set")
        self.shards = "::".join(str(path) for path in self.paths)  # as webdataset writes a list


def decode_alone(files: list[bytes], size: int) -> None:
    """Decode and resize with simplejpeg and Pillow, bytes in memory, nothing kept: what the decoder alone does."""
    for data in files:
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=size, min_width=size)
        height, width = pixels.shape[:2]
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, box=box))


def library_alone(files: list[bytes], size: int) -> None:
    """Decode with simplejpeg and do nothing else: no square is cut, nothing resized."""
    for data in files:
        simplejpeg.decode_jpeg(data, "RGB", min_height=size, min_width=size)


def load(source: Source, batch: int, steps: int, workers: int) -> None:
    """Iterate over batches and drop them."""
    order = Order(0, source.num_rows, batch)
    wanted = ((step, order.rows(step)) for step in range(steps))
    with Reader(source, {TRAINING: Phase((IMAGE, TOKENS), batch)}, workers, CPU) as reader:
        for _ in read_ahead(reader, TRAINING, wanted):
            pass


def loader(pool: Pool, size: int, samples: int, repeats: int) -> dict[str, float]:
    """Images a second of processor time, of decoder and loader on one core; a loader process starts and ends within its time."""
    reader = ImageReader(pool.files.manifest(), size)
    batch = min(256, samples)
    samples -= samples % batch
    rows = np.arange(samples) % len(reader)
    files = [reader.read_bytes(row) for row in rows.tolist()]
    ids = np.zeros((len(reader), 16), np.int64)
    source = Source({IMAGE: Stored(reader.read, len(reader)), TOKENS: Stored(ids.__getitem__, len(reader))})
    contenders: dict[str, Callable[[], object]] = {
        "simplejpeg alone": lambda: library_alone(files, size),
        "decoder alone": lambda: decode_alone(files, size),
        "loader": lambda: load(source, batch, samples // batch, 0),
        "loader, 1 process": lambda: load(source, batch, samples // batch, 1),
    }
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})  # all of them on one and the same core
    try:
        seconds = interleaved(contenders, repeats, processor_seconds)
    finally:
        os.sched_setaffinity(0, allowed)
    return {name: samples / median(times) for name, times in seconds.items()}


def first_batch(job: Job, batch: int) -> Batch:
    """Start a job's task, and read the first rows of its set."""
    job.task.place(CPU, job.training)
    return job.source.read((IMAGE, TOKENS), np.arange(batch), 0)


def loss_of(job: Job, batch: Batch) -> torch.Tensor:
    """Return the learner's loss on a batch, with its graph."""
    return job.task.loss(LEARNER, job.task.outputs(LEARNER, batch), batch, None)


def parity(case: Case, pool: Pool, folder: Path) -> float:
    """Return the largest relative difference of our loss and open_clip's: same weights, same images, both losses."""
    import open_clip
    from open_clip.loss import SigLipLoss

    worst = 0.0
    for loss, theirs in (("softmax", open_clip.ClipLoss()), ("sigmoid", SigLipLoss())):
        once = Case(case.name, case.config, case.batch, 1, loss=loss)
        job = our_job(once, pool.files, folder, compact=False)
        clip, batch = job.task.clip, first_batch(job, case.batch)
        start = {"init_logit_bias": -10.0} if loss == "sigmoid" else {}
        model = open_clip.create_model(f"local-dir:{write_config(case, folder / 'theirs')}", **start)
        model.load_state_dict(clip.model.state_dict())
        mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in clip.mean_std)
        with torch.no_grad():
            image, text, *others = model((batch[IMAGE] / 255 - mean) / std, batch[TOKENS])
            expected = float(theirs(image, text, *others))
            found = float(loss_of(job, batch))
        worst = max(worst, abs(found - expected) / abs(expected))
    return worst


def against_open_clip(case: Case, pool: Pool, repeats: int) -> dict[str, Steps]:
    """Steps of both trainers, ours with the whole vocabulary, as theirs, and with the compact one."""
    contenders = {
        "open_clip": partial(open_clips, case, pool.shards),
        "superbatch, whole vocabulary": partial(ours, case, pool.files, compact=False),
        "superbatch": partial(ours, case, pool.files),
    }
    return in_turns(contenders, repeats, step_by_step=case.workers == 0)


def profile(case: Case, pool: Pool, folder: Path, compact: bool, fused: bool, repeats: int = 4) -> list[float]:
    """Return processor milliseconds of the parts of a training step: forward with loss, backward, clipping, optimiser."""
    job = our_job(case, pool.files, folder, compact=compact)
    batch = first_batch(job, case.batch)
    model = job.task.models[LEARNER].module.train()
    optimizer = make_optimizer(model, job.training.optimizer)
    if not fused:
        optimizer = torch.optim.AdamW(optimizer.param_groups, fused=False)
        for group in optimizer.param_groups:
            group["fused"] = False
    rounds = []
    for _ in range(repeats + 1):
        marks = [time.thread_time()]
        value = loss_of(job, batch)
        marks.append(time.thread_time())
        value.backward()
        marks.append(time.thread_time())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        marks.append(time.thread_time())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        marks.append(time.thread_time())
        rounds.append(np.diff(marks) * 1e3)
    return [float(part) for part in np.median(rounds[1:], axis=0)]


def cases(quick: bool) -> list[Case]:
    """Return what is trained: on a CPU always, on a GPU where there is one."""
    if quick:
        return [Case("64px_cpu", vit(64, 16, 64, 2, 16), 16, 8)]
    found = [
        Case("64px_cpu", vit(64, 8, 128, 4, 16), 64, 14),
        Case("224px_cpu", vit(224, 16, 192, 4, 32), 16, 14),
    ]
    if torch.cuda.is_available():
        import open_clip

        for name in ("ViT-B-32", "ViT-B-16"):
            config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
            small = f"{name.lower().replace('-', '')}_gpu"
            found.append(Case(small, config, 512, 40, "amp_bf16", "cuda", max(1, (os.cpu_count() or 2) - 2)))
    return found


def step_cases(quick: bool) -> list[Case]:
    """Return what presets are compared on: 64 and 224 px; quick, both smaller."""
    if quick:
        return [replace(cases(quick)[0], steps=6), Case("224px_cpu", vit(224, 16, 64, 1, 16), 16, 5)]
    found = cases(quick)
    return found[-1:] if torch.cuda.is_available() else [replace(found[0], steps=10), replace(found[1], steps=12)]


def matmul_cases(quick: bool) -> list[Case]:
    """Return what is held against the machine's best matrix product: on a CPU, batches of 16 and 64."""
    if quick:
        return cases(quick)
    of_cpu = cases(quick)[:2]
    return [*of_cpu, replace(of_cpu[1], batch=64, steps=10)]


def rate(steps: Steps, batch: int) -> list[str]:
    """Say a contender's steps in a row of the table."""
    seconds, waiting, processor = (median(getattr(steps, name)) for name in ("seconds", "waiting", "processor"))
    return [f"{1e3 * seconds:.0f}", f"{1e3 * waiting:.0f}", f"{1e3 * processor:.0f}", f"{batch / seconds:.1f}"]


def show_trainers(options: argparse.Namespace, pool: Pool, folder: Path) -> dict[str, float]:
    """Run, print and return the comparison with open_clip."""
    figures: dict[str, float] = {}
    for case in cases(options.quick):
        if options.case and options.case != case.name:
            continue
        difference = parity(case, pool, folder)
        found = against_open_clip(case, pool, options.repeats)
        header = [f"{case.name}, batch {case.batch}", "step ms", "of it data", "processor ms", "samples/s"]
        print(table(header, [[name, *rate(steps, case.batch)] for name, steps in found.items()]), flush=True)
        theirs = found["open_clip"]
        for name, suffix in (("superbatch, whole vocabulary", "_whole_vocabulary"), ("superbatch", "")):
            mine = found[name]
            ratio = median(theirs.seconds) / median(mine.seconds)
            figures[f"train_vs_open_clip.{case.name}{suffix}"] = round(ratio, 3)
            processor = median(theirs.processor) / median(mine.processor)
            figures[f"train_vs_open_clip_processor.{case.name}{suffix}"] = round(processor, 3)
        figures[f"loss_difference.{case.name}"] = difference
        figures[f"data_share.{case.name}"] = round(median(mine.waiting) / median(mine.seconds), 3)
        print(f"largest relative difference of the losses: {difference:.1e}\n", flush=True)
    return figures


def show_loader(options: argparse.Namespace, pool: Pool) -> dict[str, float]:
    """Run, print and return the loader's part."""
    figures: dict[str, float] = {}
    for size in (64, 224):
        speed = loader(pool, size, 128 if options.quick else 4_608, options.repeats)
        alone = speed["decoder alone"]
        rows = [[name, f"{value:.0f}", f"{value / alone:.2f}"] for name, value in speed.items()]
        print(table([f"{size} px, one core", "images/processor s", "over decoder"], rows) + "\n", flush=True)
        figures[f"loader_vs_decoder.{size}px"] = round(speed["loader"] / alone, 3)
        figures[f"loader_vs_decoder.{size}px_1_process"] = round(speed["loader, 1 process"] / alone, 3)
        figures[f"loader_vs_simplejpeg.{size}px"] = round(speed["loader"] / speed["simplejpeg alone"], 3)
    return figures


def show_profile(options: argparse.Namespace, pool: Pool, folder: Path) -> dict[str, float]:
    """Print where a training step's time goes: as open_clip's trainer takes it, and with each change of ours."""
    case = cases(options.quick)[0]
    ways = {
        "whole vocabulary, plain AdamW (open_clip's)": (False, False),
        "whole vocabulary, fused AdamW": (False, True),
        "compact vocabulary, fused AdamW (ours)": (True, True),
    }
    parts = {name: profile(case, pool, folder, *way) for name, way in ways.items()}
    header = [f"{case.name}, processor ms", "forward", "backward", "clipping", "optimiser", "all"]
    rows = [[name, *(f"{part:.1f}" for part in found), f"{sum(found):.1f}"] for name, found in parts.items()]
    print(table(header, rows) + "\n", flush=True)
    return {f"step_processor_ms.{name.split(' (')[0]}": round(sum(found), 1) for name, found in parts.items()}


def show_jest(options: argparse.Namespace, pool: Pool) -> dict[str, float]:
    """Run, print and return the steps of presets that score, over uniform's."""
    of_steps = step_cases(options.quick)
    figures = show_steps(options, pool.files, of_steps)
    return figures | headline(figures, of_steps[0].name)


def main() -> None:
    """Run the parts, print their tables and the closing line."""
    options = _options()
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    figures: dict[str, Any] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        distinct, samples = (32, 512) if options.quick else (384, 3_072)
        pool = Pool(folder, options.shards, distinct, samples, options.seed)
        parts: dict[str, Callable[[], dict[str, float]]] = {
            "loader": lambda: show_loader(options, pool),
            "trainers": lambda: show_trainers(options, pool, folder),
            "profile": lambda: show_profile(options, pool, folder),
            "jest": lambda: show_jest(options, pool),
            "scoring": lambda: show_scoring(options, pool.files, folder),
            "matmul": lambda: show_matmul(options, pool.files, matmul_cases(options.quick), folder),
        }
        for part, run in parts.items():
            if options.only in (None, part):
                figures |= run()
    report("training", {**figures, "seconds": round(time.perf_counter() - started, 1)}, options)


def _options() -> argparse.Namespace:
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--only", choices=["loader", "trainers", "profile", "jest", "scoring", "matmul"])
    made.add_argument("--case", help="one case of the trainers or of the steps, such as 64px_cpu or 224px_cpu")
    made.add_argument("--shards", help="a pattern of real shards instead of made-up pictures")
    made.add_argument("--repeats", type=int, default=0, help="runs of each contender")
    options = made.parse_args()
    options.repeats = options.repeats or (1 if options.quick else 3)
    return options


if __name__ == "__main__":
    main()
