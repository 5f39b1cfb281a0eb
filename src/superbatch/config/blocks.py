"""The blocks of parameters that only the pipelines take, as pydantic models, and the list of all blocks."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from annotated_types import Interval, MinLen
from pydantic import BaseModel, ConfigDict, field_validator

from superbatch.bounds import Because, Count, Natural
from superbatch.options import (
    MAX_PIXELS,
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
    LearnerSettings,
    ReferenceSettings,
    SearchSettings,
    SimwebSettings,
    TakeAwaySettings,
    TrackingSettings,
)


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
        root: its folder (dataset_type.txt, classnames.txt, templates, one folder a split); relative to the project, `~` is the home folder.
        splits: which of its folders, or of its shards (`val-*.tar`), are what; `validation` is looked at during training, `test` at
            the end.
        expect: thresholds of each split, as for a training set.
    """

    root: str
    splits: dict[str, str] = {"validation": "validation", "test": "test"}
    expect: Thresholds = {}

    @field_validator("root")
    @classmethod
    def _at_home(cls, root: str) -> str:
        return os.path.expanduser(root)


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
