"""Shards of drawings: each picture with its caption, and in its JSON whose it is and under which licence."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from superbatch.data.writing import Sample, sample_key, write_shard
from superbatch.icons.captions import pool_caption
from superbatch.icons.content import Outlines
from superbatch.icons.rendering import Unrenderable, render
from superbatch.icons.sets import Drawing, IconSet
from superbatch.options import IconsSettings

OUTLINE, PICTURE = "outline", "picture"  # by what a re-publication was found


@dataclass
class Outcome:
    """Counts of what happened to some drawings.

    Attributes:
        written: samples by the name of their set.
        failed: drawings without a picture, by reason.
        republished: drawings that a held-out team had drawn before, by what they were found.
        pictures: digests of the written pictures.
    """

    written: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    republished: Counter[str] = field(default_factory=Counter)
    pictures: set[bytes] = field(default_factory=set)

    @property
    def seen(self) -> int:
        """How many drawings these are."""
        return self.written.total() + self.failed.total() + self.republished.total()

    def add(self, other: Outcome) -> None:
        """Count others among these."""
        self.written += other.written
        self.failed += other.failed
        self.republished += other.republished
        self.pictures |= other.pictures


@dataclass(frozen=True)
class Owners:
    """Who drew each set, and under which licence: what stands in the JSON of its samples."""

    by_set: dict[str, dict[str, str]]

    @classmethod
    def of(cls, sets: Iterable[IconSet]) -> Owners:
        """Collect them."""
        return cls(
            {
                one.name: {"set": one.name, "author": one.author, "author_url": one.author_url, "licence": one.licence}
                for one in sets
            }
        )

    def record(self, drawing: Drawing, key: str) -> bytes:
        """Return the JSON of a sample."""
        return json.dumps(
            {"key": key, **self.by_set[drawing.set], "name": drawing.name}, sort_keys=True, ensure_ascii=False
        ).encode()


@dataclass(frozen=True)
class Kept:
    """What must not be in a set: outlines and pictures that held-out teams drew."""

    outlines: Outlines = field(default_factory=lambda: Outlines(()))
    pictures: frozenset[bytes] = frozenset()


def picture_digest(picture: bytes) -> bytes:
    """Return 16 bytes that stand for a PNG; equal pixels have equal PNGs here."""
    return hashlib.blake2b(picture, digest_size=16).digest()


def write_training_shard(
    path: Path,
    drawings: list[Drawing],
    first: int,
    owners: Owners,
    settings: IconsSettings,
    kept_out: Kept,
    curated: bool,
) -> Outcome:
    """Render one shard of the pool or of the curated set; a pure function of its arguments, in any process.

    Args:
        path: of the .tar.
        drawings: in order; those that fail or are re-publications leave a gap in the keys.
        first: number of the first one in its set.
        owners: of all sets.
        settings: for size, seed and keys.
        kept_out: what held-out teams drew.
        curated: captions are concepts, without style words.
    """
    outcome = Outcome()

    def samples() -> Iterator[Sample]:
        for number, drawing in enumerate(drawings, first):
            picture = _picture(drawing, settings.image_size, kept_out, outcome)
            if picture is not None:
                key = sample_key(number, settings.shard_size)
                caption = drawing.concept if curated else pool_caption(drawing, settings.seed)
                yield Sample(key, {"png": picture, "txt": caption.encode(), "json": owners.record(drawing, key)})

    write_shard(path, samples())
    return outcome


def evaluation_samples(
    drawings: Iterable[Drawing],
    owners: Owners,
    settings: IconsSettings,
    kept_out: Kept,
    classes: dict[str, int] | None,
    outcome: Outcome,
) -> Iterator[Sample]:
    """Render the samples of one split of an evaluation set, counting in `outcome`.

    Args:
        drawings, owners, settings, kept_out: as for a training shard.
        classes: number of each concept; None for retrieval.
        outcome: is added to.
    """
    for number, drawing in enumerate(drawings):
        picture = _picture(drawing, settings.image_size, kept_out, outcome)
        if picture is not None:
            key = f"{number:07d}"
            parts = {"png": picture, "txt": drawing.concept.encode(), "json": owners.record(drawing, key)}
            if classes is not None:
                parts["cls"] = str(classes[drawing.concept]).encode()
            yield Sample(key, parts)


def _picture(drawing: Drawing, size: int, kept_out: Kept, outcome: Outcome) -> bytes | None:
    """Render a drawing unless it is excluded, and count the outcome."""
    if drawing.body in kept_out.outlines:
        outcome.republished[OUTLINE] += 1
        return None
    try:
        picture = render(drawing, size)
    except Unrenderable as error:
        outcome.failed[error.args[0]] += 1
        return None
    digest = picture_digest(picture)
    if digest in kept_out.pictures:
        outcome.republished[PICTURE] += 1
        return None
    outcome.pictures.add(digest)
    outcome.written[drawing.set] += 1
    return picture
