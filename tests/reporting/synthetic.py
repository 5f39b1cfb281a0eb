"""Made-up run directories in the layout that training and evaluation write, small and quick; made-up final values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from superbatch.data.embeddings import EmbeddingCacheWriter
from superbatch.evaluation.intervals import wilson
from superbatch.reporting.sources import SetImages

KINDS = ["clean", "mismatched", "boilerplate", "garbled", "off_topic", "near_duplicate", "corrupt"]
SHARES = [0.30, 0.35, 0.15, 0.08, 0.07, 0.04, 0.01]
FORWARD = 2e6
LEVEL = {
    "moclr": 1.0,
    "dnc": 1.0,
    "uniform": 1.0,
    "filtered": 2.2,
    "warm_start": 1.6,
    "pool_and_curated": 1.3,
    "jest": 5.0,
    "flexi_jest": 4.2,
    "independent": 3.0,
}


def accuracy(method: str, steps: float) -> float:
    """A saturating curve: better methods get there with fewer steps."""
    return 0.05 + 0.5 * (1 - np.exp(-LEVEL[method] * steps / 1500))


def write_set(root: Path, rows: int = 2_000, seed: int = 0) -> tuple[Path, Path]:
    """Write a manifest and a truth; returns (manifest directory, truth file)."""
    rng = np.random.default_rng(seed)
    keys = [f"{i:06d}" for i in range(rows)]
    kinds = rng.choice(KINDS, size=rows, p=SHARES)
    captions = [[f'a {k} picture <b>of</b> row {i} & "more"'] for i, k in enumerate(kinds)]
    manifest = root / "pool"
    manifest.mkdir(parents=True)
    pd.DataFrame({"key": keys, "captions": captions}).to_parquet(manifest / "manifest.parquet")
    order = rng.permutation(rows)  # the truth comes in another order than the rows
    truth = root / "truth.parquet"
    told = {"key": np.array(keys)[order], "kind": kinds[order], "concept": order % 7}
    pd.DataFrame(told).to_parquet(truth)
    return manifest, truth


def write_features(root: Path, kinds: np.ndarray, width: int = 8, seed: int = 0) -> Path:
    """Write the reference's embeddings of a set whose clean pairs agree and whose other captions are random."""
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((len(kinds), width))
    text = np.where((kinds == "clean")[:, None], image, rng.standard_normal(image.shape))
    folder = root / "features"
    folder.mkdir(parents=True)
    metadata = {"scale": 10.0, "bias": -5.0, "loss": "sigmoid", "fingerprint": "0" * 16, "reference": "mine"}
    with EmbeddingCacheWriter(folder / "embeddings.arrow", width, width, metadata) as cache:
        cache.append(image, text)
    return folder


def write_run(
    root: Path, method: str, steps: int = 200, seed: int = 0, *, f: float = 0.8, b: int = 16, rows: int = 2_000,
    kinds: np.ndarray | None = None, noise: float = 0.01, test: bool = True, name: str | None = None, **settings: Any,
) -> Path:  # fmt: skip
    """Write one run directory and return it."""
    selects = method in {"jest", "flexi_jest", "independent"}
    big = round(b / (1 - f)) if selects else b
    path = root / (name or f"{method}-f{f if selects else 0:g}-T{steps}-s{seed}")
    (path / "training").mkdir(parents=True)
    rng = np.random.default_rng([seed, steps, len(method)])
    ledger = _ledger(rng, steps, b, big, selects)
    final = accuracy(method, steps) + noise * rng.standard_normal()
    _write_json(
        path / "training" / "run.json",
        _record(path.name, method, steps, seed, f, b, big, rows, selects, final, settings),
    )
    ledger.to_parquet(path / "training" / "ledger.parquet")
    _evaluations(rng, method, steps, final, noise).to_parquet(path / "training" / "evaluations.parquet")
    _picks(rng, steps, b, big, rows, selects, kinds).to_parquet(path / "training" / "picks.parquet")
    if test:
        top1 = final + 0.003 * rng.standard_normal()
        write_test(path, top1)
        _write_json(
            path / "evaluation" / "retrieval.json",
            {"split": "test", "metrics": {"image_to_text_r1": top1 / 2, "text_to_image_r1": top1 / 2.2}},
        )
    return path


def write_test(run: Path, top1: float, images: int = 500, **more: Any) -> None:
    """Write a run's result on a test set of 200 classes."""
    metrics = {"top1": top1, "top5": min(1, top1 + 0.3)}
    about = {"split": "test", "main": top1, "num_images": images, "num_classes": 200, "data": "same", "per_class": []}
    about["nearest"] = [{"text": f"class {c}", "rows": [c, c + 200], "cosines": [0.3, 0.2]} for c in range(6)]
    confidence = {name: wilson(value, images) for name, value in metrics.items()}
    result = {**about, "metrics": metrics, "confidence": confidence, **more}
    _write_json(run / "evaluation" / "classification.json", result)


def shown_images(images: int = 500) -> dict[str, SetImages]:
    """The images of that test set: two or three of each class."""
    return {"classification": SetImages(pixels, [f"class {n % 200}" for n in range(images)], True)}


def write_reference(root: Path, top1: float = 0.2) -> Path:
    """Write a reference that was evaluated only."""
    path = root / "reference"
    write_test(path, top1)
    return path


def write_check(reference: Path, verdict: str = "helps", weights: str = "mine") -> dict[str, Any]:
    """Write what a check found of a reference, and return it."""
    one = {"value": 0.9, "low": 0.85, "high": 0.95, "pairs": 77}
    auc = {score: {"all": one, "rare": one, "frequent": {**one, "value": None}} for score in ("pair", "conditional")}
    counts = {name: [1, 4, 2] for name in ("pool", "true", "exchanged")}
    found = {
        "verdict": verdict,
        "sentence": f"it {verdict}: AUC 0.90; do <more>",
        "reference": weights,
        "auc": auc,
        "recall": {"held_out": one, "training": None, "of": 64},
        "loss": {"held_out": {"as_it_is": 3.0, "fitted": 2.5}, "training": None},
        "bad_share": {**one, "pairs": 2_000},
        "purity": {"filter": [{"kept": 0.3, "cut": 0.2, **one}], "easy_reference": None},
        "scores": {"edges": [0.0, 0.1, 0.2, 0.3], **counts},
    }
    _write_json(reference / "check" / "check.json", found)
    return found


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _record(
    name: str,
    method: str,
    steps: int,
    seed: int,
    f: float,
    b: int,
    big: int,
    rows: int,
    selects: bool,
    final: float,
    settings: dict[str, Any],
) -> dict[str, Any]:
    scored = big if selects else 0
    per_step = FORWARD * (3 * b + scored)
    return {
        "run": name,
        "method": method,
        "run_hash": "0123456789abcdef",
        "status": "finished",
        "commit": "abc123def456",
        "machine": "x86_64 CPU",
        "torch": "2.9.0",
        "threads": 2,
        "seed": seed,
        "settings": {
            "training": {
                "batch_size": b,
                "steps": steps,
                "seed": seed,
                "loss": "sigmoid",
                "optimizer": {"learning_rate": 1e-3, "schedule": "cosine"},
            },
            "selection": {
                "method": "independent" if method == "independent" else "joint" if selects else "uniform",
                "filter_ratio": f,
                "num_chunks": 16,
                "gain": 100.0,
            },
            "pool": {"keep_share": 0.3 if method == "filtered" else 1.0, "add_curated": method == "pool_and_curated"},
            "warm_start": method == "warm_start",
            "low_resolution": method == "flexi_jest",
            **settings,
        },
        "plan": {"rows": rows, "super_batch_size": big, "batch_size": b, "steps": steps, "epochs": steps * big / rows},
        "digests": {"picks": "f" * 64, "weights": "e" * 64},
        "flops": {
            "forward_per_sample": FORWARD,
            "as_executed_total": per_step * steps,
            **{
                accounting: {
                    tower: {
                        "train": share * (3 * b - less) * FORWARD * steps,
                        "score": share * FORWARD * scored * steps,
                    }
                    for tower, share in (("image", 0.75), ("text", 0.25))
                }
                for accounting, less in (("as_executed", 0), ("paper", b if selects else 0))
            },
            "charged": {} if method == "uniform" else {"reference": 2e9, "embed": rows * FORWARD},
        },
        "seconds": {},
        "charged_seconds": {} if method == "uniform" else {"reference": 30.0, "embed": 2.0},
        "final": {"classification/top1": final},
    }


def _ledger(rng: np.random.Generator, steps: int, b: int, big: int, selects: bool) -> pd.DataFrame:
    step, x = np.arange(steps), np.arange(1, steps + 1)
    scored = big if selects else 0
    per_step, paper = FORWARD * (3 * b + scored), FORWARD * (3 * b + (scored - b if selects else 0))
    score = 0.2 * np.exp(-x / steps) + 0.01 * rng.standard_normal(steps)
    return pd.DataFrame(
        {
            "step": step,
            "loss": 3 * np.exp(-2 * x / steps) + 1 + 0.1 * rng.standard_normal(steps),
            "learning_rate": 5e-4 * (1 + np.cos(np.pi * x / steps)),
            "gradient_norm": 1 + rng.gamma(2, 0.3, steps),
            "scale": 10.0,
            "bias": -5.0,
            "samples_scored": x * scored,
            "samples_trained": x * b,
            "flops_as_executed": x * per_step * 1.0,
            "flops_paper": x * paper * 1.0,
            "seconds_data": 0.004,
            "seconds_score": 0.02 if selects else 0.0,
            "seconds_select": 0.005 if selects else 0.0,
            "seconds_train": 0.03,
            "score_super_batch": score - 0.1 if selects else np.nan,
            "score_pick": score + 0.25 if selects else np.nan,
        }
    )


def _evaluations(rng: np.random.Generator, method: str, steps: int, final: float, noise: float) -> pd.DataFrame:
    at = np.unique(np.linspace(0, steps, 11).astype(int))
    values = accuracy(method, at.astype(float) * 0.9) + noise * 0.5 * rng.standard_normal(len(at))
    values[-1] = final
    return pd.DataFrame({"step": at, "name": "classification/top1", "value": values, "split": "validation"})


def _picks(
    rng: np.random.Generator, steps: int, b: int, big: int, rows: int, selects: bool, kinds: np.ndarray | None
) -> pd.DataFrame:
    parts = []
    for step in range(steps):
        drawn = rng.choice(rows, size=big, replace=False)
        good = np.zeros(big) if kinds is None else (kinds[drawn] == "clean") * (0.3 + step / steps)
        score = 0.5 * good + 0.3 * rng.standard_normal(big)
        top = np.argsort(-score)
        shown = np.concatenate([top[:b], rng.permutation(top[b:])[:8]]) if selects else np.arange(b)
        parts.append(
            pd.DataFrame(
                {
                    "step": step,
                    "row": drawn[shown],
                    "score": score[shown] if selects else np.nan,
                    "chosen": np.arange(len(shown)) < b,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def pixels(rows: np.ndarray) -> np.ndarray:
    """Pictures that tell their row: uint8 [n, 3, 32, 32]."""
    x = np.linspace(0, 1, 32)
    return np.stack(
        [
            np.stack(
                [
                    255 * np.outer(x, np.roll(x, r % 32)),
                    np.full((32, 32), r * 37 % 256),
                    np.full((32, 32), r * 91 % 256),
                ]
            )
            for r in rows
        ]
    ).astype(np.uint8)


ROLES = {"uniform": "uniform", "filtered": "simple", "warm_start": "simple"}
UNIFORM = {400: [0.30, 0.32], 800: [0.40, 0.42], 1600: [0.41, 0.425]}


def finals(values: dict[str, dict[int, list[float]]], f: float = 0.8, **extra: Any) -> pd.DataFrame:
    """Rows of `runs_frame` from method -> steps -> value by seed; a selecting step costs twice a uniform one."""
    rows = []
    for method, by_steps in values.items():
        role = ROLES.get(method, "selecting")
        factor = 2.0 if role == "selecting" else 1.0
        for steps, by_seed in by_steps.items():
            for seed, value in enumerate(by_seed):
                rows.append(
                    {
                        "run": f"{method}-{steps}-{seed}",
                        "method": method,
                        "role": role,
                        "f": f if role == "selecting" else 0.0,
                        "steps": steps,
                        "seed": seed,
                        "configuration": "one",
                        "variant": "",
                        "complete": True,
                        "split": "test",
                        "value": value,
                        "value_low": value - 0.005,
                        "value_high": value + 0.005,
                        "validation": value,
                        "flops_paper": factor * steps,
                        "flops_as_executed": factor * steps,
                        "flops_charged": factor * steps + (100 if factor > 1 else 0),
                        "seconds": factor * steps,
                        **extra,
                    }
                )
    return pd.DataFrame(rows)


FRAME = finals(
    {"uniform": UNIFORM, "filtered": {400: [0.35, 0.37]}, "jest": {50: [0.3, 0.3], 100: [0.41, 0.43], 400: [0.5, 0.5]}}
)


def with_reference(value: float) -> pd.DataFrame:
    """`FRAME` and a reference that ends at `value`."""
    reference = finals({"reference": {0: [value]}}).assign(role="reference", f=0.0)
    return pd.concat([FRAME, reference], ignore_index=True)
