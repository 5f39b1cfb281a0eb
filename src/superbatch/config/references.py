"""The settings of each reference, and which of them a learner can use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superbatch.bounds import require
from superbatch.config.blocks import REFERENCES
from superbatch.config.reading import read
from superbatch.declared import nearest
from superbatch.errors import UserError
from superbatch.nested import merge
from superbatch.options import FURTHER, SECOND, BootstrapSettings, LabelSettings, LearnerSettings, ReferenceSettings

# What `reference` and the template `learner` may say of image-text pairs alone: a block with labels starts without it, and says it itself
# where it is to be refused.
REFERENCE_OF_PAIRS = {"import_from": None, "flexi": None}
ONE_OF_PAIRS = (
    "are for a further reference: this one is trained on image-text pairs",
    "set them in a block of `references`, as references.labels does",
)
ONE_ON_CURATED = (
    "is for a further reference: this one is trained on the curated set",
    "set it in a block of `references`, such as references.in_domain",
)


def reference_settings(
    name: str, reference: Mapping[str, Any] | None, override: Mapping[str, Any] | None = None
) -> ReferenceSettings:
    """Read a reference's settings: those of `reference`, for a further one with its block of `references` on top.

    Args:
        name: of the reference, `reference` or `reference_<name>`.

    Raises:
        UserError: as `read`; the key is named where it stands.
    """
    settings = read(ReferenceSettings, reference, "reference")  # first, so that a mistake in it is named there
    if name == "reference":
        _require_first(settings, "reference")
        return settings
    place = f"{REFERENCES}.{name.removeprefix(FURTHER)}"
    if override is not None and not isinstance(override, Mapping):
        raise UserError(place, f"{override!r} is not a block of settings", "write what it changes in `reference`")
    if (override or {}).get("labels") is not None:
        reference = {**(reference or {}), **REFERENCE_OF_PAIRS}
    return read(ReferenceSettings, merge(reference, override, place), place)


def _require_first(settings: ReferenceSettings, place: str) -> None:
    """Refuse settings that only one of `references` may have: labels, or training on the pool."""
    require(settings.labels is None, f"{place}.labels", *ONE_OF_PAIRS)
    require(settings.trained_on == "curated", f"{place}.trained_on", *ONE_ON_CURATED)


def second_reference(reference: Mapping[str, Any] | None, bootstrap: Mapping[str, Any] | None) -> ReferenceSettings:
    """Read the second reference's settings: those of `reference` with `bootstrap.reference` on top; it is trained, where the first is imported.

    Raises:
        UserError: as `read`; the key is named where it stands.
    """
    reference_settings("reference", reference)  # first, so that a mistake in it is named there
    override, place = read(BootstrapSettings, bootstrap, "bootstrap").reference, "bootstrap.reference"
    found = read(ReferenceSettings, merge(reference, {**override, "import_from": None}, place), place)
    _require_first(found, place)
    return found


def known_references(parameters: Mapping[str, Any]) -> list[str]:
    """List the references that a run may go by."""
    return ["reference", SECOND, *further_references(parameters)]


def further_references(parameters: Mapping[str, Any]) -> list[str]:
    """List the further references that the parameters define, in order, each `reference_<name>`.

    Raises:
        UserError: a name that is taken, or that no folder can have; no block of blocks.
    """
    blocks = parameters.get(REFERENCES) or {}
    if not isinstance(blocks, Mapping):
        raise UserError(
            REFERENCES,
            f"{blocks!r} is not a block of named blocks",
            "write one block for each reference, under its name",
        )
    for name in blocks:
        if not str(name).isidentifier() or FURTHER + str(name) == SECOND:
            what = "is `bootstrap`'s own" if FURTHER + str(name) == SECOND else "cannot be part of a folder's name"
            raise UserError(f"{REFERENCES}.{name}", what, "use letters, digits and _, such as large")
    return [FURTHER + str(name) for name in blocks]


def require_reference(settings: LearnerSettings, place: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a reference or teacher that nobody makes, and one of labels under a learner of pairs, or the reverse.

    Args:
        settings: a learner's. place: where they stand.

    Raises:
        UserError: just that.
    """
    separator = ": " if place.startswith("compare: ") else "."
    where, name = f"{place}{separator}reference", settings.reference
    theirs = _labels_of_known(name, where, parameters)
    if settings.uses_reference:
        ours = settings.labels
        what = f"{name} is trained on image-text pairs, and the learner's labels need one trained on labels"
        require(ours is None or theirs is not None, where, what, "name one that has labels, such as reference_labels")
        what = f"{name} is trained on labels, and the learner on image-text pairs"
        require(ours is not None or theirs is None, where, what, "name one trained on pairs, such as reference")
    if settings.teacher is not None:
        where, name = f"{place}{separator}distill.teacher", settings.teacher
        what = f"{name} is trained on labels, and has no embeddings to teach with"
        labels = _labels_of_known(name, where, parameters)
        require(labels is None, where, what, "name one trained on pairs, such as reference_large")


def require_same_classes(settings: LearnerSettings, where: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a learner of labels whose reference has other classes. Asked for the learners that a command trains: others may be set later.

    Args:
        settings, where, parameters: as of `require_reference`.

    Raises:
        UserError: just that.
    """
    ours, name = settings.labels, settings.reference
    theirs = labels_of_reference(name, parameters) if settings.uses_reference else None
    same = ours is None or theirs is None or ours.same_classes(theirs)
    what = f"{name} has different classnames from the learner's labels, or a different `by`: their losses cannot be subtracted"
    require(same, where, what, f"set both alike (references.{name.removeprefix(FURTHER)}.labels)")


def _labels_of_known(name: str, where: str, parameters: Mapping[str, Any]) -> LabelSettings | None:
    """Return the label settings of a reference (None: it is trained on pairs). Refuse the name of a reference that no stage makes."""
    known = known_references(parameters)
    if name not in known:
        raise UserError(where, f"{name!r} is not among `references`", nearest(name, known))
    return labels_of_reference(name, parameters)


def labels_of_reference(name: str, parameters: Mapping[str, Any]) -> LabelSettings | None:
    """Return what a reference has for labels; None of one of pairs, and of a name that is not among `references`."""
    if name not in further_references(parameters):
        return None
    block = (parameters.get(REFERENCES) or {})[name.removeprefix(FURTHER)]
    return reference_settings(name, parameters.get("reference"), block).labels
