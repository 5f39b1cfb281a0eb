"""The table of results: as a frame, as Markdown and as plain text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from superbatch.reporting.names import label_of
from superbatch.reporting.targets import Comparison, Horizon, ToTarget, horizon_of, mean_interval, tuned

ROLE_ORDER = {"uniform": 0, "simple": 1, "selecting": 2, "reference": 3}
RETRIEVAL = {"image to text R@1": "image_to_text_r1", "text to image R@1": "text_to_image_r1"}
NOT_ON_CONSOLE = {
    "setting",
    "95 % over images",
    "FLOPs",
    "FLOPs charged",
    "to target: FLOPs (paper)",
    "to target: seconds",
    *RETRIEVAL,
}


def final_table(finals: pd.DataFrame, comparison: Comparison | None = None) -> pd.DataFrame:
    """One row a (method, f, schedule length), uniform first, the reference last.

    Args:
        finals: `runs_frame`; configurations are reduced by `targets.tuned`, incomplete runs left out.
        comparison: adds what each method needs to reach uniform's target.

    Returns:
        Columns method, setting, role, f, steps, seeds, split, value, low, high (over seeds), image low, image high (over
        test images, for one seed), vs uniform (difference at equal steps),
        R@1 both ways where measured, FLOPs, seconds, then the ratios to target; shares in [0, 1].
    """
    frame = tuned(finals)
    reached = {} if comparison is None else {(t.method, t.f): t for t in comparison.uniform}
    groups = [group for _, group in frame.groupby(["method", "f", "steps"])]
    rows = [_row(group, frame, reached.get((group["method"].iloc[0], group["f"].iloc[0]))) for group in groups]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    order = table["role"].map(ROLE_ORDER)
    table = (
        table.assign(order=order)
        .sort_values(["order", "method", "f", "steps"], ignore_index=True)
        .drop(columns="order")
    )
    return table.dropna(axis=1, how="all")


def _row(group: pd.DataFrame, frame: pd.DataFrame, outcome: ToTarget | None) -> dict[str, object]:
    first = group.iloc[0]
    mean, low, high = mean_interval(group["value"])
    peers = frame[(frame["role"] == "uniform") & (frame["steps"] == first["steps"])]["value"]
    row: dict[str, object] = {
        "method": first["method"],
        "setting": first["variant"],
        "role": first["role"],
        "f": first["f"],
        "steps": int(first["steps"]),
        "seeds": int(group["seed"].nunique()),
        "split": first["split"] if group["split"].nunique() == 1 else "mixed",
        "value": mean,
        "low": low,
        "high": high,
        **_over_images(group),
        "vs uniform": mean - peers.mean() if len(peers) and first["role"] != "uniform" else np.nan,
    }
    row |= {title: _retrieval(group, suffix) for title, suffix in RETRIEVAL.items()}
    row |= {
        "FLOPs": group["flops_as_executed"].mean(),
        "FLOPs charged": group["flops_charged"].mean(),
        "seconds": group["seconds"].mean(),
    }
    return row | _to_target_columns(outcome, int(first["steps"]))


def _over_images(group: pd.DataFrame) -> dict[str, float]:
    """The evaluation's own interval, over test images, where there is one seed and so none over seeds."""
    known = len(group) == 1 and "value_low" in group
    return {f"image {end}": float(group[f"value_{end}"].iloc[0]) if known else np.nan for end in ("low", "high")}


def _retrieval(group: pd.DataFrame, suffix: str) -> float:
    columns = [c for c in group.columns if c.startswith("test:") and c.endswith("/" + suffix)]
    return float(group[columns].mean(axis=None)) if columns else np.nan


def _to_target_columns(outcome: ToTarget | None, steps: int) -> dict[str, object]:
    """Fill the ratios on the row whose schedule reaches the target, or on the longest where none does."""
    if outcome is None or steps != outcome.steps:
        return {
            "to target: steps": np.nan,
            "to target: FLOPs (paper)": np.nan,
            "to target: FLOPs (charged)": np.nan,
            "to target: seconds": np.nan,
        }
    return {
        "to target: steps": outcome.ratio,
        "to target: FLOPs (paper)": outcome.ratios["flops_paper"],
        "to target: FLOPs (charged)": outcome.ratios["flops_charged"],
        "to target: seconds": outcome.ratios["seconds"],
    }


def reference_is_weaker(finals: pd.DataFrame) -> bool:
    """Whether the reference alone ends below uniform; False where that is not known."""
    end = _uniform_end(finals)
    # A mean of nothing is NaN, and not below anything.
    return end is not None and bool(finals.loc[finals["role"] == "reference", "value"].mean() < end.target)


def reference_sentence(finals: pd.DataFrame) -> str:
    """Say whether the reference alone ends below uniform's final accuracy, as an honest comparison needs."""
    reference = finals[(finals["role"] == "reference") & finals["value"].notna()]
    if reference.empty:
        return "The reference alone was not evaluated: whether it is weaker than uniform is not known."
    own, end = float(reference["value"].mean()), _uniform_end(finals)
    if end is None:
        return f"The reference alone stands at {100 * own:.1f} %; there is no uniform run to hold against it."
    where = f"{100 * own:.1f} % against {100 * end.target:.1f} % of uniform after {end.steps:,} steps"
    where += f" ({100 * (own - end.target):+.1f} points)"
    if own < end.target:
        return f"The reference alone ends below uniform: {where}."
    advice = "What is gained here may come from the reference; use a smaller curated set."
    return f"The reference alone is NOT below uniform: {where}. {advice}"


def _uniform_end(finals: pd.DataFrame) -> Horizon | None:
    """The schedule of uniform that sets the target: one twice as long may end lower, where it has learned the noise by heart."""
    uniform = tuned(finals)
    uniform = uniform[uniform["role"] == "uniform"].dropna(subset=["value"])
    return None if uniform.empty else horizon_of(uniform, "uniform")


def _percent(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{100 * value:.1f}"


def _points(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{100 * value:+.1f}"


def _times(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.3g}×"


def _count(value: float) -> str:
    return "–" if not np.isfinite(value) or value == 0 else f"{value:,.0f}"


def _scientific(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.2e}"


_FORMATS: dict[str, Callable[[float], str]] = {
    "steps": _count,
    "seeds": _count,
    "vs uniform": _points,
    **dict.fromkeys(RETRIEVAL, _percent),
    "FLOPs": _scientific,
    "FLOPs charged": _scientific,
    "seconds": _count,
}


def readable(table: pd.DataFrame, title: str = "top-1") -> pd.DataFrame:
    """Turn `final_table` into text cells: percentages, intervals in brackets, times; `title` names the metric."""
    if table.empty:
        return pd.DataFrame()
    shown: dict[str, list[str]] = {"method": [label_of(m, f) for m, f in zip(table["method"], table["f"], strict=True)]}
    settings = _telling(list(table["setting"]))
    if any(settings):
        shown["setting"] = settings
    shown |= {name: [_FORMATS[name](v) for v in table[name]] for name in ("steps", "seeds")}
    shown[f"{title} %"] = _with_intervals(table, "low", "high")
    if "image low" in table:
        bare = table.assign(value=np.nan)
        shown["95 % over images"] = _with_intervals(bare, "image low", "image high")
    for name in table.columns:
        if name in _FORMATS and name not in shown:
            shown[name] = [_FORMATS[name](v) for v in table[name]]
        elif name.startswith("to target"):
            shown[name] = [_times(v) for v in table[name]]
    return pd.DataFrame(shown)


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
        "target": f"{outcome.horizon.label}, {100 * outcome.horizon.target:.1f} % at {outcome.horizon.steps:,}",
    }
    if outcome.steps is None:
        best = f"not reached (best {100 * outcome.best_value:.1f} % at {outcome.best_steps:,})"
        return (
            cells
            | {"steps needed": best}
            | dict.fromkeys(("steps", "FLOPs (paper)", "FLOPs (executed)", "FLOPs (charged)", "seconds"), "–")
        )
    low = "not reached" if outcome.low == 0 else f"{outcome.low:.3g}"
    interval = f" [{low}, {outcome.high:.3g}]" if outcome.seeds > 1 else ""
    ratios = {
        "FLOPs (paper)": "flops_paper",
        "FLOPs (executed)": "flops_as_executed",
        "FLOPs (charged)": "flops_charged",
        "seconds": "seconds",
    }
    least = outcome.at_least
    needed = f"{'≤ ' if least else ''}{outcome.steps:,}"
    cells |= {"steps needed": needed, "steps": least + _times(outcome.ratio) + interval}
    return cells | {name: least + _times(outcome.ratios[key]) for name, key in ratios.items()}


def _with_intervals(table: pd.DataFrame, low: str, high: str) -> list[str]:
    bounds = table.reindex(columns=["value", low, high]).to_numpy(float)
    return [_with_interval(*row) for row in bounds]


def _with_interval(value: float, low: float, high: float) -> str:
    bounds = f"[{100 * low:.1f}, {100 * high:.1f}]" if np.isfinite(low) else ""
    return " ".join(filter(None, [_percent(value) if np.isfinite(value) or not bounds else "", bounds]))


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
