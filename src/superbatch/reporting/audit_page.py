"""The audit of a pool as one HTML file: counts by verdict, histograms, examples of each, and what the truth says."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from superbatch.options import VERDICTS, AuditSettings
from superbatch.reporting import html
from superbatch.reporting.audit import Draw
from superbatch.reporting.audit_truth import badness, by_kind, truth_metrics
from superbatch.reporting.figures import audit_figure, svg_uri
from superbatch.reporting.gallery import CaptionReader, Item, PixelReader, Shelf, data_uri
from superbatch.reporting.names import words
from superbatch.reporting.shelves import shelf
from superbatch.reporting.theme import DARK, LIGHT

SEED = 0  # of the examples, which are drawn at random
EXACT = (
    "Exact: how often a row was seen, which follows from the order of the super-batches, and how often it was chosen. "
    "Estimated: mean scores. Of the rows passed over at a step, the run records the scores of a random sample alone; "
    "a recorded one stands for all of its row. Rows without any record have no mean score."
)
NOT_GOODNESS = (
    "A verdict says what this run did with a pair, not whether the pair is bad: a clean pair that the learner already "
    "knows is not worth a step. The column beside precision has as many rows by the reference's score alone."
)
CAPTION = "Left of the base rate: chosen less often than chance would. Scores are means over the records of a row."
ALT = "Rows of the pool by share chosen and by mean score, stacked by verdict"


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
    by_chance = "a row at the base rate would be with a chance of at most"
    learned = (
        f"chosen above the base rate in the first part of the run and below it in the last {100 * settings.late_share:.0f} % of "
        f"the steps, with a late mean score of at most {settings.learned_score:g}, and no low reference score"
    )
    rarely = f"chosen so rarely as {by_chance} {settings.rarely_chance:g}"
    return {
        "unseen": "never drawn into a super-batch",
        "learned": learned if audit.draw.learnability else "not given: the run's score is not learnability",
        "worth_it": f"chosen so often as {by_chance} {settings.worth_it_chance:g} (base rate b/B = {rate:.3g})",
        "unlearnable": f"{rarely}, and among the lowest {100 * settings.low_reference:.0f} % by reference score",
        "never_worth": f"{rarely}, with a reference score that is not low",
        "undecided": "none of these can be said",
    }


def render(audit: Audit) -> str:
    """Render an audit to HTML: self-contained, without any script."""
    sections = [
        html.section("verdicts", "Verdicts", "", _verdicts(audit)),
        html.section("spread", "How often, and at which score", "", _spread(audit)),
        html.section("examples", "Examples", "", "".join(map(shelf, shelves(audit))) or _no_examples()),
        html.section("truth", "Against the truth", "", _truth(audit)),
        html.section("export", "What was exported", "", _export(audit)),
    ]
    order = audit.draw.order
    lede = (
        f"{len(audit.rows):,} rows, {audit.draw.steps:,} steps, b = {audit.draw.batch_size:,} of B = "
        f"{order.batch_size:,}: {audit.draw.steps * order.batch_size / order.num_rows:.3g} epochs"
    )
    head = f'<p class="eyebrow">Audit of the pool</p><h1>{escape(audit.run)}</h1><p class="lede">{escape(lede)}</p>'
    return html.document(f"{audit.run} · audit of the pool", head + html.tiles(_tiles(audit)), sections)


def _tiles(audit: Audit) -> list[tuple[str, str]]:
    total = max(1, len(audit.rows))
    return [
        (f"{100 * count / total:.1f} %", f"{words(name)}: {count:,} rows") for name, count in audit.counts().items()
    ]


def _verdicts(audit: Audit) -> str:
    meaning, counts = definitions(audit), audit.counts()
    mean = audit.rows.groupby("verdict")[["seen", "chosen", "mean_score", "reference_score"]].mean().reindex(meaning)
    cells = pd.DataFrame(
        {
            "verdict": [words(name) for name in meaning],
            "rows": [f"{counts[name]:,}" for name in meaning],
            "seen": mean["seen"].map(_number),
            "chosen": mean["chosen"].map(_number),
            "mean score": mean["mean_score"].map(_number),
            "reference score": mean["reference_score"].map(_number),
        }
    )
    said = "".join(f"<li><b>{words(name)}</b>: {escape(text)}</li>" for name, text in meaning.items())
    notes = f'<p class="note">The first that holds counts. Columns from seen on are means over rows. {EXACT}</p>'
    return f'{html.table(cells, "")}<ul class="findings">{said}</ul>{notes}'


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "–"


def _spread(audit: Audit) -> str:
    if not (audit.rows["seen"] > 0).any():
        return html.missing("No row was seen.")
    light, dark = (svg_uri(audit_figure(audit.rows, audit.draw.base_rate, theme)) for theme in (LIGHT, DARK))
    return html.picture({"audit": (light, dark)}, "audit", ALT, CAPTION)


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


def _no_examples() -> str:
    return html.missing("No examples were asked for (audit.examples).")


def _truth(audit: Audit) -> str:
    if audit.kinds is None:
        return html.missing("The truth about this pool's pairs is not known, so the verdicts can't be checked.")
    found = badness(audit.rows, audit.kinds)
    cells = pd.DataFrame({"verdict": found["found"].map(words), "sought": found["sought"] + " pairs"})
    cells["rows"] = found["rows"].map("{:,}".format)
    titles = {"precision": "precision", "by_reference": "by reference score", "recall": "recall", "pool": "in the pool"}
    for name, title in titles.items():
        cells[f"{title} %"] = found[name].map(_percent)
    tidy = by_kind(audit.rows["verdict"].to_numpy(), audit.kinds)
    tables = [_crossed(tidy, name) for name in ("precision", "recall")]
    heads = ("Kinds within each verdict, % (precision)", "Verdicts within each kind, % (recall)")
    parts = "".join(f"<h3>{head}</h3>{html.table(one, '')}" for head, one in zip(heads, tables, strict=True))
    return f'<p class="note">{NOT_GOODNESS}</p>{html.table(cells, "")}{parts}'


def _crossed(tidy: pd.DataFrame, value: str) -> pd.DataFrame:
    crossed = tidy.pivot(index="verdict", columns="kind", values=value)
    crossed = crossed.reindex(index=pd.unique(tidy["verdict"]), columns=pd.unique(tidy["kind"]))
    crossed.index, crossed.columns = crossed.index.map(words), crossed.columns.map(words)
    return crossed.map(_percent).rename_axis(index="verdict", columns=None).reset_index()


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if np.isfinite(share) else "–"


def _export(audit: Audit) -> str:
    if not audit.subset:
        return html.missing("Nothing was exported.")
    cells = pd.DataFrame({"of the subset": list(audit.subset), "value": [str(v) for v in audit.subset.values()]})
    return html.table(cells, "")
