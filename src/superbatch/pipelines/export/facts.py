"""What a model card tells of a run: gathered from its records, its evaluation and the sets that it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superbatch.exporting.card import NOT_STATED, Facts, Row
from superbatch.reporting.runs import Run

if TYPE_CHECKING:
    from superbatch.data.manifest import Manifest
    from superbatch.reporting.report import Report

KINDS = {"pairs": "image-text pairs", "classes": "labelled images", "images": "images alone"}
NOT_MEASURED = "Nothing was measured beyond the sets above: not other domains, not fairness, not safety."
SIMULATED = "The data are a simulation: drawn scenes with captions and with mistakes made on purpose, and no photograph among them."
log = logging.getLogger(__name__)


def gather(
    name: str,
    training: Path,
    checkpoint: Path,
    pool: Path,
    curated: Path,
    licence: str | None,
    metric: str,
    command: str,
) -> Facts:
    """Gather the facts of a run's card.

    Args:
        name: of the run. training: its records. checkpoint: its model.
        pool, curated: the ingested sets.
        licence: of the model (`export.licence`). metric: that it is compared with others in (`report.metric`).
        command: what makes the export again.
    """
    from superbatch.data.manifest import read_manifest
    from superbatch.models import read_config
    from superbatch.models.classifier import is_classifier
    from superbatch.models.headed import is_image_only

    run = Run(training.parent, name)
    manifests = {"pool": read_manifest(pool), "curated": read_manifest(curated)}
    cfg = read_config(checkpoint)["model_cfg"]
    has_text = not (is_classifier(checkpoint) or is_image_only(checkpoint))
    report = _report(run, metric, command)
    return Facts(
        run=name,
        about=_about(run, cfg, has_text),
        has_text=has_text,
        data=_data(run, manifests),
        data_notes=_data_notes(run, manifests["pool"]),
        method=_method(run),
        settings=sorted(_flat({key: value for key, value in run.settings.items() if key != "model"})),
        cost=_cost(run),
        results=_results(run),
        results_notes=_results_notes(run, report),
        limits=_limits(run, cfg, has_text, manifests["pool"], report),
        licence=licence,
        origin=_origin(run, checkpoint, command),
    )


def _about(run: Run, cfg: Mapping[str, Any], has_text: bool) -> str:
    vision = cfg["vision_cfg"]
    tower = vision.get("timm_model_name") or f"ViT of width {vision.get('width')} and {vision.get('layers')} layers"
    size = vision.get("image_size", 224)
    kind = "A CLIP model" if has_text else "An image tower"
    return (
        f"{kind} with embeddings of {cfg['embed_dim']} numbers, for images of {size} pixels a side ({tower}). "
        f"Superbatch trained it on {KINDS[run.kind]}."
    )


def _data(run: Run, manifests: Mapping[str, Manifest]) -> list[Row]:
    """Return the sets by name: what was trained on, and what was tested on, as large as it was then."""
    used = run.settings.get("sets") or []
    purpose = {
        name: "trained on" if manifest.fingerprint in used else "trained its reference"
        for name, manifest in manifests.items()
        if manifest.fingerprint in used or (name == "curated" and run.settings.get("reference"))
    }
    rows: list[Row] = [(name, f"{len(manifests[name]):,}", what) for name, what in purpose.items()]
    return rows + [(f"{name}, test", _images(result), "measured on") for name, result in run.tested.items()]


def _data_notes(run: Run, pool: Manifest) -> list[str]:
    """Say what ingestion made of the pool, where the run was trained on it."""
    from superbatch.data.manifest import SUMMARY_FILE
    from superbatch.files import read_json

    if pool.fingerprint not in (run.settings.get("sets") or []):
        return []
    summary = read_json(pool.path.parent / SUMMARY_FILE)
    left_out, captions = f"{summary['rejected']:,}", f"{summary['distinct_captions']:,}"
    return [f"Ingestion left out {left_out} samples of the pool; its captions are of {captions} different wordings."]


def _method(run: Run) -> list[str]:
    """Say in sentences how batches were chosen and which loss was minimized."""
    training = run.settings.get("training") or {}
    lines = [f"{run.steps:,} steps of {run.batch_size:,} samples, seed {run.seed}"]
    lines[0] += f", {training['loss']} loss." if "loss" in training else "."
    if run.role == "selecting" and run.super_batch_size > run.batch_size:
        rule = run.own_score or run.setting("selection", "criterion", "learnability")
        lines.append(
            f"Each batch was chosen out of {run.super_batch_size:,} candidates: {run.setting('selection', 'method')} selection by {rule}."
        )
    for key, what in (
        ("distill", "It also learned from its reference."),
        ("flexi", "A part of each batch was trained in a low view."),
    ):
        lines += [what] if run.settings.get(key) else []
    return lines


def _flat(settings: Mapping[str, Any], place: str = "") -> list[Row]:
    """List settings by dotted name."""
    found: list[Row] = []
    for key, value in settings.items():
        where = f"{place}{key}"
        found += _flat(value, f"{where}.") if isinstance(value, dict) else [(where, str(value))]
    return found


def _cost(run: Run) -> list[Row]:
    from superbatch.reporting.cost import amount

    flops, seconds = run.record.get("flops") or {}, run.record.get("seconds") or {}
    names = {
        "as_executed_total": "learner and scoring, as executed",
        "charged_total": "the same with what is charged to it besides (reference, embeddings)",
    }
    rows = [(what, amount("flops", flops[key])) for key, what in names.items() if flops.get(key)]
    rows = rows[:1] if flops.get("charged_total") == flops.get("as_executed_total") else rows
    rows += [("time", amount("seconds", sum(seconds.values())))] if seconds else []
    parameters = run.plan.get("parameters")
    rows += [("trained parameters", f"{parameters:,}")] if parameters else []
    return [*rows, ("machine", str(run.record.get("machine", NOT_STATED)))]


def _results(run: Run) -> list[Row]:
    """Return every test metric with its interval over images."""
    from superbatch.reporting.metrics import MEAN
    from superbatch.reporting.numbers import bounds, percent

    rows: list[Row] = []
    for metric, value in run.test.items():
        if metric == MEAN:
            continue
        low, high = run.intervals.get(metric, (float("nan"), float("nan")))
        rows.append((metric, f"{percent(value)} %", bounds(low, high), _images(run.tested[metric.partition("/")[0]])))
    return rows


def _images(result: Mapping[str, Any]) -> str:
    """How many images a set had when it was tested on; empty where that was not recorded."""
    return f"{result['num_images']:,}" if result.get("num_images") else ""


def _results_notes(run: Run, report: Report | None) -> list[str]:
    """Say what the intervals are over, and the gain over runs of equal steps."""
    from superbatch.reporting.findings import gains

    if not run.test:
        return ["It was not evaluated on a test split."]
    about = (
        "All on the test split. Intervals are over images or texts of this one run: another seed may shift the values."
    )
    return [about, *(gains(report) if report else [])]


def _limits(run: Run, cfg: Mapping[str, Any], has_text: bool, pool: Manifest, report: Report | None) -> list[str]:
    from superbatch.reporting.trust import cautions
    from superbatch.simweb.truth import find_truth

    size = cfg["vision_cfg"].get("image_size", 224)
    lines = [f"It sees images at {size} pixels a side: what cannot be seen at that size is lost."]
    lines += [SIMULATED] if find_truth(pool) is not None else []
    lines += [] if has_text else ["Its text tower was never trained: it embeds images alone."]
    if run.settings.get("flexi"):
        lines.append("Its low view is not part of the export: other libraries see images at full.")
    checked = run.record.get("reference_check") or {"verdict": "helps"}
    if report is None and checked["verdict"] != "helps":
        lines.append(f"The reference check: {checked['line']}.")
    return [*lines, *(cautions(report) if report else []), NOT_MEASURED]


def _report(run: Run, metric: str, command: str | None = None) -> Report | None:
    """Return a report on a run, beside its references and uniform runs of as many steps; None without any such run, or with nothing to report on.

    Args:
        metric: that is compared. command: that is run, for the commands that lines suggest.
    """
    from superbatch.errors import UserError
    from superbatch.reporting.report import Report
    from superbatch.reporting.runs import find_runs
    from superbatch.reporting.sources import Sources

    if run.role == "reference" or not run.test:
        return None
    others = [one for one in find_runs(run.path.parent) if one.name != run.name]
    beside = [one for one in others if one.role == "reference" or (one.role == "uniform" and one.steps == run.steps)]
    if not any(one.role == "uniform" for one in beside):
        return None
    try:
        report = Report(Sources(runs=[run, *beside], main=run.name, metric=metric, command=command))
    except UserError as error:  # it has no metric that a report shows
        log.info("export: the card leaves out other runs (%s)", error)
        return None
    return report if any(one.role == "uniform" for one in report.sources.runs) else None


def _origin(run: Run, checkpoint: Path, command: str) -> list[Row]:
    from superbatch.models import read_metadata

    metadata = read_metadata(checkpoint)
    rows = [
        ("made by", f"superbatch {metadata.get('superbatch', '')}".strip()),
        ("commit", run.record.get("commit")),
        ("run hash", run.record.get("run_hash")),
        ("SHA-256 of the weights", metadata["weights_sha256"]),
        ("exported by", f"`{command}`"),
    ]
    return [(what, str(value)) for what, value in rows if value]
