"""A learner's settings: the template `learner` with the method's own on top; those of DnC's parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superbatch.bounds import require
from superbatch.config.reading import read
from superbatch.errors import UserError
from superbatch.nested import merge
from superbatch.options import DncSettings, LearnerSettings

LEARNER_OF_PAIRS: dict[str, Any] = {
    "warm_start": False,
    "flexi": None,
    "distill": None,
    "pool": {"keep_share": 1.0, "like_curated": 0.0, "clusters": 0, "balance": 0.0, "curated_by": None},
    "selection": {"score": "loss", "adapt": None, "then": None, "online_reference": None},
}
WITHOUT_PAIRS = ("labels", "moclr")  # settings by which a method trains on something else


def learner_settings(template: Mapping[str, Any], override: Mapping[str, Any] | None, method: str) -> LearnerSettings:
    """Read a method's settings: the template `learner` with `<method>.learner` on top.

    Raises:
        UserError: as `read`; the key is named where it stands.
    """
    read(LearnerSettings, template, "learner")  # first, so that a mistake in the template is named there
    return on_top(template, override, f"{method}.learner")


def on_top(template: Mapping[str, Any], override: Mapping[str, Any] | None, place: str) -> LearnerSettings:
    """Read a method's own settings over a template that holds no mistake."""
    if override is not None and not isinstance(override, Mapping):
        raise UserError(place, f"{override!r} is not a block of settings", "see parameters_methods.yml")
    known = dict(template or {})
    if any((override or {}).get(key) is not None for key in WITHOUT_PAIRS):
        known |= {
            key: {**(known.get(key) or {}), **value} if isinstance(value, dict) else value
            for key, value in LEARNER_OF_PAIRS.items()
        }
    touched = {
        key: known[key] for key in override or {} if key in known
    }  # merging is slow, so only what changes is merged
    return read(LearnerSettings, known | merge(touched, override, place), place)


def dnc_learner(
    template: Mapping[str, Any], base: Mapping[str, Any] | None, dnc: Mapping[str, Any] | None, part: str | None = None
) -> LearnerSettings:
    """Read the settings of DnC's base, or of its experts or its student: the base's with `dnc.<part>` on top.

    Args:
        template: `learner`. base: the base method's block `learner`.
        dnc: the block `dnc`. part: experts or student; None: the base itself.

    Raises:
        UserError: as `read`; a base that reads texts, or more than the pool.
    """
    wanted = read(DncSettings, dnc, "dnc")
    found = learner_settings(template, base, wanted.base)
    what = f"{wanted.base!r} is not trained on images alone"
    require(found.moclr is not None, "dnc.base", what, "name a method that has moclr, such as moclr")
    what = f"{wanted.base!r} adds the curated set, and only the pool can be divided"
    require(not found.pool.add_curated, "dnc.base", what, "take a base without pool.add_curated")
    if part is None:
        return found
    place = f"dnc.{part}"
    changed = on_top(template, merge(base, getattr(wanted, part), place), place)
    require(
        changed.moclr is not None and not changed.pool.add_curated,
        place,
        "is trained on images of the pool alone",
        "leave moclr and pool as the base has them",
    )
    return changed
