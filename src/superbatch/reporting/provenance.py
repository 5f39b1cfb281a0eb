"""Where the shown numbers come from: hashes, digests and fingerprints of runs and data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from superbatch.reporting.report import Report
    from superbatch.reporting.runs import Run

SHORT = 12  # characters of a digest that are enough to compare by eye


def facts(report: Report) -> dict[str, object]:
    """What the main run was made with and from, by name; values may be missing."""
    run, record = report.main, report.main.record
    found: dict[str, object] = {"status": record.get("status"), "commit": record.get("commit")}
    found |= {"run hash": record.get("run_hash"), "configuration": run.configuration, "seed": run.seed}
    found |= {"machine": record.get("machine"), "torch": record.get("torch"), "threads": record.get("threads")}
    found |= {f"digest of {name}": value for name, value in (record.get("digests") or {}).items()}
    return found | fingerprints(report)


def fingerprints(report: Report) -> dict[str, object]:
    """Fingerprints of the data: pool, what the reference was trained on and its weights, the test sets."""
    found: dict[str, object] = {f"fingerprint of {k}": v for k, v in report.sources.fingerprints.items()}
    reference = report.reference
    if reference is not None and reference.settings.get("sets"):
        found["fingerprint of curated set"] = ", ".join(map(str, reference.settings["sets"]))
    found["digest of the reference's weights"] = report.main.settings.get("reference")
    tested = report.main.results.items()
    return found | {f"fingerprint of {name} (test set)": result.get("data") for name, result in tested}


def judgement(report: Report) -> str:
    """Say how many of its expectations the pool met, and which it did not; empty where nobody knows."""
    judged = report.sources.judged
    if judged is None or "results" not in judged:  # ingested by an older version
        return ""
    total = sum(len(result["results"]) for result in judged["results"].values())
    missed = [*judged["failures"].values(), *judged["warnings"].values()]
    met = f"The pool met {'all' if not missed else total - len(missed)} of its {total} expectations"
    return f"{met}: {'; '.join(missed)}." if missed else f"{met}."


def runs_table(report: Report) -> pd.DataFrame:
    """One row a run that the report shows: name, run hash, commit, seed, digests of picks and weights, shortened."""
    return pd.DataFrame([_row(run) for run in report.sources.runs])


def _row(run: Run) -> dict[str, str]:
    digests = run.record.get("digests") or {}
    values = {
        "run": run.name,
        "steps": f"{run.steps:,}",
        "seed": str(run.seed),
        "run hash": run.record.get("run_hash"),
        "commit": run.record.get("commit"),
        "picks": str(digests.get("picks") or "")[:SHORT],
        "weights": str(digests.get("weights") or "")[:SHORT],
    }
    return {name: str(value or "–") for name, value in values.items()}
