"""The audit of a pool as one HTML file: counts by verdict, histograms, examples of each, and what the truth says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from superbatch.options import VERDICTS, AuditSettings
from superbatch.reporting import templating
from superbatch.reporting.audit import LEFT_OUT, Draw
from superbatch.reporting.audit_truth import badness, by_kind, truth_metrics
from superbatch.reporting.figures import audit_figure, picture
from superbatch.reporting.gallery import CaptionReader, Item, PixelReader, Shelf, data_uri
from superbatch.reporting.names import words
from superbatch.reporting.numbers import NONE
from superbatch.reporting.parts import Picture, Table

SEED = 0  # of the examples, which are drawn at random


@dataclass(frozen=True)
class Audit:
    """An audited pool.

    Attributes:
        run: the run's name. rows: `audit.audit_rows`, with key and shard. draw: what the run drew from.
        settings: the thresholds.
        pixels: int64 rows (n,) -> uint8 (n, 3, S, S); captions: rows -> captions; without them the examples lack theirs.
        kinds: kind by row, for simulated pools. subset: what was exported (`subset.json`).
    """

    run: str
    rows: pd.DataFrame
    draw: Draw
    settings: AuditSettings
    pixels: PixelReader | None = None
    captions: CaptionReader | None = None
    kinds: np.ndarray | None = None
    subset: dict[str, Any] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Rows by verdict, all verdicts."""
        found = self.rows["verdict"].value_counts()
        return {name: int(found.get(name, 0)) for name in VERDICTS}

    def metrics(self) -> dict[str, float]:
        """Flat numbers for a metrics file: rows and shares by verdict, and what the truth says where it is known."""
        total = max(1, len(self.rows))
        found: dict[str, float] = {"rows": len(self.rows), "base_rate": round(self.draw.base_rate, 6)}
        found |= {f"{name}.rows": count for name, count in self.counts().items()}
        found |= {f"{name}.share": round(count / total, 6) for name, count in self.counts().items()}
        return found if self.kinds is None else found | truth_metrics(self.rows, self.kinds)


def definitions(audit: Audit) -> dict[str, str]:
    """What each verdict means under this audit's thresholds, in the order in which they are tried."""
    rate, settings = audit.draw.base_rate, audit.settings
    learned = (
        f"chosen above the base rate in the first part of the run and below it in the last {100 * settings.late_share:.0f} % of "
        f"the steps, with a late mean score of at most {settings.learned_score:g}, and no low reference score"
    )
    rarely = f"chosen less often than the base rate (binomial p <= {settings.rarely_chance:g})"
    return {
        "unseen": "never drawn into a super-batch",
        "learned": learned if audit.draw.learnability else "not used: not all scores are learnability",
        "worth_it": f"chosen more often than the base rate b/B = {rate:.3g} (binomial p <= {settings.worth_it_chance:g})",
        "unlearnable": f"{rarely}, and among the lowest {100 * settings.low_reference:.0f} % by reference score",
        "never_worth": f"{rarely}, with a reference score that is not low",
        "undecided": "none of these applies",
    }


def render(audit: Audit) -> str:
    """Render an audit to HTML: self-contained, without any script."""
    return templating.render(
        "audit.html.j2",
        run=audit.run,
        plan=_plan(audit),
        tiles=_tiles(audit),
        verdicts=Table.of(_verdicts(audit)),
        decision=audit.settings.decision,
        left_out=Table.of(_left_out(audit.rows)),
        definitions=definitions(audit),
        pictures=_pictures(audit),
        shelves=shelves(audit),
        truth=None if audit.kinds is None else _truth(audit.rows, audit.kinds),
        subset=Table.of(_subset(audit)),
    )


def _plan(audit: Audit) -> str:
    draw, order = audit.draw, audit.draw.order
    epochs = order.looked_at(range(draw.steps)) / order.num_rows
    sizes = {order.size(step) for step in range(draw.steps)}
    size = " to ".join(f"{size:,}" for size in sorted({min(sizes), max(sizes)}))
    counts = (
        f"{len(audit.rows):,} rows, {draw.steps:,} steps, b = {draw.batch_size:,} of B = {size}: {epochs:.3g} epochs"
    )
    if draw.new_kind is None:
        return counts
    return f"{counts}; from step {draw.new_kind:,} on chosen by another criterion, so mean scores mix two kinds"


def _tiles(audit: Audit) -> list[tuple[str, str]]:
    total = max(1, len(audit.rows))
    return [
        (f"{100 * count / total:.1f} %", f"{words(name)}: {count:,} rows") for name, count in audit.counts().items()
    ]


def _verdicts(audit: Audit) -> pd.DataFrame:
    meaning, counts = definitions(audit), audit.counts()
    mean = audit.rows.groupby("verdict")[["seen", "chosen", "mean_score", "reference_score"]].mean().reindex(meaning)
    return pd.DataFrame(
        {
            "verdict": [words(name) for name in meaning],
            "rows": [f"{counts[name]:,}" for name in meaning],
            "seen": mean["seen"].map(_number),
            "chosen": mean["chosen"].map(_number),
            "mean score": mean["mean_score"].map(_number),
            "reference score": mean["reference_score"].map(_number),
        }
    )


def _left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """How many rows of each verdict each rule of a decision would have left out; nothing where none was named."""
    if LEFT_OUT not in rows:
        return pd.DataFrame()
    crossed = pd.crosstab(rows["verdict"], rows[LEFT_OUT].fillna("kept"))
    crossed = crossed.reindex([name for name in VERDICTS if name in crossed.index])
    crossed.index = crossed.index.map(words)
    return crossed.map("{:,}".format).rename_axis(index="verdict", columns=None).reset_index()


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else NONE


def _pictures(audit: Audit) -> dict[str, Picture]:
    """Draw the histograms; nothing where no row was seen."""
    if not (audit.rows["seen"] > 0).any():
        return {}
    return {"audit": picture(lambda theme: audit_figure(audit.rows, audit.draw.base_rate, theme), "audit")}


def shelves(audit: Audit) -> list[Shelf]:
    """Return a shelf of examples for each verdict that any row got, drawn at random (always the same ones)."""
    meaning = definitions(audit)
    drawn = {name: _examples(audit, name) for name in VERDICTS}
    what = {
        name: f"{meaning[name]}; {len(found)} of {audit.counts()[name]:,}, drawn at random"
        for name, found in drawn.items()
    }
    return [
        Shelf(words(name).capitalize(), what[name], _items(audit, found)) for name, found in drawn.items() if len(found)
    ]


def _examples(audit: Audit, verdict: str) -> pd.DataFrame:
    rows = audit.rows[audit.rows["verdict"] == verdict]
    return rows.sample(min(audit.settings.examples, len(rows)), random_state=SEED).sort_values("row")


def _items(audit: Audit, found: pd.DataFrame) -> list[Item]:
    rows = found["row"].to_numpy(np.int64)
    pictures = [None] * len(rows) if audit.pixels is None else [data_uri(image) for image in audit.pixels(rows)]
    captions = audit.captions(rows) if audit.captions else [""] * len(rows)
    kinds = [None] * len(rows) if audit.kinds is None else [str(kind) for kind in audit.kinds[rows]]
    notes = [
        f"chosen {e.chosen} of {e.seen} · score {_number(e.mean_score)} · reference {_number(e.reference_score)}"
        for e in found.itertuples()
    ]
    return [
        Item(int(row), 0, float(score), str(caption), picture, kind, note)
        for row, score, caption, picture, kind, note in zip(
            rows, found["mean_score"], captions, pictures, kinds, notes, strict=True
        )
    ]


def _truth(rows: pd.DataFrame, kinds: np.ndarray) -> dict[str, Table]:
    """Compare the verdicts with the truth: `found` bad and clean pairs, then verdicts by kind, `precision` and `recall`."""
    tidy = by_kind(rows["verdict"].to_numpy(), kinds)
    crossed = {name: Table.of(_crossed(tidy, name)) for name in ("precision", "recall")}
    return {"found": Table.of(_found(badness(rows, kinds))), **crossed}


def _found(found: pd.DataFrame) -> pd.DataFrame:
    cells = pd.DataFrame({"verdict": found["found"].map(words), "sought": found["sought"] + " pairs"})
    cells["rows"] = found["rows"].map("{:,}".format)
    titles = {"precision": "precision", "by_reference": "by reference score", "recall": "recall", "pool": "in the pool"}
    for name, title in titles.items():
        cells[f"{title} %"] = found[name].map(_percent)
    return cells


def _crossed(tidy: pd.DataFrame, value: str) -> pd.DataFrame:
    crossed = tidy.pivot(index="verdict", columns="kind", values=value)
    crossed = crossed.reindex(index=pd.unique(tidy["verdict"]), columns=pd.unique(tidy["kind"]))
    crossed.index, crossed.columns = crossed.index.map(words), crossed.columns.map(words)
    return crossed.map(_percent).rename_axis(index="verdict", columns=None).reset_index()


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if np.isfinite(share) else NONE


def _subset(audit: Audit) -> pd.DataFrame:
    return pd.DataFrame({"of the subset": list(audit.subset), "value": [str(v) for v in audit.subset.values()]})
