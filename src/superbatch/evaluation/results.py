"""Results as files: one JSON for each set, with everything that decided it; an identical one is not computed again."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import superbatch
from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.errors import UserError
from superbatch.evaluation.run import Evaluator, summarise
from superbatch.evaluation.sets import EvaluationSet
from superbatch.evaluation.teaching import Teaching, teaching_of
from superbatch.files import read_json
from superbatch.options import EvaluateSettings

RESULT_FORMAT = 2  # raised when a metric or a file changes its meaning: older results are then computed again


def evaluate_to_files(
    evaluator: Evaluator,
    model: nn.Module,
    split: str,
    out: Path,
    *,
    checkpoint: str,
    model_name: str,
    settings: EvaluateSettings | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """Measure a checkpoint on all sets of a split and write `<out>/<set>.json`, skipping results that are there
    already.

    Args:
        evaluator: with the sets.
        model: the checkpoint's model, on the evaluator's device.
        split: which sets.
        out: folder of the results; made if need be. Other files in it are left alone.
        checkpoint: the checkpoint's fingerprint (`weights_sha256` of its metadata).
        model_name: what the model is called, for people.
        settings: what labelled images teach is measured too, as far as these ask for it and the evaluator has the splits
            (`teaching`).
        fresh: measure again even so.

    Returns:
        The same as `Evaluator.evaluate`, and `skipped`: the names of the sets whose result was there.
    """
    details, skipped = {}, []
    for evaluation_set in evaluator.fitting(model, split):
        learns = settings is not None and settings.learns
        teaching = teaching_of(evaluation_set, evaluator.sets) if learns else None
        about = provenance(evaluator, evaluation_set, checkpoint, model_name, settings, teaching)
        path = Path(out) / f"{evaluation_set.name}.json"
        found = None if fresh else find_result(path, about["identity"])
        if found is None:
            measured = evaluator.evaluate_set(model, evaluation_set, settings, teaching, pictures=True)
            found = {**about, **measured, "versions": versions(evaluator.device)}
            write_json(path, found)
        else:
            skipped.append(evaluation_set.name)
        details[evaluation_set.name] = found
    return {**summarise(split, details), "skipped": skipped}


def add_low(evaluator: Evaluator, model: nn.Module, split: str, out: Path, view: str) -> None:
    """Add to the results of a split what the model does in a low view, for the record: `low`, with its metrics, in each set's file.

    Args:
        evaluator: of the view's image size.
        model: in the low view (`models.flexible.at_low`), on the evaluator's device.
        split: which sets.
        out: folder of the results at full view.
        view: what the low view is called.
    """
    for name, found in evaluator.evaluate(model, split)["sets"].items():
        path = Path(out) / f"{name}.json"
        write_json(path, read_json(path) | {"low": {"view": view, "metrics": found["metrics"]}})


def provenance(
    evaluator: Evaluator,
    evaluation_set: EvaluationSet,
    checkpoint: str,
    model_name: str,
    settings: EvaluateSettings | None = None,
    teaching: Teaching | None = None,
) -> dict[str, Any]:
    """Return what is measured; `identity` is the fingerprint of all that decides the outcome."""
    prompts = sum(map(len, evaluation_set.prompts))
    decides = {
        "format": RESULT_FORMAT,
        "set": evaluation_set.name,
        "kind": evaluation_set.kind,
        "split": evaluation_set.split,
        "data": evaluation_set.fingerprint,
        "num_images": evaluation_set.num_images,
        "num_texts": len(evaluation_set.captions) or prompts,
        "checkpoint": checkpoint,
        "image_size": evaluator.image_size,
        "mean": evaluator.mean,
        "std": evaluator.std,
        "precision": "bf16" if evaluator.autocast else "fp32",
    }
    if settings is not None and teaching is not None:
        decides |= {"taught_by": teaching.fingerprint, "taught": taught(settings)}
    return {"identity": fingerprint(decides), "model": model_name, **decides}


def taught(settings: EvaluateSettings) -> dict[str, Any]:
    """Return the settings of what labelled images teach; `fine_tune`, which came later, only where it is asked for."""
    every = asdict(settings)
    found = {name: every[name] for name in ("few_shot", "linear_probe", "knn")}
    return found | ({} if settings.fine_tune is None else {"fine_tune": every["fine_tune"]})


def find_result(path: Path, identity: str) -> dict[str, Any] | None:
    """Return the result in a file if it was computed under this identity; a broken file counts as none."""
    try:
        result = read_json(path)
    except UserError:
        return None
    return result if isinstance(result, dict) and result.get("identity") == identity else None


def versions(device: torch.device) -> dict[str, str]:
    """Name the software and the device that computed a result."""
    import open_clip

    return {
        "superbatch": superbatch.__version__,
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
    }
