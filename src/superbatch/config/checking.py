"""All parameters together, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from superbatch.bounds import require
from superbatch.config.blocks import METHOD_KEYS, METHODS, REFERENCES, SECTIONS
from superbatch.config.learners import dnc_learner, on_top
from superbatch.config.reading import read
from superbatch.config.references import (
    further_references,
    reference_settings,
    require_reference,
    second_reference,
)
from superbatch.declared import nearest
from superbatch.errors import UserError
from superbatch.options import FURTHER, AdviseSettings, AuditSettings, CurateSettings, DncSettings, LearnerSettings


def method_names(parameters: Mapping[str, Any]) -> list[str]:
    """List the methods that the parameters define, in order: every block that is none of the sections."""
    return [key for key in parameters if key not in SECTIONS and key not in (METHODS, REFERENCES)]


def candidates(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the presets that `advise` tries out; none where the parameters have no such block."""
    block = parameters.get("advise")
    return () if block is None else read(AdviseSettings, block, "advise").candidates


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check all parameters before anything runs.

    Raises:
        UserError: the first mistake found.
    """
    methods = method_names(parameters)
    for method in methods:
        _check_method_block(method, parameters[method], methods)
    for section, kind in SECTIONS.items():
        read(kind, parameters.get(section), section)
    second_reference(parameters.get("reference"), parameters.get("bootstrap"))
    for name in further_references(parameters):
        reference_settings(name, parameters.get("reference"), parameters[REFERENCES][name.removeprefix(FURTHER)])
    for method in methods:
        place = f"{method}.learner"
        found = on_top(parameters.get("learner") or {}, parameters[method].get("learner"), place)
        require_reference(found, place, parameters)
        _check_decision(found.pool.curated_by, f"{place}.pool.curated_by", parameters)
    _check_decision(read(AuditSettings, parameters.get("audit"), "audit").decision, "audit.decision", parameters)
    check_dnc(parameters)
    for where, names in ((METHODS, parameters.get(METHODS) or []), ("advise.candidates", candidates(parameters))):
        for method in names:
            if method not in methods:
                raise UserError(where, f"{method!r} is not a method", nearest(method, methods))


def check_dnc(parameters: Mapping[str, Any]) -> None:
    """Check DnC's base, and what experts and student change in it; without a block `dnc` there is nothing to check.

    Raises:
        UserError: the first mistake found.
    """
    block = parameters.get("dnc")
    if block is None:
        return
    base, methods = read(DncSettings, block, "dnc").base, method_names(parameters)
    require(base in methods, "dnc.base", f"{base!r} is not a method", nearest(base, methods))
    for part in ("experts", "student"):
        dnc_learner(parameters.get("learner") or {}, parameters[base].get("learner"), block, part)


def _check_decision(name: str | None, where: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a decision that is not in `curate.decide`."""
    known = list(read(CurateSettings, parameters.get("curate"), "curate").decide)
    if name is not None and name not in known:
        remedy = nearest(name, known) if known else "add it to curate.decide"
        raise UserError(where, f"no decision of curate.decide is called {name!r}", remedy)


def _check_method_block(name: str, block: Any, methods: list[str]) -> None:
    """Check a key that is not a section. It must look like a method's block; otherwise it is most likely a misspelt section."""
    others = [*SECTIONS, METHODS, REFERENCES]
    if not isinstance(block, Mapping) or not set(block) & set(METHOD_KEYS):
        known = others + [m for m in methods if m != name]
        raise UserError(name, "unknown parameter", nearest(name, known, {"learner": LearnerSettings}))
    for key in block:
        if key not in METHOD_KEYS:
            remedy = nearest(key, METHOD_KEYS, {f"{name}.learner": LearnerSettings})
            raise UserError(f"{name}.{key}", "unknown parameter", remedy)
