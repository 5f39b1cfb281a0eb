"""Parameters as typed settings: unknown keys refused, every mistake told in one line.

Kedro hands nodes plain dictionaries. `read` turns them into the dataclasses of `options` (what the core takes) or into the models
below (what only the pipelines take); a learner's settings are its template (`learner`) with the method's own (`jest.learner`) on top.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from superbatch.errors import UserError
from superbatch.options import (
    AuditSettings,
    EmbedSettings,
    EvaluateSettings,
    LearnerSettings,
    ReferenceSettings,
    SimwebSettings,
)

T = TypeVar("T")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Storage(_Strict):
    """Working folders outside Kedro's catalog and DVC.

    Attributes:
        state: training states by run hash (optimiser, step, random state); a killed run continues from here.
        stages: directories on their way to their place, and the records of what stands where.
        data_docs: Great Expectations' Data Docs, a folder a set; written where `ingest.data_docs` asks for them.
    """

    state: str = "data/06_models/.state"
    stages: str = "data/.stages"
    data_docs: str = "data/08_reporting/data_docs"


class Threshold(_Strict):
    """What one figure of a set, or one measure of its samples, must be.

    Attributes:
        min, max: bounds, both included; without either, those of the default stay.
        mostly: of a measure, the share of samples that must keep to the bounds; without it, all of them.
        severity: whether a set that misses them stops the run, or gets a line in the log.
    """

    min: float | None = None
    max: float | None = None
    mostly: float | None = Field(None, gt=0, le=1)
    severity: Literal["stop", "warn"] = "stop"


Thresholds = dict[str, Threshold | None]


class SetSettings(_Strict):
    """One training set.

    Attributes:
        shards: WebDataset shards: a glob, a brace pattern, or a list of both; relative to the project.
        expect: what the set must be like, on top of `curation.figures.DEFAULT_THRESHOLDS`: figure or measure -> {min, max, mostly, severity}; null drops
            a default.
    """

    shards: str | list[str]
    expect: Thresholds = {}


class EvaluationSetSettings(_Strict):
    """One evaluation set in the layout that CLIP_benchmark and DataComp read.

    Attributes:
        root: its folder (dataset_type.txt, classnames.txt, templates, one folder a split); relative to the project.
        splits: which of its folders, or of its shards (`val-*.tar`), are what; `validation` is looked at during training, `test` at
            the end.
        expect: what each split must be like, as for a training set.
    """

    root: str
    splits: dict[str, str] = {"validation": "validation", "test": "test"}
    expect: Thresholds = {}


class IngestSettings(_Strict):
    """Where the data is: pool, curated set and evaluation sets by name.

    Attributes:
        pool, curated: training sets.
        evaluation: evaluation sets; the names are the prefixes of their metrics. An environment drops one of the base's by null.
        jobs: processes that read shards.
        max_pixels: larger images are rejected, before they are decoded. Pillow refuses more than the upper bound in any case.
        data_docs: write Great Expectations' Data Docs to `storage.data_docs`.
    """

    pool: SetSettings
    curated: SetSettings
    evaluation: dict[str, EvaluationSetSettings] = Field(min_length=1)
    jobs: int = Field(2, ge=1)
    max_pixels: int = Field(89_478_485, ge=1, le=178_956_970)
    data_docs: bool = False

    @field_validator("evaluation", mode="before")
    @classmethod
    def _without_dropped_sets(cls, sets: Any) -> Any:
        return {name: one for name, one in sets.items() if one is not None} if isinstance(sets, dict) else sets


class ReportSettings(_Strict):
    """What the report shows.

    Attributes:
        metric: what is shown and compared, `<set>/<metric>` of an evaluation set, or `headline`, the mean over their main ones.
        title: of the page.
        examples: samples on each shelf of the gallery.
    """

    metric: str = "classification/top1"
    title: str = "Superbatch"
    examples: int = Field(24, ge=0)


class CompareSettings(_Strict):
    """The grid of runs: see `pipelines.compare.grid.expand` for the entries."""

    runs: list[dict[str, Any]] = []
    set: dict[str, Any] = {}  # settings of every run of the grid, by dotted name


SECTIONS: dict[str, Any] = {
    "storage": Storage,
    "simweb": SimwebSettings,
    "ingest": IngestSettings,
    "reference": ReferenceSettings,
    "embed": EmbedSettings,
    "learner": LearnerSettings,
    "evaluate": EvaluateSettings,
    "report": ReportSettings,
    "audit": AuditSettings,
    "compare": CompareSettings,
}
METHODS = "methods"  # the key that lists the methods DVC makes; every other key is a method's own block
METHOD_KEYS = ("learner",)
UNKNOWN_KEY = (
    "unexpected_keyword_argument",
    "extra_forbidden",
)  # pydantic's names for it, in dataclasses and in models


def read(kind: type[T], values: Mapping[str, Any] | None, section: str) -> T:
    """Turn nested settings into a dataclass of `options` or a model of this module.

    Args:
        kind: the class.
        values: the settings; None counts as empty.
        section: where they stand in the parameters, for messages.

    Raises:
        UserError: an unknown key (with the nearest known one), a wrong type, a value out of range; the first one found.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(values or {}))
    except ValidationError as error:
        raise _told(kind, error, section) from None


def merge(base: Mapping[str, Any], override: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return nested settings with others on top; lists and values of the override replace those of the base."""
    merged = dict(base)
    for key, value in (override or {}).items():
        inner = merged.get(key)
        merged[key] = merge(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def learner_settings(template: Mapping[str, Any], override: Mapping[str, Any] | None, method: str) -> LearnerSettings:
    """Read a method's settings: the template `learner` with `<method>.learner` on top.

    Raises:
        UserError: as `read`; the key is named where it stands.
    """
    if override is not None and not isinstance(override, Mapping):
        raise UserError(f"{method}.learner", f"{override!r} is not a block of settings", "see parameters_methods.yml")
    read(LearnerSettings, template, "learner")  # first, so that a mistake in the template is named there
    return read(LearnerSettings, merge(template, override), f"{method}.learner")


def method_names(parameters: Mapping[str, Any]) -> list[str]:
    """List the methods that the parameters define, in order: every block that is none of the sections."""
    return [key for key in parameters if key not in SECTIONS and key != METHODS]


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
    for method in methods:
        learner_settings(parameters.get("learner") or {}, parameters[method].get("learner"), method)
    for method in parameters.get(METHODS) or []:
        if method not in methods:
            raise UserError(METHODS, f"{method!r} is not a method", _nearest(method, methods))


def _check_method_block(name: str, block: Any, methods: list[str]) -> None:
    """A key that is no section must look like a method; if it doesn't, it is most likely a misspelt section."""
    others = [*SECTIONS, METHODS]
    if not isinstance(block, Mapping) or not set(block) & set(METHOD_KEYS):
        known = others + [m for m in methods if m != name]
        raise UserError(name, "unknown parameter", _nearest(name, known, {"learner": LearnerSettings}))
    for key in block:
        if key not in METHOD_KEYS:
            remedy = _nearest(key, METHOD_KEYS, {f"{name}.learner": LearnerSettings})
            raise UserError(f"{name}.{key}", "unknown parameter", remedy)


def _told(kind: Any, error: ValidationError, section: str) -> UserError:
    """Make one UserError of pydantic's first finding."""
    first = min(
        error.errors(), key=lambda found: found["type"] not in UNKNOWN_KEY
    )  # a misspelt key explains a missing one
    location = [str(part) for part in first["loc"] if not _is_branch(part)]
    where = ".".join([section, *location])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return UserError(_join([section, *location], cause.where), cause.what, cause.remedy)
    if first["type"] in UNKNOWN_KEY:
        remedy = _nearest(location[-1], _keys_at(kind, location[:-1]), {section: kind})
        return UserError(where, "unknown parameter", remedy)
    if first["type"] in ("missing", "missing_argument"):
        return UserError(where, "missing", "every project needs it; see conf/README.md")
    return UserError(where, f"{first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}")


def _is_branch(part: Any) -> bool:
    """Pydantic names the branch of a union inside the location (`str`, `list[str]`): not a key of ours."""
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or "[" in part)


def _join(place: list[str], where: str) -> str:
    """Put a message's own key (`optimizer.warmup`) behind the place of its block (`learner.training.optimizer`)."""
    return ".".join((place[:-1] if place[-1] == where.split(".")[0] else place) + [where])


def _nearest(key: str, known: typing.Iterable[str], sections: Mapping[str, Any] | None = None) -> str:
    """Say what was meant: the same key in another place of the sections, one of nearly that name here, or else what there is."""
    names = list(known)
    paths = (path for name, kind in (sections or {}).items() for path in _paths(kind, name))
    same = next((path for path in paths if path.split(".")[-1] == key), None)
    close = [same] if same else difflib.get_close_matches(key, names, 1, 0.6)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"


def _paths(kind: Any, place: str) -> typing.Iterator[str]:
    """List the dotted names of all settings of a class, blocks before what is in them."""
    for key in _keys_at(kind, []):
        inner = _without_none(typing.get_type_hints(kind)[key])
        yield f"{place}.{key}"
        yield from _paths(inner, f"{place}.{key}")


def _keys_at(kind: Any, location: list[str]) -> list[str]:
    """List the keys that are known at a place inside a class of settings."""
    for part in location:
        if typing.get_origin(kind) is dict:
            kind = _without_none(typing.get_args(kind)[1])
        else:
            kind = _without_none(typing.get_type_hints(kind).get(part) if _is_block(kind) else None)
    if not _is_block(kind):
        return []
    return list(kind.model_fields) if hasattr(kind, "model_fields") else [f.name for f in dataclasses.fields(kind)]


def _is_block(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or hasattr(kind, "model_fields")


def _without_none(kind: Any) -> Any:
    """Unwrap `X | None` to X."""
    arguments = [a for a in typing.get_args(kind) if a is not type(None)]
    return arguments[0] if typing.get_origin(kind) in (typing.Union, types.UnionType) and arguments else kind
