"""A run's ledger, picks and evaluations: a Parquet part for each checkpoint, and a JSON-lines tail for later steps.

A part is written just before its checkpoint is renamed into place and counts only up to a checkpoint that exists; so after a kill no
step is there twice or missing. The tail is for eyes (`tail -F`); nothing reads it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superbatch.artifacts.atomic import atomic_path, told_if_full
from superbatch.artifacts.fingerprints import file_sha256

SCHEMAS: dict[str, pa.Schema] = {
    "ledger": pa.schema(
        [("step", pa.int64())]
        + [(name, pa.float64()) for name in ("loss", "learning_rate", "gradient_norm", "scale", "bias")]
        + [(name, pa.int64()) for name in ("samples_scored", "samples_trained")]
        + [(name, pa.float64()) for name in ("flops_as_executed", "flops_paper")]
        + [(f"seconds_{part}", pa.float64()) for part in ("data", "score", "select", "train")]
        + [(name, pa.float64()) for name in ("score_super_batch", "score_pick")]
        + [("skipped", pa.bool_())]
        + [(name, pa.float64()) for name in ("seconds_checkpoint", "memory_mb", "device_memory_mb")]
        + [(name, pa.float64()) for name in ("flops_scoring", "flops_proxy", "loss_proxy", "seconds_proxy")]
    ),
    "picks": pa.schema([("step", pa.int64()), ("row", pa.int64()), ("score", pa.float64()), ("chosen", pa.bool_())]),
    "evaluations": pa.schema(
        [("step", pa.int64()), ("name", pa.string()), ("value", pa.float64()), ("split", pa.string())]
    ),
}
# Columns of every ledger, which are of a model that most runs don't have.
ABSENT: dict[str, float | None] = {"loss_proxy": None, "flops_proxy": 0.0, "seconds_proxy": 0.0}


def schemas(facts: Iterable[str] = (), beside: Iterable[str] = ()) -> dict[str, pa.Schema]:
    """Return the tables' columns for a task.

    Args:
        facts: what it tells of its learner.
        beside: models that it trains beside the learner.
    """
    wanted = [*facts, *(f"{what}_{model}" for model in beside for what in ("flops", "loss", "seconds"))]
    ledger = SCHEMAS["ledger"]
    for name in wanted:
        if name not in ledger.names:
            ledger = ledger.append(pa.field(name, pa.float64()))
    return {**SCHEMAS, "ledger": ledger}


class Records:
    """Collects rows in memory; `flush` writes them as parts, `finish` joins the parts.

    Args:
        directory: of the parts and the tail.
        checkpoint_step: parts after it are forgotten.
        parts: SHA-256 of the parts up to there, by name.
        columns: of each table.
    """

    def __init__(
        self,
        directory: Path,
        checkpoint_step: int,
        parts: dict[str, str] | None = None,
        columns: dict[str, pa.Schema] = SCHEMAS,
    ) -> None:
        self.directory, self.schemas = directory, columns
        self.parts = dict(parts or {})
        self.tail = directory / "tail.jsonl"
        directory.mkdir(parents=True, exist_ok=True)
        self._forget_after(checkpoint_step)
        self._tail_is_flushed = False
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self.schemas}
        self._tables: dict[str, list[pa.Table]] = {name: [] for name in self.schemas}

    def _forget_after(self, step: int) -> None:
        """Drop parts and tail that no checkpoint vouches for: their steps will be taken again."""
        for part in self.directory.glob("*-*.parquet"):
            if int(part.stem.rsplit("-", 1)[1]) > step:
                part.unlink()
        for left in self.directory.glob(".*.tmp"):  # of a process that was killed while it wrote
            left.unlink()
        self.tail.unlink(missing_ok=True)

    def add(self, name: str, row: dict[str, Any]) -> None:
        """Add one row, a step's or one value of an evaluation; the tail gets it too."""
        self._rows[name].append(row)
        # Flushed rows leave the tail with the next row, not at once: so `tail -F` still shows the last steps and their evaluation.
        with told_if_full(self.tail), open(self.tail, "w" if self._tail_is_flushed else "a") as stream:
            stream.write(json.dumps(row) + "\n")
        self._tail_is_flushed = False

    def add_table(self, name: str, columns: dict[str, Any]) -> None:
        """Add many rows at once, as columns."""
        self._tables[name].append(pa.table(columns, schema=self.schemas[name]))

    def flush(self, step: int) -> None:
        """Write what was collected since the last flush as the parts of `step`."""
        for name, schema in self.schemas.items():
            tables = self._tables[name] + [pa.Table.from_pylist(self._rows[name], schema=schema)]
            part = self.directory / f"{name}-{step:09d}.parquet"
            with atomic_path(part) as temporary:
                pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")
            self.parts[part.name] = file_sha256(part)
            self._rows[name], self._tables[name] = [], []
        self._tail_is_flushed = True

    def read(self, name: str) -> pa.Table:
        """Return all flushed rows of a table, in order of steps."""
        parts = sorted(self.directory.glob(f"{name}-*.parquet"))
        tables = [self.schemas[name].empty_table(), *(pq.read_table(part) for part in parts)]
        table = pa.concat_tables(tables, promote_options="default")  # parts of an earlier version may lack columns
        if name == "ledger":
            column = table.schema.get_field_index("skipped")
            table = table.set_column(column, "skipped", pc.fill_null(table["skipped"], False))
        return table

    def so_far(self, name: str) -> pa.Table:
        """Return all rows of a table that gets them one by one, those too that wait for the next flush."""
        waiting = pa.Table.from_pylist(self._rows[name], schema=self.schemas[name])
        return pa.concat_tables([self.read(name), waiting], promote_options="default")

    def finish(self, out: Path) -> None:
        """Write each table whole into `out`."""
        out.mkdir(parents=True, exist_ok=True)
        for name in self.schemas:
            pq.write_table(self.read(name), out / f"{name}.parquet", compression="zstd")
        bad = sorted(self.directory.glob("bad-*.parquet"))
        if bad:
            pq.write_table(pa.concat_tables(map(pq.read_table, bad)), out / "bad_rows.parquet", compression="zstd")
        self.tail.unlink(missing_ok=True)


class NoRecords(Records):
    """What ranks other than the first have: nothing is kept, nothing touched."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.tail, self.schemas = directory, directory / "tail.jsonl", SCHEMAS
        self.parts: dict[str, str] = {}

    def add(self, name: str, row: dict[str, Any]) -> None:
        """Keep nothing."""

    def add_table(self, name: str, columns: dict[str, Any]) -> None:
        """Keep nothing."""

    def flush(self, step: int) -> None:
        """Write nothing."""
