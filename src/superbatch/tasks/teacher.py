"""A teacher that is not the run's reference: where it lies, and its embeddings of the pool as a learner's run opens them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superbatch.data.fields import Field
from superbatch.data.manifest import Manifest
from superbatch.options import LearnerSettings
from superbatch.tasks.cached import given, open_cache, reference_identity, require_pairs
from superbatch.tasks.contrastive import Reference, cached_fields
from superbatch.tasks.distilled import TAUGHT


@dataclass(frozen=True)
class Teacher:
    """Another model than the run's reference, which teaches.

    Attributes:
        name: a reference's.
        model: its checkpoint. training: its records.
        features: what the stage `embed` made of the pool with it.
    """

    name: str
    model: Path
    training: Path
    features: Path


@dataclass(frozen=True)
class Taught:
    """What a separate teacher adds to a run; empty if there is none, or if the reference teaches.

    Attributes:
        temperature: its scale and bias.
        identity: what of it decides the outcome. fields: its embeddings, by name.
        remarks: what the run's record says of it: name, SHA-256 of its weights, fingerprint of its embeddings.
    """

    temperature: Reference | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)
    remarks: dict[str, Any] = field(default_factory=dict)


def open_teacher(settings: LearnerSettings, manifests: Sequence[Manifest], teacher: Teacher | None) -> Taught:
    """Open the cached embeddings of a teacher of its own.

    Raises:
        UserError: there are none, or they are of another model, set or preprocessing.
    """
    if settings.teacher is None:
        return Taught()
    named = given(teacher, "teacher", "distill.teacher")
    require_pairs(named.model, "distill.teacher")
    cache = open_cache(named.features, named.model, manifests[0])
    own = reference_identity(named.model)
    said = {"name": named.name, "weights": own["reference"], "embeddings": cache.fingerprint}
    return Taught(Reference(cache.scale, cache.bias), {"teacher": own}, cached_fields(cache, TAUGHT), {"teacher": said})
