"""The paper's ablations as a table of signs: which differences should be there, and which are, on our pools.

    python benchmarks/signature.py [--pool simweb]              from benchmarks/results/compare_<pool>.json and compare_<pool>_signature.json
    python benchmarks/signature.py --runs data/07_model_output  spikes of the loss too, from the runs' ledgers

All runs of a pool have the same number of steps; differences are of top-1 on the test split, paired by seed. A sign holds where its 95 % interval
lies on the expected side of 0, fails where it lies on the other, and is open in between, as it is with one seed. Sections of the paper: JEST
(2406.17711), figures 3, 4, 6 and 7.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
import pandas as pd
from results import POOLS, finals, recorded

from superbatch.files import read_json
from superbatch.reporting.intervals import Difference, difference, over_seeds

STEPS = {"simweb": 1_230, "icons": 2_000}
SPIKE, WINDOW = 1.5, 50  # a loss above so many times the median of so many steps before it


@dataclass(frozen=True)
class Sign:
    """A difference that the paper reports.

    Attributes:
        says: in words. own, other: cells, as run names begin; with `over` each less its own baseline.
        expected: +1, -1, or 0 where both should be level.
        over: the baselines of own and other, where their gains are compared.
    """

    says: str
    own: str
    other: str
    expected: int
    over: tuple[str, str] | None = None


SIGNS = (
    Sign("jest: f = 0.8 above f = 0.5", "jest-f0.8", "jest-f0.5", 1),
    Sign("jest: f = 0.9 above f = 0.8", "jest-f0.9", "jest-f0.8", 1),
    Sign("jest, f = 0.5, above uniform", "jest-f0.5", "uniform", 1),
    Sign("joint and independent level at f = 0.5", "jest-f0.5", "independent-f0.5", 0),
    Sign("joint above independent at f = 0.8", "jest-f0.8", "independent-f0.8", 1),
    Sign("joint above independent at f = 0.9", "jest-f0.9", "independent-f0.9", 1),
    Sign("hard learner, f = 0.8, below uniform", "hard_learner-f0.8", "uniform", -1),
    Sign("easy reference, joint, f = 0.9, above uniform", "easy_reference-f0.9", "uniform", 1),
    Sign("easy reference, independent, f = 0.9, below uniform", "easy_independent-f0.9", "uniform", -1),
    Sign("easy reference at f = 0.9: joint above independent", "easy_reference-f0.9", "easy_independent-f0.9", 1),
    Sign("scored low, nothing trained low: below uniform", "flexi_jest_low0-f0.8", "uniform", -1),
    Sign("scored low, a quarter trained low: above uniform", "flexi_jest_low25-f0.8", "uniform", 1),
    Sign("a quarter trained low above none", "flexi_jest_low25-f0.8", "flexi_jest_low0-f0.8", 1),
    Sign("beta2 = 0.95 above 0.999 at f = 0.8", "jest-f0.8", "jest_beta999-f0.8", 1),
    Sign("B = 320: jest's gain at b = 64 above that at b = 160", "jest-f0.8", "jest_b160-f0.5", 1, ("uniform", "uniform_b160")),
    Sign("B = 320: jest's gain at b = 32 above that at b = 64", "jest_b32-f0.9", "jest-f0.8", 1, ("uniform_b32", "uniform")),
)  # fmt: skip
SPIKING = ("jest-f0.8", "jest_beta999-f0.8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--pool", choices=POOLS, action="append", help="this pool alone; may be repeated")
    made.add_argument("--runs", type=Path, metavar="FOLDER", help="of runs whose ledgers are there")
    options = made.parse_args()
    options.pool = options.pool or list(POOLS)
    return options


def main() -> None:
    """Print the signs of each pool, and what the losses did."""
    options, found, seeds = arguments(), dict[str, Any](), set[int]()
    for pool in options.pool:
        rows = rows_of(pool)
        seeds |= {row["seed"] for row in rows}
        by_cell = cells(rows, STEPS[pool])
        signs = [(sign, of_sign(sign, by_cell)) for sign in SIGNS]
        shown = [[sign.says, wanted(sign), one.text(), verdict(sign, one)] for sign, one in signs if one is not None]
        print(common.table([pool, "paper", "here, points", "sign"], shown), end="\n\n")
        missing = [sign.says for sign, one in signs if one is None]
        print(f"not measured: {'; '.join(missing)}\n" if missing else "")
        found[pool] = {sign.says: as_json(sign, one) for sign, one in signs if one is not None}
    if options.runs:
        found["spikes"] = spikes(options.runs)
        print(common.table(["loss", "spikes a run"], [[name, str(values)] for name, values in found["spikes"].items()]))
    options.seed = sorted(seeds)
    common.report("signature", found, options)


def rows_of(pool: str) -> list[dict[str, Any]]:
    """Return the recorded outcomes of a pool, those of the ablations among them, as far as there are any."""
    files = [recorded(pool), recorded(f"{pool}_signature")]
    return [row for file in files if file.exists() for row in read_json(file)]


def cells(rows: list[dict[str, Any]], steps: int) -> dict[str, pd.DataFrame]:
    """Return the outcomes of the runs of so many steps, by cell."""
    frame = finals(rows).assign(run=[row["run"] for row in rows])
    ending = f"-T{steps}-s"
    own = frame[frame["run"].str.contains(ending, regex=False)]
    if own.empty:
        return {}
    return dict(iter(own.groupby(own["run"].str.partition(ending)[0])))


def of_sign(sign: Sign, by_cell: dict[str, pd.DataFrame]) -> Difference | None:
    """Return the difference that a sign is about; None where a cell is missing."""
    names = (sign.own, sign.other, *(sign.over or ()))
    if not all(name in by_cell for name in names):
        return None
    if sign.over is None:
        return difference(by_cell[sign.own], by_cell[sign.other])
    own, other, under_own, under_other = (by_cell[name].groupby("seed")["value"].mean() for name in names)
    gains = ((own - under_own) - (other - under_other)).dropna().to_numpy(float)
    if len(gains) > 1:
        return over_seeds(gains)
    return Difference(float(gains[0]), np.nan, np.nan, 1, "") if len(gains) else None


def wanted(sign: Sign) -> str:
    """The sign that the paper has."""
    return {1: "+", -1: "-", 0: "level"}[sign.expected]


def verdict(sign: Sign, one: Difference) -> str:
    """Whether a sign holds, by its interval over seeds."""
    if one.over != "seeds":
        return "open (one seed)"
    side = int(one.above) - int(one.below)
    if sign.expected == 0:
        return "holds" if side == 0 else "differs"
    return {sign.expected: "holds", 0: "open"}.get(side, "differs")


def as_json(sign: Sign, one: Difference) -> dict[str, Any]:
    """The same for machines."""
    return {
        "expected": sign.expected, "value": one.value, "low": one.low, "high": one.high, "n": one.n, "verdict": verdict(sign, one)
    }  # fmt: skip


def spikes(runs: Path) -> dict[str, list[int]]:
    """Count the steps whose loss stands out from those before it, a number a run, of any number of steps."""
    found: dict[str, list[int]] = {}
    for name in SPIKING:
        for path in sorted(runs.glob(f"{name}-T*-s*/training/ledger.parquet")):
            loss = pd.read_parquet(path, columns=["loss"])["loss"]
            before = loss.rolling(WINDOW).median().shift(1)
            found.setdefault(name, []).append(int((loss > SPIKE * before).sum()))
    return found


if __name__ == "__main__":
    main()
