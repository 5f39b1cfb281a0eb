"""Recorded runs that the rules of the advice rest on; a test holds them against the rows in benchmarks/results."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """Mean test values of a recorded run.

    Attributes:
        pool: simweb or icons. run: its label. steps: of its schedule. seeds: how many the means are over.
        top1, r1: zero-shot top-1 and mean R@1 of both directions, in percent.
        tflop, charged: as executed, and with what was spent before the run; None where that was not recorded.
        reference: the one it goes by, where it is not the pool's own.
    """

    pool: str
    run: str
    steps: int
    seeds: int
    top1: float
    r1: float
    tflop: float | None = None
    charged: float | None = None
    reference: str = ""

    def words(self) -> str:
        """Say it in one line."""
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else "one seed"
        cost = "" if self.charged is None else f", {self.charged:.1f} TFLOP with everything charged"
        by = f" by a reference of {self.reference}" if self.reference else ""
        return f"{self.pool}: {self.run}, {self.steps:,} steps{by}: top-1 {self.top1:.1f} %, R@1 {self.r1:.1f} % ({seeds}{cost})"


ROWS = (
    Row("simweb", "uniform", 4_000, 1, 24.7, 3.2, 8.85, 8.85),
    Row("simweb", "uniform", 16_000, 3, 34.0, 2.9, 35.41, 35.41),
    Row("simweb", "filtered", 3_000, 3, 46.7, 3.1, 6.64, 8.87),
    Row("simweb", "easy_reference", 400, 3, 34.4, 1.3, 0.89, 3.11),
    Row("simweb", "easy_reference", 615, 3, 43.8, 1.7, 1.36, 3.59),
    Row("simweb", "easy_reference", 1_230, 3, 50.6, 1.8, 2.72, 4.95),
    Row("simweb", "adaptive_self_paced", 400, 3, 35.8, 1.5, 0.98, 3.20),
    Row("simweb", "adaptive_self_paced", 615, 3, 43.2, 1.7, 1.94, 4.16),
    Row("simweb", "adaptive_self_paced", 1_230, 3, 53.6, 3.7, 5.76, 7.99),
    Row("simweb", "adaptive_common", 400, 3, 37.4, 1.7, 0.98, 3.20),
    Row("simweb", "adaptive_common", 1_230, 3, 58.5, 3.7, 5.58, 7.81),
    Row("simweb", "adaptive_common", 3_000, 3, 64.5, 5.7, 15.94, 18.17),
    Row("simweb", "self_paced", 1_230, 3, 54.7, 3.0, 4.99, 7.22),
    Row("simweb", "flexi_self_paced", 1_230, 3, 52.0, 3.8, 3.42, 5.65),
    Row("icons", "uniform", 8_000, 3, 15.9, 6.3, 17.71, 17.71),
    Row("icons", "uniform", 16_000, 3, 29.3, 12.4, 35.41, 35.41),
    Row("icons", "uniform", 2_000, 3, 2.9, 1.6, 4.43, 4.43),
    Row("icons", "easy_reference", 2_000, 3, 14.2, 5.4, 4.43, 14.71),
    Row("icons", "safe", 2_000, 1, 9.2, 4.0, 4.43, 14.71),
    Row("icons", "safe", 8_000, 3, 31.9, 13.4, 17.71, 27.99),
    Row("icons", "common_first", 8_000, 3, 33.3, 14.5, 17.71, 17.71),
    Row("icons", "common_first", 16_000, 3, 47.3, 22.4, 35.41, 35.41),
    Row("icons", "safe_common", 8_000, 3, 37.5, 16.3, 17.71, 27.99),
    Row("icons", "safe_slow", 4_000, 1, 21.6, 8.7, 8.85, 19.14),
    Row("icons", "safe_slow", 16_000, 1, 35.7, 15.1, 35.41, 45.70),
    Row("icons", "adaptive_self_paced", 8_000, 3, 29.4, 12.6, 19.55, 29.84),
    Row("icons", "adaptive_common", 8_000, 3, 34.1, 15.5, 21.74, 32.02),
    Row("simweb", "uniform", 1_230, 1, 11.5, 1.7, reference="100 pairs, 200 steps"),
    Row("simweb", "easy_reference", 1_230, 1, 16.1, 0.6, reference="100 pairs, 200 steps"),
    Row("simweb", "self_paced", 1_230, 1, 35.3, 1.7, reference="100 pairs, 200 steps"),
    Row("simweb", "adaptive_self_paced", 1_230, 1, 45.4, 2.3, reference="100 pairs, 200 steps"),
    Row("simweb", "adaptive_self_paced", 1_230, 1, 46.1, 2.1, reference="100 pairs, 800 steps"),
    Row("icons", "uniform", 8_000, 1, 15.3, 7.0, reference="100 pairs, 375 steps"),
    Row("icons", "adaptive_self_paced", 8_000, 1, 28.6, 12.5, reference="100 pairs, 375 steps"),
)
# Passes over the pool, steps x b / rows, of the longest selecting run on record (simweb, adaptive_self_paced, 3,000 steps of 64 over 39,600 rows).
LONGEST = 4.8
SHORTEST = 0.8  # the same of the shortest recorded run there whose fall of f pays (safe_slow, 4,000 steps); at half as many, safe is behind easy_reference
TIGHT = (
    1.2  # passes that a budget in operations allows adaptive_common, up to which a cheaper step decides on a noisy pool
)
NOISY, MOSTLY_RIGHT = "simweb", "icons"  # the recorded pool of each kind


def rows(*wanted: tuple[str, str, int], reference: str = "") -> tuple[Row, ...]:
    """Return recorded rows by pool, run and steps, in the order asked for."""
    known = {(row.pool, row.run, row.steps): row for row in ROWS if row.reference == reference}
    return tuple(known[key] for key in wanted)


def plain_steps(pool: str, run: str) -> float:
    """Return how many plain steps a step of a preset costs on a recorded pool, by its longest run there; 1 where it has none.

    Args:
        pool: simweb or icons. run: the preset.
    """
    own = [row for row in ROWS if (row.pool, row.run) == (pool, run) and row.tflop]
    plain = next(row for row in ROWS if (row.pool, row.run) == (pool, "uniform"))
    if not own:
        return 1.0
    longest = max(own, key=lambda row: row.steps)
    assert longest.tflop and plain.tflop, "rows with a cost"
    return round((longest.tflop / longest.steps) / (plain.tflop / plain.steps), 2)
