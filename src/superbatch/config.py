"""Parameters as typed settings: unknown keys are refused, and every mistake is a one-line error.

Kedro hands nodes plain dictionaries. `read` turns them into the dataclasses of `options` (what the core takes) or into the models
below (what only the pipelines take); a learner's settings are its template (`learner`) with the method's own (`jest.learner`) on top.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Interval, MinLen
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from superbatch.bounds import Because, Count, Natural, problem, require
from superbatch.declared import keys_at, kind_at, kinds, nearest
from superbatch.errors import UserError
from superbatch.nested import merge
from superbatch.options import (
    FURTHER,
    MAX_PIXELS,
    SECOND,
    AdviseSettings,
    AuditSettings,
    BootstrapSettings,
    CheckSettings,
    CurateSettings,
    DncSettings,
    EmbedSettings,
    EvaluateSettings,
    IconsSettings,
    JobsSettings,
    LabelSettings,
    LearnerSettings,
    ReferenceSettings,
    SearchSettings,
    SimwebSettings,
    TakeAwaySettings,
    TrackingSettings,
)

T = TypeVar("T")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CacheSettings(_Strict):
    """Where shards that lie in an object store are kept while they are in use.

    Attributes:
        folder: on a disk of this machine; it may be emptied at any time.
        gigabytes: what the shards in it take at most, 1e9 bytes each; 0 keeps none, and every image is a request.
    """

    folder: str = "data/.shards"
    gigabytes: Annotated[float, Interval(ge=0)] = 20.0


class Storage(_Strict):
    """Working folders outside Kedro's catalog and DVC.

    Attributes:
        state: training states by run hash (optimiser, step, random state); a killed run continues from here.
        stages: directories on their way to their place, and the records of what stands where.
        data_docs: Great Expectations' Data Docs, a folder a set; written where `ingest.data_docs` asks for them.
        cache: for shards in an object store.
    """

    state: str = "data/06_models/.state"
    stages: str = "data/.stages"
    data_docs: str = "data/08_reporting/data_docs"
    cache: CacheSettings = CacheSettings()


class Threshold(_Strict):
    """What one statistic of a set, or one measure of its samples, must be.

    Attributes:
        min, max: bounds, both included; without either, those of the default stay.
        mostly: of a measure, the share of samples that must keep to the bounds; without it, all of them.
        severity: whether a set that misses them stops the run, or gets a line in the log.
    """

    min: float | None = None
    max: float | None = None
    mostly: Annotated[float, Interval(gt=0, le=1)] | None = None
    severity: Literal["stop", "warn"] = "stop"


Thresholds = dict[str, Threshold | None]


class SetSettings(_Strict):
    """One training set.

    Attributes:
        shards: WebDataset shards: a glob, a brace pattern, or a list of both; relative to the project.
        expect: thresholds of the set, on top of `curation.statistics.DEFAULT_THRESHOLDS`: statistic or measure -> {min, max, mostly, severity}; null drops
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
        expect: thresholds of each split, as for a training set.
    """

    root: str
    splits: dict[str, str] = {"validation": "validation", "test": "test"}
    expect: Thresholds = {}


EvaluationSets = Annotated[dict[str, EvaluationSetSettings], MinLen(1), Because("no set is left", "one set or more")]


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
    evaluation: EvaluationSets
    jobs: Count = 2
    max_pixels: Annotated[int, Interval(ge=1, le=2 * MAX_PIXELS)] = MAX_PIXELS
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
        queries: classes whose nearest test images are shown, of the evaluation set of `metric` (captions of a retrieval set); empty:
            some, drawn at random.
    """

    metric: str = "classification/top1"
    title: str = "Superbatch"
    examples: Natural = 24
    queries: tuple[str, ...] = ()


class CompareSettings(_Strict):
    """The grid of runs: see `pipelines.compare.grid.expand` for the entries."""

    runs: list[dict[str, Any]] = []
    set: dict[str, Any] = {}  # settings of every run of the grid, by dotted name


SECTIONS: dict[str, Any] = {
    "storage": Storage,
    "simweb": SimwebSettings,
    "icons": IconsSettings,
    "ingest": IngestSettings,
    "jobs": JobsSettings,
    "reference": ReferenceSettings,
    "check": CheckSettings,
    "bootstrap": BootstrapSettings,
    "dnc": DncSettings,
    "embed": EmbedSettings,
    "curate": CurateSettings,
    "learner": LearnerSettings,
    "evaluate": EvaluateSettings,
    "report": ReportSettings,
    "audit": AuditSettings,
    "advise": AdviseSettings,
    "search": SearchSettings,
    "export": TakeAwaySettings,
    "compare": CompareSettings,
    "tracking": TrackingSettings,
}
# Keys that are no section: the list of methods that DVC makes, and further references by name, each a block over `reference`. Every other
# key is a method's own block.
METHODS, REFERENCES = "methods", "references"
METHOD_KEYS = ("learner",)
# What `reference` and the template `learner` may say of image-text pairs alone: a block with labels starts without it, and says it itself
# where it is to be refused.
REFERENCE_OF_PAIRS = {"import_from": None, "flexi": None}
LEARNER_OF_PAIRS: dict[str, Any] = {
    "warm_start": False,
    "flexi": None,
    "distill": None,
    "pool": {"keep_share": 1.0, "like_curated": 0.0, "clusters": 0, "balance": 0.0, "curated_by": None},
    "selection": {"score": "loss", "adapt": None, "then": None, "online_reference": None},
}
WITHOUT_PAIRS = ("labels", "moclr")  # settings by which a method trains on something else
ONE_OF_PAIRS = (
    "are for a further reference: this one is trained on image-text pairs",
    "set them in a block of `references`, as references.labels does",
)
ONE_ON_CURATED = (
    "is for a further reference: this one is trained on the curated set",
    "set it in a block of `references`, such as references.in_domain",
)
# Pydantic's names for it: in dataclasses, in models, and where it is a number.
UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden", "invalid_key")


def read(kind: type[T], values: Mapping[str, Any] | None, section: str) -> T:
    """Turn nested settings into a dataclass of `options` or a model of this module.

    Args:
        kind: the class.
        values: the settings; None counts as empty.
        section: where they stand in the parameters, for messages.

    Raises:
        UserError: an unknown key (with the nearest known one), a wrong type, a value out of range; the first one found.
    """
    if not isinstance(values, Mapping | None):
        raise UserError(section, f"{values!r} is not a block of settings", f"its keys: {', '.join(kinds(kind))}")
    block: Any = kind
    try:
        settings: T = _reader(block).validate_python(dict(values or {}))
    except ValidationError as error:
        raise _told(kind, error, section) from None
    return settings


@functools.cache  # cached by type: building it takes longer than reading
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def learner_settings(template: Mapping[str, Any], override: Mapping[str, Any] | None, method: str) -> LearnerSettings:
    """Read a method's settings: the template `learner` with `<method>.learner` on top.

    Raises:
        UserError: as `read`; the key is named where it stands.
    """
    read(LearnerSettings, template, "learner")  # first, so that a mistake in the template is named there
    return _on_top(template, override, f"{method}.learner")


def _on_top(template: Mapping[str, Any], override: Mapping[str, Any] | None, place: str) -> LearnerSettings:
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
    changed = _on_top(template, merge(base, getattr(wanted, part), place), place)
    require(
        changed.moclr is not None and not changed.pool.add_curated,
        place,
        "is trained on images of the pool alone",
        "leave moclr and pool as the base has them",
    )
    return changed


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


def method_names(parameters: Mapping[str, Any]) -> list[str]:
    """List the methods that the parameters define, in order: every block that is none of the sections."""
    return [key for key in parameters if key not in SECTIONS and key not in (METHODS, REFERENCES)]


def candidates(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the presets that `advise` tries out; none where the parameters have no such block."""
    block = parameters.get("advise")
    return () if block is None else read(AdviseSettings, block, "advise").candidates


def known_references(parameters: Mapping[str, Any]) -> list[str]:
    """List the references that a run may go by."""
    return ["reference", SECOND, *further_references(parameters)]


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


def _labels_of_known(name: str, where: str, parameters: Mapping[str, Any]) -> LabelSettings | None:
    """Return the label settings of a reference (None: it is trained on pairs). Refuse the name of a reference that no stage makes."""
    known = known_references(parameters)
    if name not in known:
        raise UserError(where, f"{name!r} is not among `references`", nearest(name, known))
    return labels_of_reference(name, parameters)


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


def labels_of_reference(name: str, parameters: Mapping[str, Any]) -> LabelSettings | None:
    """Return what a reference has for labels; None of one of pairs, and of a name that is not among `references`."""
    if name not in further_references(parameters):
        return None
    block = (parameters.get(REFERENCES) or {})[name.removeprefix(FURTHER)]
    return reference_settings(name, parameters.get("reference"), block).labels


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
        found = _on_top(parameters.get("learner") or {}, parameters[method].get("learner"), place)
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


def _told(kind: Any, error: ValidationError, section: str) -> UserError:
    """Turn pydantic's first finding into a UserError, with the words of the core's own check if it has one."""
    first = min(error.errors(), key=lambda found: found["type"] not in UNKNOWN_KEY)  # it explains a missing one
    location = [part for part in first["loc"] if not _is_branch(part)]
    unknown = first["type"] in UNKNOWN_KEY
    keys = [str(part) for part in location if unknown or isinstance(part, str)]  # numbers of items are left out
    where = ".".join([section, *keys])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return UserError(_join(where, cause.where), cause.what, cause.remedy)
    if unknown:
        return UserError(where, "unknown parameter", nearest(keys[-1], keys_at(kind, location[:-1]), {section: kind}))
    if first["type"] in ("missing", "missing_argument"):
        return UserError(where, "missing", "every project needs it; see conf/README.md")
    found = problem(str if first["loc"][-1] == "[key]" else kind_at(kind, location), first["input"])
    if found is not None:
        return UserError(".".join([where, *found.place]), found.what, found.remedy)
    return UserError(where, f"{first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}")


def _is_branch(part: Any) -> bool:
    """Whether a part of pydantic's location is not a key of ours: the branch of a union (`str`, `list[str]`), or `[key]`."""
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or "[" in part)


def _join(place: str, where: str) -> str:
    """Put a message's own key (`optimizer.warmup`) behind the place of its block (`learner.training.optimizer`)."""
    outer, _, block = place.rpartition(".")
    return ".".join(filter(None, [outer if block == where.split(".")[0] else place, where]))
