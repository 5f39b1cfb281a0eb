"""Ingested evaluation sets on disk, several in one folder.

folder/sets.json                        {<set>: {"root": CLIP_benchmark's layout, "splits": {<split>: <folder>}}}
folder/<set>/<split>/manifest.parquet   what ingest wrote
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import write_json
from superbatch.data.ingest import ingest
from superbatch.errors import UserError
from superbatch.evaluation.prompts import classnames_file
from superbatch.evaluation.sets import (
    CLASSIFICATION,
    TYPE_FILE,
    EvaluationSet,
    load_evaluation_set,
    split_shards,
)
from superbatch.files import read_json, shown
from superbatch.options import JobsSettings

SETS_FILE = "sets.json"
SPLITS = {"validation": "validation", "test": "test"}


def ingest_evaluation_sets(
    sets: Mapping[str, tuple[str | Path, Mapping[str, str]]],
    out: Path,
    *,
    jobs: int | JobsSettings = 1,
    min_rows: int = 1,
    **reading: Any,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Ingest evaluation sets into one folder and check that each can be evaluated.

    Args:
        sets: {name: (root in CLIP_benchmark's layout, {split: folder below root})}; `SPLITS` is the usual second part.
        out: the folder.
        jobs: processes that read shards, or by which back end they are read.
        min_rows: fewer samples in a split are an error.
        reading: further settings of `data.ingest.ingest`: max_pixels, scans.

    Returns:
        Ingest's summary by set and split.

    Raises:
        UserError: what `split_shards`, `ingest` and `load_evaluation_set` refuse.
    """
    summaries: dict[str, dict[str, dict[str, Any]]] = {}
    for name, (root, splits) in sets.items():
        for split, folder in splits.items():
            place = out / name / split
            summary = ingest_split(root, folder, place, jobs=jobs, min_rows=min_rows, **reading)
            load_evaluation_set(place, root, name=name, split=split, folder=folder)
            summaries.setdefault(name, {})[split] = summary
    write_json(out / SETS_FILE, {name: {"root": str(root), "splits": splits} for name, (root, splits) in sets.items()})
    return summaries


def ingest_split(
    root: str | Path, folder: str, out: Path, *, jobs: int | JobsSettings = 1, min_rows: int = 1, **reading: Any
) -> dict[str, Any]:
    """Ingest one split as its kind of set needs it; returns ingest's summary.

    A retrieval set has a caption a line and rejects samples without any; a classification set's captions do not matter.
    """
    needed = not _is_classification(Path(root))
    shards = split_shards(root, folder)
    return ingest(shards, out, jobs=jobs, min_rows=min_rows, captions_per_line=True, require_caption=needed, **reading)


def load_evaluation_sets(folder: str | Path, split: str | None = None) -> list[EvaluationSet]:
    """Open the evaluation sets of a folder that ingestion wrote.

    Args:
        folder: with `sets.json`.
        split: only this split; all by default.

    Raises:
        UserError: no `sets.json`, none with this split, or what `load_evaluation_set` refuses.
    """
    found = []
    for name, entry in read_json(Path(folder) / SETS_FILE).items():
        splits = entry["splits"] if isinstance(entry["splits"], dict) else {s: s for s in entry["splits"]}
        for role, place in splits.items():
            if split in (None, role):
                directory = Path(folder) / name / role
                found.append(load_evaluation_set(directory, entry["root"], name=name, split=role, folder=place))
    if not found:
        where = shown((Path(folder) / SETS_FILE).absolute())
        what = f"names no evaluation set{f' with a split {split!r}' if split else ''}"
        raise UserError(str(where), what, "add one to the ingest settings and ingest again")
    return found


def _is_classification(root: Path) -> bool:
    """Decide by the files beside the splits; the samples have not been read yet."""
    path = root / TYPE_FILE
    if path.is_file():
        return path.read_text(encoding="utf-8").strip().lower() == CLASSIFICATION
    return classnames_file(root) is not None
