"""How to reproduce it: command, digests and fingerprints, settings."""

from __future__ import annotations

import json
from dataclasses import dataclass

from superbatch.reporting import provenance
from superbatch.reporting.parts import Table
from superbatch.reporting.report import Report


@dataclass(frozen=True)
class Reproduce:
    """What the section shows.

    Attributes:
        command: makes the report again; empty where it is not known.
        facts: where the main run's numbers come from, by name.
        judgement: how the pool was judged, in a sentence, or empty. data_docs: address of the pages on it, or None.
        runs: all that are shown.
        settings: the main run's settings and plan, as JSON.
    """

    command: str
    facts: dict[str, str]
    judgement: str
    data_docs: str | None
    runs: Table
    settings: str


def reproduce(report: Report) -> Reproduce:
    """The command, where the main run's numbers come from, how the pool was judged, all runs shown, settings and plan."""
    run, known = report.main, provenance.facts(report).items()
    return Reproduce(
        command=report.sources.command or "",
        facts={name: str(value) for name, value in known if value not in (None, "")},
        judgement=provenance.judgement(report),
        data_docs=report.sources.data_docs,
        runs=Table.of(provenance.runs_table(report)),
        settings=json.dumps({"settings": run.settings, "plan": run.plan}, indent=2, default=str),
    )
