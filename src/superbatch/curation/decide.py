"""Decisions by scores: rules in order; a row's reason is the first rule that it fails.

Scores and decisions are one Parquet each, a row a row of the pool in its order. A decision is a column of reasons; null stays.

Legend: N rows of the pool, n of them that no rule has left out yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.curation.groups import kept_count, rank_within
from superbatch.curation.scores import MANIFEST_KEY
from superbatch.curation.uids import listed, read_uids
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError, did_you_mean
from superbatch.options import RuleSettings

DECISIONS, SUMMARY = "decisions.parquet", "decisions.json"
SETTING = "pool.curated_by"
RUN = "run `kedro run --pipelines=curate`"


def decide(scores: pa.Table, rules: Sequence[RuleSettings], manifest: Manifest, where: str) -> np.ndarray:
    """Return the number of the first rule that each row fails, int16 (N,); -1 for rows that stay.

    A rule looks at the rows that those before it have left: a share is one of these, and the best of a group is the best that is left.

    Args:
        scores: of the rows. rules: in order. manifest: the pool, for lists of uids. where: the decision's key, for messages.

    Raises:
        UserError: a column that is not there or not of the rule's kind; a list that is none; no row is left.
    """
    failed_N = np.full(len(scores), -1, np.int16)
    for number, rule in enumerate(rules):
        rows = np.flatnonzero(failed_N < 0)
        failed_N[rows[~_stays(scores, rule, rows, manifest, f"{where}: {rule.name}")]] = number
    if not (failed_N < 0).any():
        raise UserError(where, "leaves no row of the pool", "look at the scores, and ask for less (docs/curation.md)")
    return failed_N


def _stays(scores: pa.Table, rule: RuleSettings, rows: np.ndarray, manifest: Manifest, where: str) -> np.ndarray:
    """Whether a rule keeps each of some rows, bool (n,)."""
    if rule.uids_in is not None:
        return listed(manifest, read_uids(Path(rule.uids_in)))[rows]
    if rule.uids_out is not None:
        return ~listed(manifest, read_uids(Path(rule.uids_out)))[rows]
    assert rule.column is not None, "RuleSettings refuses such rules"
    values_n = column_of(scores, rule.column, where, words=rule.among is not None)[rows]
    if rule.among is not None:
        return np.isin(values_n, rule.among)
    if rule.best_share is not None:
        return rank_within(values_n, np.zeros(len(rows), np.int8)) < kept_count(len(rows), rule.best_share)
    if rule.one_of_each or rule.cap is not None:
        best_n = column_of(scores, rule.by, where)[rows]
        return rank_within(best_n, values_n) < (rule.cap or 1)
    low, high = (
        (-np.inf if rule.at_least is None else rule.at_least),
        (np.inf if rule.at_most is None else rule.at_most),
    )
    found: np.ndarray = (values_n >= low) & (values_n <= high)
    return found


def column_of(scores: pa.Table, name: str, where: str, words: bool = False) -> np.ndarray:
    """Return a column of scores, (N,).

    Raises:
        UserError: it is not there, or holds numbers where words are asked for, or the reverse.
    """
    if name not in scores.column_names:
        raise UserError(where, f"no score is called {name!r}", did_you_mean(name, scores.column_names))
    column = scores[name]
    if pa.types.is_string(column.type) != words:
        what = f"{name} holds {'numbers' if words else 'words'}"
        raise UserError(where, what, f"use {'at_least, at_most or best_share' if words else 'among'}")
    found: np.ndarray = column.to_numpy()
    return found


def write_decisions(
    scores: pa.Table, decisions: Mapping[str, Sequence[RuleSettings]], manifest: Manifest, out: Path
) -> dict[str, Any]:
    """Make decisions, and write each row's reasons and a summary into a directory; returns the summary.

    Raises:
        UserError: as `decide`; scores of another pool.
    """
    require_pool(scores.schema, manifest, "curate.decide")
    columns: dict[str, Any] = {"row": np.arange(len(scores))}
    summary: dict[str, Any] = {}
    for name, rules in decisions.items():
        failed_N = decide(scores, rules, manifest, f"curate.decide.{name}")
        names = pa.array([rule.name for rule in rules], pa.string())
        columns[name] = names.take(pa.array(failed_N, mask=failed_N < 0))
        left_out = {rule.name: int((failed_N == number).sum()) for number, rule in enumerate(rules)}
        kept = np.flatnonzero(failed_N < 0)
        summary[name] = {"rows": len(scores), "kept": len(kept), "left_out": left_out, "digest": digest(kept)}
    table = pa.table(columns).replace_schema_metadata({MANIFEST_KEY: manifest.fingerprint})
    pq.write_table(table, out / DECISIONS, compression="zstd")
    return summary


def read_reasons(directory: Path | None, name: str, manifest: Manifest, setting: str = SETTING) -> pa.ChunkedArray:
    """Read a decision: each row's reason, null where it stays, N strings.

    Args:
        directory: what `write_decisions` filled; None where nobody has it. name: of the decision. manifest: the pool. setting: that names it.

    Raises:
        UserError: the stage has not run, knows no such decision, or was run on another pool.
    """
    if directory is None or not (directory / DECISIONS).is_file():
        raise UserError(setting, f"{name}: the stage curate has not run", f"{RUN} first")
    path = directory / DECISIONS
    schema = pq.read_schema(path)
    require_pool(schema, manifest, setting)
    known = [column for column in schema.names if column != "row"]
    if name not in known:
        remedy = did_you_mean(name, known) if known else "the stage has made none"
        raise UserError(setting, f"no decision is called {name!r}", f"{remedy}; or add it to curate.decide and {RUN}")
    return pq.read_table(path, columns=[name])[name]


def require_pool(schema: pa.Schema, manifest: Manifest, where: str) -> None:
    """Refuse scores or decisions of another pool.

    Raises:
        UserError: just that.
    """
    found = (schema.metadata or {}).get(MANIFEST_KEY, b"none").decode()
    if found != manifest.fingerprint:
        what = f"the stage curate was run on another pool ({found}, not {manifest.fingerprint})"
        raise UserError(where, what, f"{RUN} again")


def digest(rows: np.ndarray) -> str:
    """Name rows by 16 hexadecimal digits."""
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:16]
