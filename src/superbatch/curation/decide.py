"""Decisions by scores: rules in order; a row's reason is the first rule that it fails.

Scores and decisions are one Parquet each, a row a row of the pool in its order. A decision is a column of reasons; null stays.

Legend: N rows of the pool, n of them that no rule has left out yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superbatch.artifacts.scratch import pieces, scratch
from superbatch.curation.best import Again, best_of_groups, best_of_values
from superbatch.curation.groups import kept_count
from superbatch.curation.scores import (
    MANIFEST_KEY,
    Scores,
    columns,
    numbers,
    plain,
    require_column,
    rows_of,
    schema_of,
)
from superbatch.curation.uids import listed, read_uids
from superbatch.data.manifest import Manifest
from superbatch.data.row_set import RowSet
from superbatch.errors import UserError, did_you_mean
from superbatch.options import RuleSettings

FEW = 1 << 16  # values of a column; with more, borders are not found by digits
DECISIONS, SUMMARY = "decisions.parquet", "decisions.json"
SETTING = "pool.curated_by"
RUN = "run `kedro run --pipelines=curate`"


def decide(scores: Scores, rules: Sequence[RuleSettings], manifest: Manifest, where: str) -> np.ndarray:
    """Return the number of the first rule that each row fails, int16 (N,); -1 for rows that stay.

    A rule looks at the rows that those before it have left: a share is one of these, and the best of a group is the best that is left.
    Memory: some pieces of the columns in question; what is returned lies on disk where rows are many.

    Args:
        scores: of the rows. rules: in order. manifest: the pool, for lists of uids. where: the decision's key, for messages.

    Raises:
        UserError: a column that is not there or not of the rule's kind; a list that is none; no row is left.
    """
    failed_N = scratch(rows_of(scores), np.int16, fill=-1)
    for number, rule in enumerate(rules):
        start = 0
        for stays_n in _stays(scores, rule, failed_N, manifest, f"{where}: {rule.name}"):
            piece_n = failed_N[start : start + len(stays_n)]
            piece_n[(piece_n < 0) & ~stays_n] = number
            start += len(stays_n)
    if not any((failed_N[piece] < 0).any() for piece in pieces(len(failed_N))):
        raise UserError(where, "leaves no row of the pool", "look at the scores, and ask for less (docs/curation.md)")
    return failed_N


def _stays(
    scores: Scores, rule: RuleSettings, failed_N: np.ndarray, manifest: Manifest, where: str
) -> Iterator[np.ndarray]:
    """Tell which rows a rule keeps, bool, a piece at a time; what it says of rows that failed before does not count.

    Of `failed_N` the rows of a piece, and those behind it, are read before the piece is given, and not after.
    """
    if rule.uids_in is not None:
        return listed(manifest, read_uids(Path(rule.uids_in)))
    if rule.uids_out is not None:
        return (~found_n for found_n in listed(manifest, read_uids(Path(rule.uids_out))))
    assert rule.column is not None, "RuleSettings refuses such rules"
    require_column(scores, rule.column, where, words=rule.among is not None)
    if rule.among is not None:
        names = pa.array(rule.among, pa.string())
        return (plain(pc.is_in(words, value_set=names)) for (words,) in columns(scores, [rule.column]))
    if rule.best_share is not None:
        left = sum(int((failed_N[piece] < 0).sum()) for piece in pieces(len(failed_N)))
        return best_of_groups(_left(scores, rule.column, failed_N), np.array([kept_count(left, rule.best_share)]))
    if rule.one_of_each or rule.cap is not None:
        require_column(scores, rule.by, where)
        return _best_of_each(scores, rule, failed_N)
    low, high = (
        (-np.inf if rule.at_least is None else rule.at_least),
        (np.inf if rule.at_most is None else rule.at_most),
    )
    return ((values_n >= low) & (values_n <= high) for (values_n,) in numbers(scores, [rule.column]))


def _best_of_each(scores: Scores, rule: RuleSettings, failed_N: np.ndarray) -> Iterator[np.ndarray]:
    """Tell which rows are among the best of those with their value: by digits where a cap is over few values, such as clusters."""
    assert rule.column is not None
    groups = _few(scores, rule.column) if rule.cap else None
    if groups is not None:
        return best_of_groups(_left(scores, rule.by, failed_N, rule.column), np.full(groups, rule.cap))
    best_N = best_of_values(_candidates(scores, rule, failed_N), len(failed_N), rule.cap or 1)
    return (best_N[piece] for piece in pieces(len(best_N)))


def _few(scores: Scores, name: str) -> int | None:
    """Return how many values a column has at most, if these are whole numbers from 0 on and few; else None."""
    most = 0
    for (values_n,) in numbers(scores, [name]):
        if not len(values_n):
            continue
        if values_n.dtype.kind not in "iu" or values_n.min() < 0 or values_n.max() >= FEW:
            return None
        most = max(most, int(values_n.max()))
    return most + 1


def _left(scores: Scores, name: str, failed_N: np.ndarray, groups: str | None = None) -> Again:
    """Read a column, with the rows that are left in the groups of another one, or in one group."""

    def again() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        start = 0
        for values_n, *group_n in numbers(scores, [name, groups] if groups else [name]):
            own_n = group_n[0].astype(np.int32) if groups else 0
            yield values_n, np.where(failed_N[start : start + len(values_n)] < 0, own_n, -1)
            start += len(values_n)

    return again


def _candidates(
    scores: Scores, rule: RuleSettings, failed_N: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Read the rows that are left, each with its value and the score that is best within it."""
    assert rule.column is not None
    start = 0
    for values_n, best_n in numbers(scores, [rule.column, rule.by]):
        left = np.flatnonzero(failed_N[start : start + len(values_n)] < 0)
        yield start + left, values_n[left], best_n[left]
        start += len(values_n)


def write_decisions(
    scores: Scores, decisions: Mapping[str, Sequence[RuleSettings]], manifest: Manifest, out: Path
) -> dict[str, Any]:
    """Make decisions, and write each row's reasons and a summary into a directory; returns the summary.

    Args:
        scores: in memory or on disk, where they stay.

    Raises:
        UserError: as `decide`; scores of another pool.
    """
    require_pool(schema_of(scores), manifest, "curate.decide")
    failed = {name: decide(scores, rules, manifest, f"curate.decide.{name}") for name, rules in decisions.items()}
    schema = pa.schema([("row", pa.int64()), *((name, pa.string()) for name in failed)])
    schema = schema.with_metadata({MANIFEST_KEY: manifest.fingerprint})
    with pq.ParquetWriter(out / DECISIONS, schema, compression="zstd") as writer:
        for piece in pieces(rows_of(scores)) if rows_of(scores) else [slice(0, 0)]:
            reasons = [_reasons(decisions[name], failed_N[piece]) for name, failed_N in failed.items()]
            writer.write_table(pa.table([pa.array(np.arange(piece.start, piece.stop)), *reasons], schema))
    return {name: _counted(decisions[name], failed_N) for name, failed_N in failed.items()}


def _reasons(rules: Sequence[RuleSettings], failed_n: np.ndarray) -> pa.Array:
    names = pa.array([rule.name for rule in rules], pa.string())
    return names.take(pa.array(failed_n, mask=failed_n < 0))


def _counted(rules: Sequence[RuleSettings], failed_N: np.ndarray) -> dict[str, Any]:
    """What a decision made of the rows, for people."""
    kept = RowSet(failed_N[piece] < 0 for piece in pieces(len(failed_N)))
    counts = np.zeros(len(rules) + 1, np.int64)
    for piece in pieces(len(failed_N)):
        counts += np.bincount(failed_N[piece] + 1, minlength=len(counts))
    left_out = {rule.name: int(count) for rule, count in zip(rules, counts[1:], strict=True)}
    return {"rows": len(failed_N), "kept": len(kept), "left_out": left_out, "digest": digest(kept)}


def staying(directory: Path | None, name: str, manifest: Manifest) -> Iterator[np.ndarray]:
    """Tell which rows a decision keeps, bool, some rows at a time; else as `read_reasons`."""
    path = _decision(directory, name, manifest, SETTING)
    return (plain(pc.is_null(column)) for (column,) in columns(pq.ParquetFile(path), [name]))


def read_reasons(directory: Path | None, name: str, manifest: Manifest, setting: str = SETTING) -> pa.ChunkedArray:
    """Read a decision: each row's reason, null where it stays, N strings.

    Args:
        directory: what `write_decisions` filled; None where nobody has it. name: of the decision. manifest: the pool. setting: that names it.

    Raises:
        UserError: the stage has not run, knows no such decision, or was run on another pool.
    """
    return pq.read_table(_decision(directory, name, manifest, setting), columns=[name])[name]


def _decision(directory: Path | None, name: str, manifest: Manifest, setting: str) -> Path:
    """Return the file that a decision stands in."""
    if directory is None or not (directory / DECISIONS).is_file():
        raise UserError(setting, f"{name}: the stage curate has not run", f"{RUN} first")
    path = directory / DECISIONS
    schema = pq.read_schema(path)
    require_pool(schema, manifest, setting)
    known = [column for column in schema.names if column != "row"]
    if name not in known:
        remedy = did_you_mean(name, known) if known else "the stage has made none"
        raise UserError(setting, f"no decision is called {name!r}", f"{remedy}; or add it to curate.decide and {RUN}")
    return path


def require_pool(schema: pa.Schema, manifest: Manifest, where: str) -> None:
    """Refuse scores or decisions of another pool.

    Raises:
        UserError: just that.
    """
    found = (schema.metadata or {}).get(MANIFEST_KEY, b"none").decode()
    if found != manifest.fingerprint:
        what = f"the stage curate was run on another pool ({found}, not {manifest.fingerprint})"
        raise UserError(where, what, f"{RUN} again")


def digest(rows: np.ndarray | RowSet) -> str:
    """Name rows by 16 hexadecimal digits."""
    found = hashlib.sha256()
    for piece in rows.pieces() if isinstance(rows, RowSet) else [rows]:
        found.update(piece.astype("<i8").tobytes())
    return found.hexdigest()[:16]
