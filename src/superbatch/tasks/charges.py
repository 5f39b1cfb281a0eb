"""Costs before a run, and the part of them that is charged to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.files import read_json
from superbatch.options import LearnerSettings, LowSettings
from superbatch.tasks.teacher import Teacher
from superbatch.training.flops import Spent

# What a separate teacher cost, under the names used for a reference.
OF_TEACHER = {
    "reference_training": "teacher_training",
    "bootstrapping": "teacher_bootstrapping",
    "embedding": "teacher_embedding",
    "decoding": "teacher_decoding",
}


def charges(reference_training: Path, pool_features: Path, low: LowSettings | None = None) -> dict[str, Spent]:
    """Return what was spent before a run: training the reference, embedding the pool with it (at full view or at low), decoding the pool.

    Before a second reference, also what led to it (`rounds.write_records`). Decoding takes no operations, only seconds; features of before
    have no seconds.
    """
    spent, summary, embedded = {}, reference_training / "run.json", pool_features / "features.json"
    if summary.is_file():
        record = read_json(summary)
        flops = float(record["flops"]["as_executed_total"])
        spent["reference_training"] = Spent(flops, float(sum(record["seconds"].values())))
        spent |= _before(record)
    if embedded.is_file():
        record, suffix = read_json(embedded), "" if low is None else "_low"
        spent["embedding"] = Spent(float(record.get(f"flops{suffix}", 0.0)), record.get(f"seconds{suffix}"))
        spent |= {"decoding": Spent(0.0, record["seconds_decoding"])} if "seconds_decoding" in record else {}
    return spent


def _before(record: dict[str, Any]) -> dict[str, Spent]:
    """What was spent before a reference was trained, from its record; nothing for a first one."""
    flops, seconds = record["flops"].get("charged") or {}, record.get("charged_seconds") or {}
    if not flops:
        return {}
    known = float(sum(seconds.values())) if flops.keys() <= seconds.keys() else None
    return {"bootstrapping": Spent(float(sum(flops.values())), known)}


def teacher_charges(teacher: Teacher) -> dict[str, Spent]:
    """What was spent before a run on a teacher of its own, as of a reference (`charges`); of decoding, what came on top of the first reference's."""
    spent = charges(teacher.training, teacher.features)
    decoding = spent.pop("decoding", None)
    if decoding is not None and teacher.name != "reference":
        before = read_json(teacher.features / "features.json").get("seconds_decoding_before", 0.0)
        spent["decoding"] = Spent(0.0, (decoding.seconds or 0.0) - before)
    return {OF_TEACHER[name]: one for name, one in spent.items()}


def charged(settings: LearnerSettings, uses_cache: bool, charges: dict[str, Spent]) -> dict[str, Spent]:
    """Return what is charged to a run: decoding the pool, of the reference all, its training alone, or nothing; of a teacher of its own all.

    A decision is made of scores that took the reference's embeddings.
    """
    uses_cache = uses_cache or settings.pool.curated_by is not None
    owed = {"decoding"} | ({"reference_training", "bootstrapping"} if uses_cache or settings.warm_start else set())
    owed |= {"embedding"} if uses_cache else set()
    found = {name: spent for name, spent in charges.items() if name in owed}
    if settings.teacher is None:
        return found
    return found | _of_teacher(settings, found, charges)


def _of_teacher(settings: LearnerSettings, found: dict[str, Spent], charges: dict[str, Spent]) -> dict[str, Spent]:
    """What a separate teacher adds to the charges. If it is one of two references that build on each other, the shared part is charged once."""
    if settings.teacher == "reference" and "bootstrapping" in found:
        return {}
    own = {name: spent for name, spent in charges.items() if name in OF_TEACHER.values()}
    led = own.get("teacher_bootstrapping")
    if led is not None and settings.goes_by == "reference":
        for name in ("reference_training", "embedding"):
            led = led.less(found[name]) if name in found else led
        own["teacher_bootstrapping"] = led
    return own
