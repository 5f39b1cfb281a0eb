"""All settings as plain, frozen dataclasses, which the core packages take.

`config/` reads them from Kedro's parameters; a library user makes them directly. Both get the same errors: bounds are declared once,
in the annotations (`bounds`). A new block: a dataclass in the file of its family (`class XSettings(Settings, section="x")`), a line here.
"""

from superbatch.options.advise import AdviseSettings, BudgetSettings
from superbatch.options.audit import VERDICTS, AuditSettings, ExportSettings
from superbatch.options.augment import AugmentSettings
from superbatch.options.bootstrap import BootstrapSettings
from superbatch.options.check import CheckSettings
from superbatch.options.curate import CurateSettings, RuleSettings
from superbatch.options.data import MAX_PIXELS, EmbedSettings, IconsSettings, SimwebSettings
from superbatch.options.dnc import DncSettings
from superbatch.options.evaluate import (
    EvaluateSettings,
    FewShotSettings,
    FineTuneSettings,
    KnnSettings,
    LinearProbeSettings,
)
from superbatch.options.export import TakeAwaySettings
from superbatch.options.flexi import FlexiSettings, LowSettings
from superbatch.options.images import MoclrSettings
from superbatch.options.jobs import JobsSettings
from superbatch.options.labels import LabelSettings
from superbatch.options.runs import (
    FURTHER,
    SECOND,
    DistillSettings,
    LearnerSettings,
    PoolSettings,
    ReferenceSettings,
    check_added,
    check_shard,
    is_reference,
)
from superbatch.options.search import SearchSettings
from superbatch.options.selection import (
    LOOK_BACK,
    ONLINE,
    PROXY,
    AdaptSettings,
    OnlineReferenceSettings,
    Rule,
    SelectionSettings,
    Stretch,
    ThenSettings,
)
from superbatch.options.tracking import TRACKERS, TrackingSettings
from superbatch.options.training import ModelSettings, OptimizerSettings, TrainingSettings

__all__ = [
    "FURTHER",
    "LOOK_BACK",
    "MAX_PIXELS",
    "ONLINE",
    "PROXY",
    "SECOND",
    "TRACKERS",
    "VERDICTS",
    "AdaptSettings",
    "AdviseSettings",
    "AuditSettings",
    "AugmentSettings",
    "BootstrapSettings",
    "BudgetSettings",
    "CheckSettings",
    "CurateSettings",
    "DistillSettings",
    "DncSettings",
    "EmbedSettings",
    "EvaluateSettings",
    "ExportSettings",
    "FewShotSettings",
    "FineTuneSettings",
    "FlexiSettings",
    "KnnSettings",
    "IconsSettings",
    "JobsSettings",
    "LabelSettings",
    "LearnerSettings",
    "LinearProbeSettings",
    "LowSettings",
    "MoclrSettings",
    "ModelSettings",
    "OnlineReferenceSettings",
    "OptimizerSettings",
    "PoolSettings",
    "ReferenceSettings",
    "check_added",
    "check_shard",
    "Rule",
    "RuleSettings",
    "SearchSettings",
    "SelectionSettings",
    "SimwebSettings",
    "Stretch",
    "TakeAwaySettings",
    "ThenSettings",
    "TrackingSettings",
    "TrainingSettings",
    "is_reference",
]
