"""A pool that was packed anew with other JSON: its manifest keeps the fingerprint, so what is made of the JSON must see the change itself."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.artifacts.stamps import write_stamp
from superbatch.curation.decide import DECISIONS
from superbatch.curation.scores import MANIFEST_KEY, SCORES, SCORES_SCHEMA
from superbatch.curation.uids import UID
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.pipelines.audit.nodes import export_subset
from superbatch.pipelines.curate.nodes import decide_rows

ROWS = 3


def pack(folder: Path, records: list[dict[str, Any]]) -> Path:
    """Ingest a pool whose images and captions are always the same; stamped by its shard's bytes, as the stage does."""
    parts = [
        {
            "png": encode_image(np.full((16, 16, 3), 9 * row, np.uint8), "png"),
            "txt": f"caption {row}".encode(),
            "json": json.dumps(record).encode(),
        }
        for row, record in enumerate(records)
    ]
    write_shard(folder / "0.tar", [Sample(f"s{row}", own) for row, own in enumerate(parts)])
    ingest([folder / "0.tar"], folder / "set")
    write_stamp(folder / "set", file_sha256(folder / "0.tar")[:16])
    return folder / "set"


def decided(folder: Path, uids: list[int], rule: dict[str, Any]) -> tuple[list[str | None], str]:
    """The reasons of a decision by one rule, and the fingerprint that it was made under."""
    pool, scores = pack(folder, [{"uid": f"{uid:032x}"} for uid in uids]), folder / "scores"
    scores.mkdir(exist_ok=True)
    schema = SCORES_SCHEMA.with_metadata({MANIFEST_KEY: read_manifest(pool).fingerprint})
    columns = {one.name: pa.nulls(ROWS, one.type) for one in schema}
    columns["characters"] = pa.array(range(ROWS), schema.field("characters").type)
    pq.write_table(pa.table(columns, schema), scores / SCORES)
    made = decide_rows(pool, scores, {"decide": {"mine": [rule]}}, {"stages": str(folder / "stages")})
    return pq.read_table(made.path / DECISIONS)["mine"].to_pylist(), made.fingerprint


def test_a_decision_by_uids_is_made_again(tmp_path: Path) -> None:
    np.save(tmp_path / "list.npy", np.array([(0, 1)], UID))
    rule = {"name": "not_listed", "uids_in": str(tmp_path / "list.npy")}
    assert decided(tmp_path, [1, 2, 3], rule)[0] == [None, "not_listed", "not_listed"]
    assert decided(tmp_path, [3, 2, 1], rule)[0] == ["not_listed", "not_listed", None]


def test_a_decision_without_uids_stays(tmp_path: Path) -> None:
    rule = {"name": "short", "column": "characters", "at_least": 2}
    assert decided(tmp_path, [1, 2, 3], rule) == decided(tmp_path, [3, 2, 1], rule)


def test_an_audit_s_export_is_made_again(tmp_path: Path) -> None:
    rows = pd.DataFrame({"row": np.arange(ROWS), "verdict": "worth_it"})
    for licence in ("CC-BY-4.0", "none"):
        pool = pack(tmp_path, [{"licence": licence}] * ROWS)
        made = export_subset(pool, rows, {}, {"stages": str(tmp_path / "stages")})
        with tarfile.open(made.path / "shards" / "00000.tar") as shard:
            assert json.load(shard.extractfile("s0.json")) == {"licence": licence}  # type: ignore[arg-type]
