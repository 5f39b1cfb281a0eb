"""Nodes of the stage `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged, build_once, read_stamp
from superbatch.config import Storage, read
from superbatch.errors import UserError
from superbatch.options import EvaluateSettings, LowSettings


def evaluate_model(
    run: str, model: Path, evaluation_sets: Path, settings: dict[str, Any], storage: dict[str, Any]
) -> Staged:
    """Measure a run's model: one JSON file an evaluation set, with split, N and the checkpoint's fingerprint.

    A classifier is measured on the sets of its classes, by its class weights; an image tower that was trained alone by what labelled images teach. A model that was trained in a low view too (its metadata say in which) is measured there as well, for the record.

    Args:
        run: its name, bound by the pipeline.
        model: the checkpoint.
        evaluation_sets: the ingested sets (sets.json says which and where their roots are).
        settings: `params:evaluate` -> `options.EvaluateSettings`.
        storage: `params:storage`.

    Raises:
        UserError: evaluation sets that are not whole.
    """
    evaluate, places = read(EvaluateSettings, settings, "evaluate"), read(Storage, storage, "storage")
    from superbatch.evaluation.results import RESULT_FORMAT, add_low, evaluate_to_files, taught
    from superbatch.evaluation.run import Evaluator
    from superbatch.evaluation.store import load_evaluation_sets
    from superbatch.models import read_metadata
    from superbatch.models.flexible import at_low
    from superbatch.models.headed import load_measured

    metadata = read_metadata(model)
    weights, low = metadata["weights_sha256"], LowSettings(**metadata.get("low", {}))
    seen_low = (
        bool(low.ways) and low.patch_drop is None
    )  # dropping patches at random does not define a view of an image

    def write(out: Path) -> None:
        clip = load_measured(model)
        measured = load_evaluation_sets(evaluation_sets, evaluate.split)
        # Labeled images of other splits are used for training.
        opened = load_evaluation_sets(evaluation_sets) if evaluate.learns else measured
        evaluator = Evaluator.for_model(opened, clip, evaluate.device, batch_size=evaluate.batch)
        clip.model.to(evaluator.device)
        about = {"checkpoint": weights, "model_name": run, "settings": evaluate}
        evaluate_to_files(evaluator, clip.model, evaluate.split, out, **about)
        if seen_low:
            smaller = at_low(clip, low)
            if smaller.image_size != clip.image_size:
                evaluator = Evaluator.for_model(measured, smaller, evaluate.device, batch_size=evaluate.batch)
            add_low(evaluator, smaller.model, evaluate.split, out, low.name)

    sets = read_stamp(evaluation_sets)
    if sets is None:
        raise UserError(str(evaluation_sets), "files are missing or cut", "run `kedro run --pipelines=ingest` again")
    decides = ["evaluation", RESULT_FORMAT, run, weights, sets, evaluate.split, taught(evaluate)]
    return build_once(
        f"{run} evaluation",
        fingerprint(decides + ([low] if seen_low else [])),
        Path(places.stages),
        write,
    )
