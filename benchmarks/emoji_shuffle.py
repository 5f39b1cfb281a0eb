"""Turn clean image-text shards into a noisy pool: a share of the samples exchange their captions.

    python benchmarks/emoji_shuffle.py 'SHARDS' --out FOLDER [--share 0.7] [--seed 0]

SHARDS is a glob or a brace pattern. FOLDER gets pool/00000.tar ... (the same samples in the same order, bytes a function of the input and
the seed) and truth/pool.parquet (key, kind: clean or mismatched), which only reports read.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.data.writing import Sample, write_shard
from superbatch.files import expand_shards

SHARD_SIZE = 1_000


def read_samples(shards: Sequence[Path]) -> Iterator[Sample]:
    """Yield the samples of some shards in order: members that stand together under one key."""
    for shard in shards:
        sample = Sample("", {})
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                stream = tar.extractfile(member)
                if stream is None:
                    continue
                if key != sample.key:
                    yield from [sample] if sample.parts else []
                    sample = Sample(key, {})
                sample.parts[extension] = stream.read()
        yield from [sample] if sample.parts else []


def shuffle_captions(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[str]]:
    """Pass the captions of a random share of the samples on, each to the next of them in a random ring.

    Returns:
        The samples in their order, and the kind of each: `mismatched`, or `clean` where the caption stayed or still names the same thing.
    """
    chosen = np.random.default_rng(seed).permutation(len(samples))[: round(share * len(samples))]
    shuffled, kinds = list(samples), ["clean"] * len(samples)
    for giver, taker in zip(chosen, np.roll(chosen, 1), strict=True):
        shuffled[taker] = replace(samples[taker], parts=samples[taker].parts | {"txt": samples[giver].parts["txt"]})
        if _subject(samples[taker]) != _subject(samples[giver]):
            kinds[taker] = "mismatched"
    return shuffled, kinds


def _subject(sample: Sample) -> str:
    """What a sample shows, as far as its own files say."""
    record = json.loads(sample.parts.get("json", b"{}"))
    return str(record.get("name") or record.get("caption_name") or sample.parts["txt"].decode())


def write_shards(samples: Sequence[Sample], folder: Path) -> None:
    """Write 00000.tar, 00001.tar ... of `SHARD_SIZE` samples."""
    for number, start in enumerate(range(0, len(samples), SHARD_SIZE)):
        write_shard(folder / f"{number:05d}.tar", samples[start : start + SHARD_SIZE])


def write_pool(samples: Sequence[Sample], out: Path, share: float, seed: int) -> int:
    """Write pool/*.tar with shuffled captions and truth/pool.parquet; returns the number of wrong pairs."""
    shuffled, kinds = shuffle_captions(samples, share, seed)
    write_shards(shuffled, out / "pool")
    (out / "truth").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"key": [sample.key for sample in samples], "kind": kinds}), out / "truth" / "pool.parquet")
    return kinds.count("mismatched")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", help="a glob or a brace pattern")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--share", type=float, default=0.7, help="of the samples whose captions are shuffled")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples = list(read_samples(expand_shards(options.shards)))
    wrong = write_pool(samples, options.out, options.share, options.seed)
    print(f"{options.out}: {len(samples):,} pairs, {wrong:,} with another image's caption")


if __name__ == "__main__":
    main()
