"""What makes two runs repeats of one configuration: their settings, apart from the seed and from how they are carried out."""

from __future__ import annotations

import re
from typing import Any

from superbatch.files import fingerprint

_SECTIONS = ("training", "selection", "pool", "model", "warm_start", "proxy")
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
_FINGERPRINT = re.compile(r"[0-9a-f]{16,}")  # no part of it: that of starting weights differs with the seed


def configuration(method: str, steps: int, settings: dict[str, Any]) -> str:
    """Fingerprint of what makes a run what it is: equal for repeats with other seeds.

    Args:
        settings: the run's, by section, as run.json has them.
    """
    return fingerprint([method, steps, *(_identity(settings.get(section)) for section in _SECTIONS)])


def _identity(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {k: _identity(v) for k, v in settings.items() if k not in _NOT_IDENTITY}
    return None if isinstance(settings, str) and _FINGERPRINT.fullmatch(settings) else settings
