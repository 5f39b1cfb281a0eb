"""Parameters as typed settings: unknown keys are refused, and every mistake is a one-line error.

Kedro hands nodes plain dictionaries. `read` turns them into the dataclasses of `options` (what the core takes) or into the models of
`blocks` (what only the pipelines take); a learner's settings are its template (`learner`) with the method's own (`jest.learner`) on top.
"""

from superbatch.config.blocks import (
    METHOD_KEYS,
    METHODS,
    REFERENCES,
    SECTIONS,
    CacheSettings,
    CompareSettings,
    EvaluationSetSettings,
    IngestSettings,
    ReportSettings,
    SetSettings,
    Storage,
    Threshold,
    Thresholds,
)
from superbatch.config.checking import candidates, check_dnc, check_parameters, method_names
from superbatch.config.learners import dnc_learner, learner_settings
from superbatch.config.reading import read
from superbatch.config.references import (
    further_references,
    known_references,
    labels_of_reference,
    reference_settings,
    require_reference,
    require_same_classes,
    second_reference,
)

__all__ = [
    "METHODS",
    "METHOD_KEYS",
    "REFERENCES",
    "SECTIONS",
    "CacheSettings",
    "CompareSettings",
    "EvaluationSetSettings",
    "IngestSettings",
    "ReportSettings",
    "SetSettings",
    "Storage",
    "Threshold",
    "Thresholds",
    "candidates",
    "check_dnc",
    "check_parameters",
    "dnc_learner",
    "further_references",
    "known_references",
    "labels_of_reference",
    "learner_settings",
    "method_names",
    "read",
    "reference_settings",
    "require_reference",
    "require_same_classes",
    "second_reference",
]
