"""Checks of the report's settings, made before anything long starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.config import IngestSettings, ReportSettings, read
from superbatch.errors import UserError
from superbatch.options import EvaluateSettings


def check_split(ingest: dict[str, Any], evaluate: dict[str, Any]) -> None:
    """Refuse an `evaluate.split` that none of the evaluation sets has.

    Args:
        ingest, evaluate: `params:ingest`, `params:evaluate`.

    Raises:
        UserError: it names the splits that there are.
    """
    wanted = read(EvaluateSettings, evaluate, "evaluate").split
    known = sorted(
        {split for one in read(IngestSettings, ingest, "ingest").evaluation.values() for split in one.splits}
    )
    if known and wanted not in known:
        raise UserError("evaluate.split", f"no evaluation set has a split {wanted!r}", f"there are {', '.join(known)}")


def check_metric(report: dict[str, Any], ingest: dict[str, Any], evaluate: dict[str, Any]) -> None:
    """Refuse a `report.metric` that none of the evaluation sets can have.

    Args:
        report, ingest, evaluate: `params:report`, `params:ingest`, `params:evaluate`.

    Raises:
        UserError: it names the metrics that are known.
    """
    from superbatch.evaluation.learned import learned_metrics
    from superbatch.evaluation.metrics import metrics_of

    wanted = read(ReportSettings, report, "report").metric
    sets = read(IngestSettings, ingest, "ingest").evaluation
    learned = learned_metrics(read(EvaluateSettings, evaluate, "evaluate"))
    known = metrics_of({name: Path(one.root) for name, one in sets.items()}, learned)
    if wanted not in known:
        raise UserError("report.metric", f"no evaluation set has {wanted!r}", f"there are {', '.join(known)}")
