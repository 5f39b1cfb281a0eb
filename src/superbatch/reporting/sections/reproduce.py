"""How to reproduce it: command, digests and fingerprints, settings."""

from __future__ import annotations

import json
from html import escape

from superbatch.reporting import html, provenance
from superbatch.reporting.report import Report


def reproduce(report: Report) -> str:
    """The command, where the main run's numbers come from, all runs shown, settings and plan in full."""
    run = report.main
    command = f"<pre>{escape(report.sources.command)}</pre>" if report.sources.command else ""
    same = html.note(
        "On the same machine type, with as many threads and the same versions, a run is bit-identical: compare the digests."
    )
    made = html.table(provenance.runs_table(report), "All runs shown, digests shortened")
    many = len(report.sources.runs) > html.SHORT_TABLE
    made = html.folded(f"All {len(report.sources.runs)} runs shown", made) if many else made
    settings = escape(json.dumps({"settings": run.settings, "plan": run.plan}, indent=2, default=str))
    return (
        command
        + html.facts(provenance.facts(report))
        + same
        + made
        + html.folded("Settings and plan", f"<pre>{settings}</pre>")
    )
