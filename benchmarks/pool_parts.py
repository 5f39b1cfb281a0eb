"""Parts of `pool_size.py` that read no image: filters, decisions, order, caches and duplicates of made-up pools, through the code that runs use.

Each part is a process of its own, whose private memory is limited and watched (`watched`).
"""

from __future__ import annotations

import importlib
import pickle
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.artifacts.scratch import PIECE, pieces, scratch
from superbatch.curation.dealt import first_equal
from superbatch.curation.decide import staying, write_decisions
from superbatch.curation.neighbours import by_embedding, by_hash
from superbatch.curation.scores import MANIFEST_KEY, SCORES, SCORES_SCHEMA
from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache, EmbeddingCacheWriter
from superbatch.data.order import Order, mix, permute, round_keys
from superbatch.data.row_set import RowSet
from superbatch.options import PoolSettings, RuleSettings
from superbatch.tasks.filtering import kept, with_share

WIDTH = 8  # of made-up embeddings that are scored
WIDE = 64  # of those whose neighbours are looked for
CONCEPTS = 1_000
COPIES = 0.1  # of the rows, planted
NOISE = 0.11  # that a number of a copy is off by, where it is about 1.4: the cosine with its source is about 0.997
NEAR = 0.99
BIG_B = 20_480
EVERY = 0.02  # seconds between two looks at memory
METADATA = {"scale": 1.0, "bias": 0.0, "loss": "sigmoid", "fingerprint": "made up"}
SHARE = 0.3
USED_LATER = ("pandas", "sklearn.cluster", "threadpoolctl")  # imported on first use, which is not the pool's


def megabytes(key: str) -> float:
    """Read a line of this process's memory (`RssAnon`, `RssFile`, `VmHWM`), in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":"))


def watched(part: Callable[..., dict[str, Any]], limit_gb: float, *arguments: Any) -> dict[str, Any]:
    """Run a part; adds its seconds, those of the processor (`cpu_s`: what other work on the machine disturbs least), and by how much private memory rose at most, MB.

    Private memory is limited (RLIMIT_DATA): a part that needs more fails. Mapped files are not counted, they are the system's.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit_gb * 1e9), resource.RLIM_INFINITY))
    for name in USED_LATER:
        importlib.import_module(name)
    peaks, ended, before = [0.0], threading.Event(), megabytes("RssAnon")

    def watch() -> None:
        while not ended.wait(EVERY):
            peaks.append(megabytes("RssAnon"))

    threading.Thread(target=watch, daemon=True).start()
    start, own = time.perf_counter(), time.process_time()
    found = part(*arguments)
    found = {"s": time.perf_counter() - start, "cpu_s": time.process_time() - own} | found
    ended.set()
    return found | {"mb": max(*peaks, megabytes("RssAnon")) - before}


def write_cache(folder: Path, rows: int, width: int = WIDTH) -> None:
    """Write embeddings of pairs whose cosines are spread, and whose captions are of 64 concepts."""
    centres = np.random.default_rng(0).normal(size=(64, width)).astype(np.float32)
    with EmbeddingCacheWriter(folder / EMBEDDINGS, width, width, METADATA) as writer:
        for piece in pieces(rows):
            rng, size = np.random.default_rng(piece.start), piece.stop - piece.start
            noise, other = (rng.standard_normal((size, width), np.float32) for _ in range(2))
            text = centres[rng.integers(0, 64, size)] + np.float32(0.3) * noise
            writer.append(text + other, text)


def write_table(folder: Path, rows: int) -> None:
    """Write the columns of scores that the decision goes by; a row in ten repeats the file of an earlier one."""
    names = ["reference_cosine", "script", "caption_rows", "same_file", "text_cluster", "evaluation_file"]
    schema = pa.schema([SCORES_SCHEMA.field(name) for name in names]).with_metadata({MANIFEST_KEY: "made up"})
    words = pa.array(["latin", "cyrillic", "none"])
    with pq.ParquetWriter(folder / SCORES, schema, compression="zstd") as writer:
        for piece in pieces(rows):
            rng, size = np.random.default_rng(piece.start), piece.stop - piece.start
            own = np.arange(piece.start, piece.stop)
            columns = {
                "reference_cosine": rng.normal(0.25, 0.1, size).astype(np.float32),
                "script": words.take(pa.array(rng.choice(3, size, p=[0.9, 0.07, 0.03]))),
                "caption_rows": rng.geometric(0.05, size).astype(np.int32),
                "same_file": np.where(rng.random(size) < COPIES, rng.integers(0, own + 1), own),
                "text_cluster": rng.integers(0, 64, size).astype(np.int32),
                "evaluation_file": (rng.random(size) < 1e-4).astype(np.int8),
            }
            writer.write_table(pa.table(columns, schema))


RULES = (
    RuleSettings("in_evaluation", "evaluation_file", at_most=0),
    RuleSettings("script", "script", among=("latin",)),
    RuleSettings("boilerplate", "caption_rows", at_most=100),
    RuleSettings("duplicate", "same_file", one_of_each=True),
    RuleSettings("crowded", "text_cluster", cap=500_000),
    RuleSettings("low_score", "reference_cosine", best_share=SHARE),
)


class Named:
    """What decisions ask of a manifest here."""

    fingerprint = "made up"


def filter_part(folder: Path, **settings: Any) -> dict[str, Any]:
    """Keep the best share of a pool, as a run's start does; what is held afterwards is in every rank and reading worker."""
    rows = kept(EmbeddingCache(folder / EMBEDDINGS), PoolSettings(keep_share=SHARE, **settings)).rows
    assert rows is not None
    return {"kept": len(rows), "held_mb": rows.nbytes / 2**20, "sent_mb": len(pickle.dumps(rows)) / 2**20}


def balance_part(folder: Path) -> dict[str, Any]:
    """Keep the best of each of 64 clusters of captions."""
    return filter_part(folder, clusters=64, balance=0.5)


def like_part(folder: Path) -> dict[str, Any]:
    """Find the share that scores like curated pairs."""
    found = with_share(PoolSettings(like_curated=0.95), EmbeddingCache(folder / EMBEDDINGS), np.linspace(0.4, 0.9, 500))
    return {"share": found.keep_share}


def decide_part(folder: Path) -> dict[str, Any]:
    """Make one decision of six rules, and read it as a learner does."""
    scores = pq.ParquetFile(folder / SCORES)
    found = write_decisions(scores, {"mine": RULES}, Named(), folder)["mine"]  # type: ignore[arg-type]
    rows = RowSet(staying(folder, "mine", Named()))  # type: ignore[arg-type]
    assert len(rows) == found["kept"]
    return {"kept": found["kept"], "left_out": found["left_out"]}


def order_part(rows: int) -> dict[str, Any]:
    """Draw super-batches of the best third of a pool: positions, and the rows they stand for."""
    in_use = RowSet(
        np.random.default_rng(piece.start).random(piece.stop - piece.start) < SHARE for piece in pieces(rows)
    )
    order, start = Order(0, len(in_use), BIG_B), time.perf_counter()
    for step in range(10):
        assert len(in_use[order.rows(step)]) == BIG_B
    return {"draw_ms": 100 * (time.perf_counter() - start)}


def cache_part(folder: Path) -> dict[str, Any]:
    """Open the embeddings and read those of super-batches."""
    cache = EmbeddingCache(folder / EMBEDDINGS)
    opened, order = time.perf_counter(), Order(0, len(cache), BIG_B)
    for step in range(10):
        cache.rows(order.rows(step))
    return {"read_ms": 100 * (time.perf_counter() - opened)}


def file_part(rows: int) -> dict[str, Any]:
    """Group equal files by their checksums, and equal images by their hashes; a row in ten repeats one of the thousand before it."""
    first_N = first_equal(_digests(rows), rows)
    same_N = by_hash(_hashes(rows), 0)
    again = sum(int((first_N[piece] != np.arange(piece.start, piece.stop)).sum()) for piece in pieces(rows))
    alike = sum(int((same_N[piece] != np.arange(piece.start, piece.stop)).sum()) for piece in pieces(rows))
    return {"repeats": again, "alike": alike}


def _source(piece: slice) -> np.ndarray:
    """The row whose image each row has."""
    rng, own = np.random.default_rng(piece.start), np.arange(piece.start, piece.stop)
    return np.where(rng.random(len(own)) < COPIES, own - np.minimum(own, rng.integers(0, 1_000, len(own))), own)


def _digests(rows: int) -> Iterator[np.ndarray]:
    for piece in pieces(rows):
        source = _source(piece).astype(np.uint64)
        words = np.stack([mix(source + np.uint64(part << 40)) for part in range(4)], axis=1)
        yield words.view("S32")[:, 0]


def _hashes(rows: int) -> np.ndarray:
    found = scratch(rows, np.uint64)
    for piece in pieces(rows):
        found[piece] = mix(_source(piece).astype(np.uint64))
    return found


def write_images(folder: Path, rows: int) -> None:
    """Write image embeddings of concepts; the last rows are copies of earlier ones, all but the same (`planted`)."""
    centres = np.random.default_rng(0).standard_normal((CONCEPTS, WIDE), np.float32)
    first = rows - round(COPIES * rows)
    with EmbeddingCacheWriter(folder / EMBEDDINGS, WIDE, 1, METADATA) as writer:
        for piece in pieces(rows, PIECE // 4):
            own = np.arange(piece.start, piece.stop)
            source = np.where(own < first, own, planted(rows, own))
            image, copies = _image(centres, source), np.flatnonzero(own >= first)
            rng = np.random.default_rng([1, piece.start])
            image[copies] += NOISE * rng.standard_normal((len(copies), WIDE), np.float32)
            writer.append(image, np.zeros((len(own), 1), np.float32))


def planted(rows: int, copies: np.ndarray) -> np.ndarray:
    """Return the row that each planted copy is of."""
    first = rows - round(COPIES * rows)
    found: np.ndarray = permute(np.maximum(copies - first, 0), first, round_keys(3))
    return found


def _image(centres: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """An image's numbers as a function of its row, float32 (n, WIDE): its concept's, and as much of its own."""
    keys = mix(rows.astype(np.uint64)[:, None] * np.uint64(WIDE) + np.arange(WIDE, dtype=np.uint64))
    uniform = (keys >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
    own = (uniform - np.float32(0.5)) * np.float32(12**0.5)
    return centres[mix(rows.astype(np.uint64)) % np.uint64(CONCEPTS)] + own


def dedup_part(folder: Path) -> dict[str, Any]:
    """Group images by embedding; recall is the share of planted copies that are in one group with their source."""
    cache = EmbeddingCache(folder / EMBEDDINGS)
    rows = len(cache)
    first_N, _ = by_embedding(cache.images, rows, NEAR)
    copies = np.arange(rows - round(COPIES * rows), rows)
    recall = float(np.mean(first_N[copies] == first_N[planted(rows, copies)]))
    again = sum(int((first_N[piece] != np.arange(piece.start, piece.stop)).sum()) for piece in pieces(rows))
    return {"recall": recall, "repeats": again, "planted": len(copies)}
