"""Tables as people read them: numbers as text cells, and cells as Markdown and as plain text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from superbatch.reporting.comparison import Comparison
from superbatch.reporting.names import label_of
from superbatch.reporting.numbers import NONE, bounds, percent, points
from superbatch.reporting.tables import RETRIEVAL
from superbatch.reporting.targets import ToTarget

NOT_ON_CONSOLE = {
    "setting",
    "95 % over images",
    "FLOPs",
    "FLOPs charged",
    "to target: FLOPs (paper)",
    "to target: seconds",
    *RETRIEVAL,
}


def _times(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.3g}×"


def _count(value: float) -> str:
    return "–" if not np.isfinite(value) or value == 0 else f"{value:,.0f}"


def _scientific(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.2e}"


_FORMATS: dict[str, Callable[[float], str]] = {
    "steps": _count,
    "seeds": _count,
    **dict.fromkeys(RETRIEVAL, percent),
    "FLOPs": _scientific,
    "FLOPs charged": _scientific,
    "seconds": _count,
}


def readable(table: pd.DataFrame, title: str = "top-1") -> pd.DataFrame:
    """Turn `final_table` into text cells: percentages, intervals in brackets, times; `title` names the metric."""
    if table.empty:
        return pd.DataFrame()
    shown: dict[str, list[str]] = {"method": [label_of(m, f) for m, f in zip(table["method"], table["f"], strict=True)]}
    settings = [_of_candidates(*row) for row in zip(_telling(list(table["setting"])), table["candidates"], strict=True)]
    if any(settings):
        shown["setting"] = settings
    shown |= {name: [_FORMATS[name](v) for v in table[name]] for name in ("steps", "seeds")}
    shown[f"{title} %"] = _with_intervals(table, "value", "low", "high")
    if "image low" in table:
        shown["95 % over images"] = [bounds(*ends) or NONE for ends in table[["image low", "image high"]].to_numpy()]
    for name in table.columns:
        if name == "vs uniform":
            shown[name] = _with_intervals(table, name, "vs uniform low", "vs uniform high", "points")
        elif name in _FORMATS and name not in shown:
            shown[name] = [_FORMATS[name](v) for v in table[name]]
        elif name.startswith("to target"):
            shown[name] = [_times(v) for v in table[name]]
    return pd.DataFrame(shown)


def _of_candidates(setting: str, candidates: int) -> str:
    """Say from how many candidates a setting was chosen."""
    return setting if candidates < 2 else f"{setting} (of {candidates})".strip()


def _telling(settings: list[str]) -> list[str]:
    """Leave out what all rows share (one learning rate for everybody tells nothing)."""
    words = [set(filter(None, text.split(", "))) for text in settings]
    common = set.intersection(*(w for w in words if w)) if any(words) else set()
    return [", ".join(word for word in text.split(", ") if word not in common) for text in settings]


def target_table(comparison: Comparison) -> pd.DataFrame:
    """Text cells: what each method needs to reach uniform's target, then the best simple alternative's."""
    return pd.DataFrame([_target_cells(outcome) for outcome in [*comparison.uniform, *comparison.simple]])


def _target_cells(outcome: ToTarget) -> dict[str, str]:
    cells = {
        "method": outcome.label,
        "target": f"{outcome.horizon.label}, {percent(outcome.horizon.target)} % at {outcome.horizon.steps:,}",
    }
    interval = f" [{outcome.bounds()}]" if outcome.over else ""
    cells["n"] = str(outcome.n) if outcome.over != "images" else f"{outcome.n}, over images"
    if outcome.steps is None:
        best = f"not reached (best {percent(outcome.best_value)} % at {outcome.best_steps:,})"
        return cells | {"steps needed": best, "steps": NONE + interval} | dict.fromkeys(_RATIOS, NONE)
    least = outcome.at_least
    needed = f"{'≤ ' if least else ''}{outcome.steps:,}"
    cells |= {"steps needed": needed, "steps": least + _times(outcome.ratio) + interval}
    return cells | {name: least + _times(outcome.ratios[key]) for name, key in _RATIOS.items()}


_RATIOS = {
    "FLOPs (paper)": "flops_paper",
    "FLOPs (executed)": "flops_as_executed",
    "FLOPs (charged)": "flops_charged",
    "seconds": "seconds",
}


def _with_intervals(table: pd.DataFrame, value: str, low: str, high: str, form: str = "percent") -> list[str]:
    """Values with their intervals in brackets, as far as they are known."""
    number = points if form == "points" else percent
    rows = table.reindex(columns=[value, low, high]).to_numpy(float)
    return [" ".join(filter(None, [number(row[0]), bounds(row[1], row[2], form)])) for row in rows]


def to_markdown(cells: pd.DataFrame) -> str:
    """Render text cells (`readable`) as a GitHub table; first column to the left, the others to the right."""
    if cells.empty:
        return "No finished runs."
    text = cells.map(lambda v: str(v).replace("|", "\\|"))
    lines = ["| " + " | ".join(text.columns) + " |", "|" + " :-- |" + " --: |" * (len(text.columns) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in text.itertuples(index=False, name=None)])


def to_text(cells: pd.DataFrame) -> str:
    """Render text cells (`readable`) for the console, in columns."""
    if cells.empty:
        return "No finished runs."
    columns = [[name, *cells[name].astype(str)] for name in cells.columns]
    widths = [max(map(len, column)) for column in columns]
    rows = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in zip(*columns, strict=True)
    ]
    return "\n".join([rows[0], "-" * len(rows[0]), *rows[1:]])
