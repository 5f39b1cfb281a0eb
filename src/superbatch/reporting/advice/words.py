"""An advice in words: one line, a page in Markdown, and the record of both with all numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from superbatch.files import read_json
from superbatch.reporting.advice.choice import Advice
from superbatch.reporting.advice.measured import Measured, Probe
from superbatch.reporting.commands import kedro_run
from superbatch.reporting.numbers import NONE, percent

FILE = "advice.json"
STEPS = "learner.training.steps"
KINDS = {
    "mostly_right": "mostly right",
    "noisy": "noisy",
    "unsettled": "not settled: it grows, or the learner knows too little",
    "unknown": "not known: no candidate measured it",
}


def line(advice: Advice) -> str:
    """Say what to run, how sure that is, and why, in one line."""
    return f"run {advice.preset} for {advice.steps:,} steps (confidence {advice.confidence}): {advice.why}"


def record(advice: Advice, measured: Measured, pool: str, reference: str) -> dict[str, Any]:
    """Return all of it as JSON.

    Args:
        pool: fingerprint of the set. reference: SHA-256 of its weights.
    """
    found = asdict(measured) | {"kind": measured.kind, "right": measured.right, "growth": measured.growth}
    evidence = [row._asdict() for row in advice.evidence]
    own = asdict(advice) | {"evidence": evidence}
    return own | {"line": line(advice), "measured": found, "pool": pool, "reference": reference}


def recorded_line(directory: Path, pool: str) -> str:
    """Return the line of the advice in a folder; empty where there is none, or one about another pool."""
    if not (directory / FILE).is_file():
        return ""
    found = read_json(directory / FILE)
    return f"Advice: {found['line']}." if found.get("pool") == pool else ""


def command_for(advice: Advice, asked: str) -> str:
    """Return the command that runs what is advised, in the environment and with the parameters of the command that asked for it."""
    return kedro_run(asked, f"--pipeline={advice.preset}", params=[f"{STEPS}={advice.steps}"], without=["advise"])


def page(advice: Advice, measured: Measured, asked: str = "") -> str:
    """Write the advice as Markdown.

    Args:
        asked: the command that asked for it; the command on the page has its environment and parameters.
    """
    parts = [
        f"# Run `{advice.preset}` for {advice.steps:,} steps",
        f"```bash\n{command_for(advice, asked)}\n```",
        f"**Why:** {advice.why}.",
        _sure(advice),
        _listed("Recorded runs behind this", (row.words() for row in advice.evidence)),
        f"**Next best:** `{advice.runner_up}`." if advice.runner_up else "",
        _listed("What would change this", advice.change),
        _pool_table(measured),
        _probe_table(measured),
        "What this is based on, and how it was checked: docs/choosing.md.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _sure(advice: Advice) -> str:
    doubts = "".join(f"\n- {doubt}" for doubt in advice.doubts)
    return f"**Confidence: {advice.confidence}**" + (
        f", because:\n{doubts}" if doubts else ". Nothing that was measured speaks against it."
    )


def _listed(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"\n- {one}" for one in lines)
    return f"**{title}:**\n{items}" if items else ""


def _pool_table(measured: Measured) -> str:
    pool, reference = measured.pool, measured.reference
    cells = {
        "reference check": reference.line or reference.verdict,
        "its loss on held-out pairs, on training pairs": NONE
        if reference.loss is None
        else "{:.2f}, {:.2f}".format(*reference.loss),
        "the reference alone, validation": _share(reference.validation),
        "bad pairs, as the reference estimates them": _share(reference.bad_share),
        "right pairs, as a learner sees them (at least)": f"{_share(measured.right)} ({KINDS[measured.kind]})",
        "pool": f"{pool.rows:,} rows",
        "rows that score like 95 % of curated pairs": _share(pool.like_curated),
        "concepts: effective number of caption clusters": f"{pool.concepts:.0f} of {pool.clusters}",
        "rows with a near-duplicate, of a sample": _share(pool.near_duplicates),
        "images that occur more than once": _share(pool.duplicates),
        "cost before a run: reference and embedding": f"{measured.costs.before:.2f} TFLOP",
    }
    return _table(("measured", "value"), cells.items())


def _probe_table(measured: Measured) -> str:
    head = ("probe", "steps", f"{measured.metric}, validation", "TFLOP")
    return _table(head, (_probe_row(probe) for probe in measured.probes))


def _probe_row(probe: Probe) -> tuple[str, ...]:
    low, high = probe.interval
    return (
        probe.name,
        f"{probe.steps:,}",
        f"{percent(probe.value)} % [{percent(low)}, {percent(high)}]",
        f"{probe.tflop:.2f}",
    )


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    rows = [head, ("---",) * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _share(value: float | None) -> str:
    return NONE if value is None else f"{percent(value)} %"
