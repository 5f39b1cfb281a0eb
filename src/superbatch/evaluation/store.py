"""Ingested evaluation sets on disk, several in one folder.

folder/sets.json                        {<set>: {"root": CLIP_benchmark's layout, a folder or an address, "splits": {<split>: <folder>}}}
folder/<set>/<split>/manifest.parquet   what ingest wrote
folder/<set>/*.txt, *.json              class names, templates and kind of a set whose root is an address, as they were at ingestion
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.ingest import ingest
from superbatch.data.manifest import REJECTS_FILE
from superbatch.errors import UserError
from superbatch.evaluation.prompts import CLASSNAMES_FILE, ONE_NAME_A_LINE, classnames_file
from superbatch.evaluation.sets import (
    CLASSIFICATION,
    TYPE_FILE,
    EvaluationSet,
    load_evaluation_set,
    split_shards,
)
from superbatch.files import read_json, shown
from superbatch.options import JobsSettings
from superbatch.stores.address import Address, Place, is_address

SETS_FILE = "sets.json"
TEXTS = (".txt", ".json")
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
        sets: {name: (folder or address of CLIP_benchmark's layout, {split: folder below root})}; `SPLITS` is the usual second part.
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
        texts = _with_texts(root, out / name)
        for split, folder in splits.items():
            place = out / name / split
            needed = not _is_classification(texts)
            try:
                summary = ingest_split(root, folder, place, needed, jobs=jobs, min_rows=min_rows, **reading)
            except UserError as error:
                _require_classnames(root, texts, place, error)
                raise
            load_evaluation_set(place, texts, name=name, split=split, folder=folder)
            summaries.setdefault(name, {})[split] = summary
    write_json(out / SETS_FILE, {name: {"root": str(root), "splits": splits} for name, (root, splits) in sets.items()})
    return summaries


def ingest_split(
    root: str | Path,
    folder: str,
    out: Path,
    needed: bool,
    *,
    jobs: int | JobsSettings = 1,
    min_rows: int = 1,
    **reading: Any,
) -> dict[str, Any]:
    """Ingest one split as its kind of set needs it; returns ingest's summary.

    Args:
        root, folder: as of `split_shards`. out: where to.
        needed: whether a sample without a caption is rejected: a retrieval set's; a classification set's captions do not matter.
        jobs, min_rows, reading: as of `ingest_evaluation_sets`.
    """
    shards = split_shards(root, folder)
    return ingest(shards, out, jobs=jobs, min_rows=min_rows, captions_per_line=True, require_caption=needed, **reading)


def _require_classnames(root: str | Path, texts: Path, place: Path, error: UserError) -> None:
    """Refuse a set of class numbers that was taken for one of captions because its class names are missing.

    Args:
        root, texts: of the set, and the folder of its text files. place: of the ingested split.
        error: of its ingestion; only that of too few usable samples counts.
    """
    if error.where != str(place / REJECTS_FILE) or (texts / TYPE_FILE).is_file():
        return
    rejects = pq.read_table(place / REJECTS_FILE, columns=["code", "names"]).to_pylist()
    numbered = (any(name.lower().endswith(".cls") for name in one["names"]) for one in rejects)
    if rejects and all(one["code"] == "caption_missing" for one in rejects) and all(numbered):
        raise UserError(str(root), f"has class numbers but no {CLASSNAMES_FILE}", ONE_NAME_A_LINE) from None


def texts_beside(root: str | Path) -> list[Place]:
    """List the text and JSON files beside a set's splits: class names and templates decide a result too.

    Raises:
        UserError: a store that can't be read.
    """
    if not is_address(str(root)):
        return [file for ending in TEXTS for file in sorted(Path(root).glob(f"*{ending}"))]
    from superbatch.stores.copies import objects_in

    return [known.address for known in objects_in(str(root)) if known.address.name.endswith(TEXTS)]


def _with_texts(root: str | Path, out: Path) -> Path:
    """Return the folder of a set's text files: its root, or where they are copied to from an address."""
    if not is_address(str(root)):
        return Path(root)
    from superbatch.stores.copies import bring_files
    from superbatch.stores.objects import look_at_all

    out.mkdir(parents=True, exist_ok=True)
    bring_files(look_at_all([place for place in texts_beside(root) if isinstance(place, Address)]), out)
    return out


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
        root = Path(folder) / name if is_address(entry["root"]) else entry["root"]
        splits = entry["splits"] if isinstance(entry["splits"], dict) else {s: s for s in entry["splits"]}
        for role, place in splits.items():
            if split in (None, role):
                directory = Path(folder) / name / role
                found.append(load_evaluation_set(directory, root, name=name, split=role, folder=place))
    if not found:
        where = shown((Path(folder) / SETS_FILE).absolute())
        what = f"names no evaluation set{f' with a split {split!r}' if split else ''}"
        raise UserError(str(where), what, "add one to the ingest settings and ingest again")
    return found


def fingerprint_of_sets(folder: str | Path, split: str) -> str:
    """Return what names the content of all evaluation sets with a split, and their texts.

    Raises:
        UserError: what `load_evaluation_sets` refuses.
    """
    return fingerprint([[one.name, one.fingerprint] for one in load_evaluation_sets(folder, split)])


def _is_classification(root: Path) -> bool:
    """Decide by the files beside the splits; the samples have not been read yet."""
    path = root / TYPE_FILE
    if path.is_file():
        return path.read_text(encoding="utf-8-sig").strip().lower() == CLASSIFICATION
    return classnames_file(root) is not None
