"""How to reproduce it: command, digests and fingerprints, settings."""

from __future__ import annotations

import json
from html import escape

from superbatch.reporting import html, provenance
from superbatch.reporting.report import Report


def reproduce(report: Report) -> str:
    """The command, where the main run's numbers come from, how the pool was judged, all runs shown, settings and plan."""
    run = report.main
    command = f"<pre>{escape(report.sources.command)}</pre>" if report.sources.command else ""
    same = html.note(
        "What conf/local sets is not in the command; it is in the settings below. On the same machine type, with as many threads and the same versions, a run is bit-identical: compare the digests."
    )
    made = html.table(provenance.runs_table(report), "All runs shown, digests shortened")
    many = len(report.sources.runs) > html.SHORT_TABLE
    made = html.folded(f"All {len(report.sources.runs)} runs shown", made) if many else made
    settings = escape(json.dumps({"settings": run.settings, "plan": run.plan}, indent=2, default=str))
    return (
        command
        + html.facts(provenance.facts(report))
        + same
        + _judgement(report)
        + made
        + html.folded("Settings and plan", f"<pre>{settings}</pre>")
    )


def _judgement(report: Report) -> str:
    said, docs = provenance.judgement(report), report.sources.data_docs
    return (html.note(said) if said else "") + (html.link("Its Data Docs, by Great Expectations", docs) if docs else "")
