"""Whether the reference is good enough to choose batches by: what its check found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from superbatch.reporting.numbers import NONE, percent
from superbatch.reporting.parts import Table
from superbatch.reporting.report import Report
from superbatch.reporting.rounds import rounds_cells, rounds_sentence

SCORES = {"pair": "pair score", "conditional": "score in a batch"}
CONCEPTS = {"all": "", "rare": ", rare concepts", "frequent": ", frequent concepts"}
Row = tuple[str, str, str, str]


@dataclass(frozen=True)
class Reference:
    """What the section shows, beside its figure.

    Attributes:
        line, measures: the verdict, and the table of measures; empty where nothing was checked.
        bootstrapped, rounds: of a second reference: what led to it, in a line and a round a row.
    """

    line: str
    measures: Table
    bootstrapped: str
    rounds: Table


def reference(report: Report) -> Reference:
    """The verdict on the reference, and what it rests on."""
    found, rounds = report.reference_check, Table.of(rounds_cells(report.rounds))
    bootstrapped = rounds_sentence(report.rounds)
    if found is None:
        return Reference("", Table((), ()), bootstrapped, rounds)
    rows = [*_telling(found), *_memory(found), *_pool(found)]
    cells = pd.DataFrame(rows, columns=["measure", "value", "95 % interval", "pairs"])
    sentence = str(found["sentence"])
    return Reference(sentence[0].upper() + sentence[1:] + ".", Table.of(cells), bootstrapped, rounds)


def _telling(found: dict[str, Any]) -> Iterator[Row]:
    """AUC of true against exchanged pairs, by score and by concept."""
    for score, by in SCORES.items():
        for concepts, of in CONCEPTS.items():
            one = found.get("auc", {}).get(score, {}).get(concepts)
            if one is not None and one["value"] is not None:
                interval = f"[{one['low']:.2f}, {one['high']:.2f}]"
                yield f"AUC by {by}{of}", f"{one['value']:.2f}", interval, f"{one['pairs']:,}"


def _memory(found: dict[str, Any]) -> Iterator[Row]:
    """R@1 and loss, on held-out pairs and on those that it was trained on."""
    names = {"held_out": "held out", "training": "training pairs"}
    for kind, name in names.items():
        one = found["recall"][kind]
        if one is not None:
            yield _share(f"R@1 in {found['recall']['of']}, {name}", one)
    for kind, name in names.items():
        one = found["loss"][kind]
        if one is not None:
            yield f"loss, {name}", f"{one['as_it_is']:.2f}", "", ""
            yield f"loss, {name}, with scale and bias fitted to them", f"{one['fitted']:.2f}", "", ""


def _pool(found: dict[str, Any]) -> Iterator[Row]:
    """What it makes of the pool, by its own scores."""
    if found.get("pool_above") is not None:
        yield _share("comparisons in which a pair of the pool scores above a held-out one", found["pool_above"])
    if found.get("bad_share") is not None:
        yield _share("bad pairs in the pool, estimated", found["bad_share"])
    purity = found.get("purity") or {"filter": [], "easy_reference": None}
    for best in purity["filter"]:
        yield _share(f"true pairs in the filter's best {100 * best['kept']:.0f} %, estimated", best)
    if purity["easy_reference"] is not None:
        yield _share("true pairs among easy_reference's picks, estimated", purity["easy_reference"])


def _share(name: str, one: dict[str, Any]) -> Row:
    if one["value"] is None:
        return name, NONE, "", f"{one['pairs']:,}"
    return name, f"{percent(one['value'])} %", f"[{percent(one['low'])}, {percent(one['high'])}]", f"{one['pairs']:,}"
