"""How the picks changed: what kinds of pairs were chosen over time, beside what the super-batches held.

The truth (`truth/pool.parquet`: key, kind) belongs to the simulated pool alone and is joined here, by key through the
manifest; training never sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import parquet

from superbatch.errors import UserError
from superbatch.reporting.spans import spans

KINDS = ("clean", "mismatched", "boilerplate", "garbled", "off_topic", "near_duplicate", "corrupt")
UNKNOWN = "unknown"


def kinds_of_rows(truth: Path, manifest: Path) -> np.ndarray:
    """Give the kind of each row of a manifest.

    Args:
        truth: Parquet with `key` and `kind`. manifest: the ingested set's directory, or its manifest.parquet.

    Returns:
        Strings by row number; `unknown` for keys without truth (the curated rows of pool + curated).

    Raises:
        UserError: a missing file, or a truth of another set (no key in common).
    """
    return _of_rows(truth, manifest, "kind").fillna(UNKNOWN).to_numpy(dtype=object)


def concepts_of_rows(truth: Path, manifest: Path) -> np.ndarray:
    """Give the concept of each row's image, int64 (R,); -1 where it shows none, or where no truth is known.

    Arguments and errors as in `kinds_of_rows`; the truth has `concept`.
    """
    return _of_rows(truth, manifest, "concept").fillna(-1).to_numpy(np.int64)


def has_concepts(truth: Path) -> bool:
    """Whether a truth has a column `concept`; one that can't be read has none."""
    try:
        return "concept" in parquet.read_schema(truth).names
    except (OSError, ValueError):
        return False


def _of_rows(truth: Path, manifest: Path, column: str) -> pd.Series:
    """Join a column of the truth by key; NaN for keys without truth."""
    manifest = manifest / "manifest.parquet" if manifest.is_dir() else manifest
    known = _columns(truth, ["key", column]).drop_duplicates("key").set_index("key")[column]
    keys = _columns(manifest, ["key"])["key"]
    found = keys.map(known)
    if len(keys) and found.isna().all():
        raise UserError(
            str(truth), f"shares no key with {manifest}", "point it at the truth of this pool, or leave it out"
        )
    return found


def _columns(path: Path, names: list[str]) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(str(path), "no such file", "run the stage that writes it, or leave the truth out of the report")
    try:
        return pd.read_parquet(path, columns=names)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(str(path), f"has no readable columns {names} ({error})", "make it again") from None


def purity(
    picks: pd.DataFrame,
    kinds: np.ndarray,
    *,
    looked_at: Callable[[np.ndarray], np.ndarray] | None = None,
    bins: int = 40,
) -> pd.DataFrame:
    """Share of each kind among the picks and in the super-batches, over time.

    The super-batch's share is estimated from both parts of the picks table, each weighted by what it stands for:
    all of the b chosen, and a sample of the B - b passed over.

    Args:
        picks: step, row, score, chosen. kinds: kind by row.
        looked_at: how many rows some steps chose from, B; without it, or where nothing passed over was recorded, the whole
            pool's shares stand in.
        bins: spans of steps, at most.

    Returns:
        One row a (span, kind): `step` (the span's middle), `kind`, shares `picked` and `super_batch`, `n` picks.
    """
    if picks.empty:
        return pd.DataFrame(columns=["step", "kind", "picked", "super_batch", "n"])
    assert picks["row"].max() < len(kinds), "picks of another manifest"
    span, middles = spans(picks["step"].to_numpy(), bins)
    frame = pd.DataFrame(
        {"span": span, "kind": kinds[picks["row"].to_numpy()], "chosen": picks["chosen"].to_numpy(bool)}
    )
    names = _in_order(kinds)
    chosen = _shares(frame[frame["chosen"]], names, len(middles))
    passed = _shares(frame[~frame["chosen"]], names, len(middles))
    whole = _super_batch(
        chosen,
        passed,
        _chosen_share(picks, span, len(middles), looked_at),
        pd.Series(kinds).value_counts(normalize=True).reindex(names).fillna(0.0),
    )
    counts = np.bincount(span[frame["chosen"].to_numpy()], minlength=len(middles))
    return pd.DataFrame(
        {
            "step": np.repeat(middles, len(names)),
            "kind": np.tile(names, len(middles)),
            "picked": chosen.to_numpy().ravel(),
            "super_batch": whole.to_numpy().ravel(),
            "n": np.repeat(counts, len(names)),
        }
    )


def _in_order(kinds: np.ndarray) -> list[str]:
    present = set(kinds)
    return [k for k in KINDS if k in present] + sorted(present - set(KINDS))


def _shares(frame: pd.DataFrame, names: list[str], bins: int) -> pd.DataFrame:
    """Share of each kind by span; a span without entries is NaN."""
    counts = (
        frame.groupby(["span", "kind"])
        .size()
        .unstack(fill_value=0)
        .reindex(index=range(bins), columns=names)
        .fillna(0.0)
    )
    return counts.div(counts.sum(axis=1).replace(0.0, np.nan), axis=0)


def _chosen_share(
    picks: pd.DataFrame, span: np.ndarray, bins: int, looked_at: Callable[[np.ndarray], np.ndarray] | None
) -> np.ndarray:
    """b/B by span of steps; 1 where nothing is known of those passed over."""
    if looked_at is None:
        return np.ones(bins)
    steps, where = np.unique(picks["step"].to_numpy(), return_index=True)
    drawn = np.bincount(span[where], weights=looked_at(steps), minlength=bins)
    chosen = np.bincount(span, weights=picks["chosen"].to_numpy(float), minlength=bins)
    return chosen / np.maximum(drawn, 1)


def _super_batch(chosen: pd.DataFrame, passed: pd.DataFrame, share: np.ndarray, pool: pd.Series) -> pd.DataFrame:
    if passed.isna().all(axis=None) or (share >= 1).all():
        flat = np.tile(pool.to_numpy(), (len(chosen), 1))
        return pd.DataFrame(flat, index=chosen.index, columns=chosen.columns)
    taken = share[:, None] * chosen
    return taken.where(passed.isna() & (share[:, None] >= 1), taken + (1 - share[:, None]) * passed)


def totals(picks: pd.DataFrame, kinds: np.ndarray) -> pd.DataFrame:
    """Share of each kind in the pool and among all picks, and how often it was picked compared with chance."""
    names = _in_order(kinds)
    pool = pd.Series(kinds).value_counts(normalize=True).reindex(names).fillna(0.0)
    rows = picks.loc[picks["chosen"].astype(bool), "row"].to_numpy()
    picked = pd.Series(kinds[rows]).value_counts(normalize=True).reindex(names).fillna(0.0)
    return pd.DataFrame(
        {"kind": names, "pool": pool.to_numpy(), "picked": picked.to_numpy(), "lift": (picked / pool).to_numpy()}
    )


def repeats(picks: pd.DataFrame, bins: int = 40) -> pd.DataFrame:
    """Share of picks that had been picked before, by span of steps: how soon a run comes back to the same rows."""
    chosen = picks[picks["chosen"].astype(bool)].sort_values("step", kind="stable")
    if chosen.empty:
        return pd.DataFrame(columns=["step", "again"])
    span, middles = spans(chosen["step"].to_numpy(), bins)
    again = chosen.duplicated("row").to_numpy()
    counts = np.bincount(span, minlength=len(middles))
    return pd.DataFrame(
        {"step": middles, "again": np.bincount(span, weights=again, minlength=len(middles)) / np.maximum(counts, 1)}
    )
