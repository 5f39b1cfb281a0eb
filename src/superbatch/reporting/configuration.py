"""Whether two runs repeat one configuration: equal settings, apart from the seed and how they are carried out."""

from __future__ import annotations

import re
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint

_SECTIONS = ("training", "selection", "pool", "model", "warm_start", "proxy")
_LATER = (
    "flexi",
    "distill",
    "teacher",
    "online_reference",
    "labels",
    "moclr",
    "student",
)  # that older runs have none of
_NOT_IDENTITY = {
    "seed",
    "device",
    "threads",
    "workers",
    "fresh",
    "resume_from",
    "checkpoint_every",
    "keep_checkpoints",
    "keep_best",
    "on_bad_step",
    "evaluate_every",
    "score_batch",
}
# Settings that are tuned, by section; the best candidate is chosen by validation (`tuning.tuned`).
TUNED = {
    "training": {"optimizer"},
    "selection": {"gain"},
    "pool": {"keep_share", "clusters", "balance"},
    "distill": {"weight", "scale"},
}
# What a comparison keeps apart by itself, and what a run was made from.
_APART = {"training": {"steps"}, "selection": {"filter_ratio"}}
_MADE_FROM = {"format", "B", "sets", "reference", "kept_rows"}
_FINGERPRINT = re.compile(r"[0-9a-f]{16,}")  # no part of it: that of starting weights differs with the seed


def configuration(method: str, steps: int, settings: dict[str, Any]) -> str:
    """Fingerprint of what makes a run what it is: equal for repeats with other seeds.

    Args:
        settings: the run's, by section, as run.json has them.
    """
    later = [identity(settings[section]) for section in _LATER if section in settings]
    return fingerprint([method, steps, *(identity(settings.get(section)) for section in _SECTIONS), *later])


def identity(settings: Any) -> Any:
    """A section of settings without what differs between repeats: seed, threads, fingerprints, how often to look."""
    if isinstance(settings, dict):
        return {k: identity(v) for k, v in settings.items() if k not in _NOT_IDENTITY}
    return None if isinstance(settings, str) and _FINGERPRINT.fullmatch(settings) else settings


def family(settings: dict[str, Any]) -> str:
    """Fingerprint of a run's settings without those that are tuned: equal for candidates of one method.

    Whether the pool is filtered at all, and whether by clusters, belongs to the method; the share that is kept, how many clusters and
    their balance are tuned. Uniform has no selection. Starting from given weights is a method of its own.
    """
    kept = {
        name: _without(identity(section), TUNED.get(name, set()) | _APART.get(name, set()))
        for name, section in settings.items()
        if name not in _MADE_FROM
    }
    if isinstance(kept.get("selection"), dict) and kept["selection"].get("method") == "uniform":
        kept["selection"] = {"method": "uniform"}
    pool = settings.get("pool") or {}
    filtered, by_clusters = (pool.get("keep_share") or 1.0) < 1, bool(pool.get("clusters"))
    given = ["given start"] if given_start(settings) else []
    return fingerprint([kept, filtered, by_clusters, *given])


def given_start(settings: dict[str, Any]) -> bool:
    """Whether a run started from weights that it was given (`model.pretrained`), whose cost it does not know, rather than from random ones."""
    return (settings.get("model") or {}).get("pretrained") is not None


def _without(section: Any, keys: set[str]) -> Any:
    return {k: v for k, v in section.items() if k not in keys} if isinstance(section, dict) else section
