"""What a step costs by who scores and in which view, in seconds and in operations: contenders that take turns, reading left out.

A part of `benchmarks/training.py`. Operations are those of the project's own account (`training.flops.Account`), the one behind ledger and report.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from common import ROOT, median, table
from trainers import Case, our_job, ours, vit
from turns import Steps, in_turns

from superbatch.config import learner_settings, method_names
from superbatch.options import FlexiSettings, LowSettings, ModelSettings, SelectionSettings
from superbatch.tasks import SetFiles
from superbatch.training.flops import Account, Samples

GOALS = {"step_over_formula": 1.10, "flexi_step_over_uniform_224": 1.25}


@dataclass(frozen=True)
class Way:
    """A way to take a step: who scores, and in which view."""

    selection: SelectionSettings
    flexi: FlexiSettings | None = None


UNIFORM, JEST = Way(SelectionSettings()), Way(SelectionSettings("joint"))


def presets(patch: int) -> dict[str, Way]:
    """Return uniform, and every preset of conf that scores with a model, by the rule it scores by; names of equal steps are joined.

    Args:
        patch: the learner's own patch size; a low view takes patches twice as large.
    """
    conf = {name: yaml.safe_load((ROOT / "conf" / "base" / f"{name}.yml").read_text()) for name in _FILES}
    blocks, found = conf["parameters_methods"], {UNIFORM: ["uniform"]}
    for name in method_names(blocks):
        settings = learner_settings(conf["parameters"]["learner"], blocks[name]["learner"], name)
        rules = [rule for rule in settings.selection.rules if rule.scores]
        # `show_scoring` has proxies, of the case's own view; a teacher's part is not what this is about.
        if not rules or settings.selection.proxy is not None or settings.distill is not None:
            continue
        rule, stale = rules[-1], settings.selection.stale_steps
        scoring = SelectionSettings(rule.method, rule.filter_ratio, rule.criterion, stale_steps=stale)
        low = None if settings.flexi is None else replace(settings.flexi, low=LowSettings(patch_size=2 * patch))
        found.setdefault(Way(scoring, low), []).append(name)
    return {" = ".join(names): way for way, names in found.items()}


_FILES = ("parameters", "parameters_methods")


def accounts(case: Case, pool: SetFiles, ways: Mapping[str, Way]) -> Iterator[tuple[str, Account, Samples]]:
    """Yield each way's account of a step, and the samples of one; models are built for it and let go."""
    for name, way in ways.items():
        with TemporaryDirectory() as folder:
            job = our_job(case, pool, Path(folder), selection=way.selection, flexi=way.flexi)
            job.task.place(torch.device("cpu"), job.training)
            yield name, job.account(), Samples.of_step(case.batch, job.super_batch_size if way.selection.scores else 0)


def over_uniform(case: Case, pool: SetFiles, ways: Mapping[str, Way], tower: str | None = None) -> dict[str, float]:
    """Return each way's operations a step as executed over uniform's, of the whole model or of a tower."""
    found = accounts(case, pool, ways)
    return {name: (account.members[tower] if tower else account).over_uniform(step) for name, account, step in found}


def taken(case: Case, pool: SetFiles, ways: Mapping[str, Way], repeats: int) -> dict[str, Steps]:
    """Take steps of each way in turns."""
    contenders = {
        name: partial(ours, case, pool, selection=way.selection, flexi=way.flexi) for name, way in ways.items()
    }
    return in_turns(contenders, repeats, step_by_step=case.workers == 0)


def times(found: Mapping[str, Steps]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median seconds of a step by the clock and by the processor, reading left out."""
    clock = {name: median(np.subtract(one.seconds, one.waiting).tolist()) for name, one in found.items()}
    processor = {name: median(np.subtract(one.processor, one.reading).tolist()) for name, one in found.items()}
    return clock, processor


def over(values: Mapping[str, float], base: str) -> dict[str, float]:
    """Return values over one of them."""
    return {name: value / values[base] for name, value in values.items()}


def show_steps(options: argparse.Namespace, pool: SetFiles, cases: list[Case]) -> dict[str, float]:
    """Run, print and return the steps of presets over uniform's: all that score at the first case, jest and flexi_jest at the others."""
    figures: dict[str, float] = {}
    for number, case in enumerate(cases):
        if options.case and options.case != case.name:
            continue
        ways = presets(case.config["model_cfg"]["vision_cfg"]["patch_size"])
        if number:
            ways = {
                name: way for name, way in ways.items() if name.split(" = ")[0] in ("uniform", "jest", "flexi_jest")
            }
        figures |= _show(case, pool, ways, options.repeats)
    return figures


def _show(case: Case, pool: SetFiles, ways: Mapping[str, Way], repeats: int) -> dict[str, float]:
    seconds = times(taken(case, pool, ways, repeats))
    clock, processor = (over(one, "uniform") for one in seconds)
    whole, image = (over_uniform(case, pool, ways, tower) for tower in (None, "image"))
    header = [
        f"{case.name}, b = {case.batch}",
        "step ms",
        "over uniform",
        "processor",
        "operations",
        "image tower",
        "over formula",
    ]
    rows = [
        [name, f"{1e3 * seconds[0][name]:.0f}", *(f"{one[name]:.2f}" for one in (clock, processor, whole, image))]
        + [f"{clock[name] / whole[name]:.2f}, {processor[name] / whole[name]:.2f}"]
        for name in ways
    ]
    print(table(header, rows) + "\n", flush=True)
    figures = {}
    for name in list(ways)[1:]:
        for suffix, values in (("", clock), ("_processor", processor)):
            short = name.split(" = ")[0]
            figures[f"step_over_formula{suffix}.{case.name}_{short}"] = round(values[name] / whole[name], 3)
            figures[f"step_over_uniform{suffix}.{case.name}_{short}"] = round(values[name], 3)
    return figures


def headline(figures: Mapping[str, float], first: str) -> dict[str, float]:
    """Return the figures under the names of DESIGN.md: of `jest` and the worst of all presets at the first case, of `flexi_jest` at 224 px."""
    found = {}
    for suffix in ("", "_processor"):
        of_case = {
            name: value for name, value in figures.items() if name.startswith(f"step_over_formula{suffix}.{first}_")
        }
        if of_case:
            found[f"jest_step_over_formula{suffix}"] = of_case[f"step_over_formula{suffix}.{first}_jest"]
            found[f"jest_step_over_formula{suffix}_worst_preset"] = max(of_case.values())
        at_224 = figures.get(f"step_over_uniform{suffix}.224px_cpu_flexi_jest")
        found |= {} if at_224 is None else {f"flexi_step_over_uniform_224{suffix}": at_224}
    return found


def half_as_wide(config: dict[str, Any]) -> dict[str, Any]:
    """Return a ViT's configuration with half its widths: a proxy of about a quarter of the operations, with the same view."""
    model = deepcopy(config)
    cfg = model["model_cfg"]
    for block, name in (
        (cfg, "embed_dim"),
        (cfg["vision_cfg"], "width"),
        (cfg["vision_cfg"], "head_width"),
        (cfg["text_cfg"], "width"),
    ):
        block[name] //= 2
    return model


def scoring_ways(proxy: Path) -> dict[str, Way]:
    """Return who scores, by name."""
    small = ModelSettings(config=str(proxy))
    return {
        "uniform": UNIFORM,
        "jest": JEST,
        "stale_4": Way(SelectionSettings("joint", stale_steps=4)),
        "proxy": Way(SelectionSettings("joint", proxy=small)),
        "proxy_stale_4": Way(SelectionSettings("joint", stale_steps=4, proxy=small)),
    }


def show_scoring(options: argparse.Namespace, pool: SetFiles, folder: Path) -> dict[str, float]:
    """Run, print and return what a JEST step costs by who scores; the proxy is half as wide as the learner."""
    tiny = json.loads((ROOT / "conf" / "models" / "tiny.json").read_text())
    small = [Case("tiny", tiny, 16, 12)] if options.quick else [Case("tiny", tiny, 64, 24)]
    figures: dict[str, float] = {}
    for case in [*small, *([] if options.quick else [Case("64px", vit(64, 8, 128, 4, 16), 64, 12)])]:
        file = folder / f"{case.name}_proxy.json"
        file.write_text(json.dumps(half_as_wide(case.config)))
        ways = scoring_ways(file)
        clock, processor = times(taken(case, pool, ways, options.repeats))
        operations = over_uniform(case, pool, ways)
        values = {"": clock, "_processor": processor, "_operations": operations}
        ratios = {suffix: over(value, "jest") for suffix, value in values.items()}
        header = [f"{case.name}, b = {case.batch}", "step ms", "over jest", "by processor", "by operations"]
        rows = [[name, f"{1e3 * clock[name]:.1f}", *(f"{one[name]:.2f}" for one in ratios.values())] for name in ways]
        print(table(header, rows) + "\n", flush=True)
        for suffix, ratio in ratios.items():
            figures |= {f"step_over_jest{suffix}.{case.name}_{name}": round(ratio[name], 3) for name in ways}
    return figures
