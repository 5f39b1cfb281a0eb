"""What a run costs in the three accountings of ActiveCLIP (papers.md 3.2), over the recorded runs of `compare`.

    python benchmarks/amortised.py [--pool simweb]

- nothing amortised: all is charged, training the reference and embedding the pool with it too;
- reference free: it serves many learners, so its part is left out (of one that is trained along, its training);
- policy free: so does the choice, as if the rows had been handed over with the data: only the learner's own training counts.

Operations as executed, in TFLOP, mean over the seeds of each cell; beside them a uniform run of as many steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import common
from results import POOLS, recorded

from superbatch.files import read_json

ALONG = "reference_total"  # training a reference along
# What of a run's own operations is spent on choosing.
POLICY = ("scoring_total", "proxy_total", ALONG, "measuring_total")


def main() -> None:
    """Print a table a pool."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--pool", choices=POOLS, action="append", help="this pool alone; may be repeated")
    options = made.parse_args()
    figures: dict[str, Any] = {}
    for pool in options.pool or POOLS:
        cells = by_cell(read_json(recorded(pool)))
        header = [pool, "seeds", "nothing amortised", "reference free", "policy free", "over uniform"]
        figures[pool] = {name: mean(map(accountings, rows)) for name, rows in cells.items()}
        shown = [
            [name, str(len(rows)), *(f"{value:.2f}" for value in figures[pool][name]), ratios(figures[pool][name])]
            for name, rows in cells.items()
        ]
        print(common.table(header, shown), end="\n\n")
    common.report("amortised", figures, options)


def by_cell(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Put together the runs of a cell, which differ by their seeds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        name, at, _ = row["run"].rpartition("-s")
        if at:
            found.setdefault(name, []).append(row)
    return found


def accountings(row: dict[str, Any]) -> tuple[float, float, float]:
    """Return a run's TFLOP with nothing amortised, with its reference free, and with its policy free."""
    flops = row["flops"]
    training = flops["as_executed_total"] - sum(flops.get(name, 0.0) for name in POLICY)
    free = flops["as_executed_total"] - flops.get(ALONG, 0.0)
    return flops["charged_total"] / 1e12, free / 1e12, training / 1e12


def mean(found: Iterable[tuple[float, float, float]]) -> tuple[float, ...]:
    """Return the means of columns."""
    return tuple(sum(column) / len(column) for column in zip(*found, strict=True))


def ratios(found: tuple[float, ...]) -> str:
    """What each accounting is over the learner's own training, which is a uniform run's cost at full view."""
    return ", ".join(f"{value / found[-1]:.2f}" for value in found)


if __name__ == "__main__":
    main()
