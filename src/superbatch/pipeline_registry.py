"""The pipelines by name: stages, and chains of stages by method. Only what a command asks for is built."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.pipeline import Pipeline

from superbatch.options import SECOND
from superbatch.pipelines.naming import BEFORE_LEARNER

if TYPE_CHECKING:
    from superbatch.options import LearnerSettings, ReferenceSettings

# A node that reads another namespace's output (the report reads `jest.training`) names it with a dot; Kedro warns about any such name.
warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")

STAGES = (
    "simweb",
    "icons",
    "ingest",
    "verify",
    "reference",
    "check",
    "embed",
    "curate",
    "references",
    "bootstrap",
    "learner",
    "divide",
    "evaluate",
    "report",
    "audit",
    "search",
    "export",
    "compare",
)
# What the rules of an advice may name (`reporting.advice.rules`), beside its candidates.
ADVISED = (
    "uniform",
    "common_first",
    "easy_reference",
    "safe",
    "safe_common",
    "self_paced",
    "adaptive_self_paced",
    "adaptive_common",
    "flexi_self_paced",
)
BESIDE = {
    "jest": ("uniform",),
    "jest_pp": ("jest", "uniform"),
}  # methods whose chain has others beside it, so that its table compares
DEFAULT = "jest"
ADVISE = "advise"  # a chain that ends in an advice, not in a run
DNC = "dnc"  # a chain of its own: base, clusters, experts, student

_parameters: dict[str, Any] | None = None  # those of the running session, once there is one


def register_pipelines() -> Mapping[str, Pipeline]:
    """Return the pipelines by name: each stage, each method's chain, and `__default__`."""
    builders: dict[str, Callable[[], Pipeline]] = {stage: _stage_builder(stage) for stage in STAGES}
    builders |= {method: _chain_builder(method) for method in method_names()}
    builders |= {ADVISE: advise_chain, DNC: dnc_chain}
    return LazyPipelines(builders | {"__default__": _chain_builder(DEFAULT)})


def configure(parameters: Mapping[str, Any]) -> None:
    """Take the methods and the grid of runs from a session's parameters (its environment and --params included)."""
    global _parameters
    _parameters = dict(parameters)


def pipeline_names() -> list[str]:
    """List the names that `kedro run --pipelines` takes: chains first."""
    return [*method_names(), DNC, *STAGES, ADVISE, "__default__"]


def method_names() -> tuple[str, ...]:
    """List the methods: the blocks with a learner of their own."""
    from superbatch.config import REFERENCES

    known = _known_parameters().items()
    return tuple(name for name, block in known if isinstance(block, dict) and "learner" in block and name != REFERENCES)


def compared_runs() -> list[Any]:
    """List the runs of `compare` (`RunSpec`), in order."""
    from superbatch.pipelines.compare.grid import expand

    return expand(_known_parameters().get("compare"))


def audited_run() -> str:
    """Return the run that `audit` is about."""
    return str((_known_parameters().get("audit") or {}).get("run", DEFAULT))


def audit_reads_decisions() -> bool:
    """Whether `audit` reads what `curate` decided: where it is asked to tell of a decision, or the run draws by one."""
    block = _known_parameters().get("audit") or {}
    return block.get("decision") is not None or bool(curated_methods([audited_run()]))


def searching_runs() -> tuple[str, ...]:
    """Return the runs whose models `search` takes."""
    from superbatch.config import read
    from superbatch.options import SearchSettings

    return read(SearchSettings, _known_parameters().get("search"), "search").runs


def exported() -> tuple[str, tuple[str, ...]]:
    """Return the run that `export` takes away, and the sets that it writes cards of."""
    from superbatch.config import read
    from superbatch.options import TakeAwaySettings

    settings = read(TakeAwaySettings, _known_parameters().get("export"), "export")
    return settings.run, settings.sets


def further_names() -> list[str]:
    """List the references beside the first, `reference_<name>` for each block of `references`."""
    from superbatch.config import further_references

    return further_references(_known_parameters())


def further_settings() -> dict[str, ReferenceSettings]:
    """Read the settings of each of them, by its name."""
    from superbatch.config import REFERENCES, reference_settings
    from superbatch.options import FURTHER

    known = _known_parameters()
    first, blocks = known.get("reference"), known.get(REFERENCES) or {}
    return {name: reference_settings(name, first, blocks[name.removeprefix(FURTHER)]) for name in further_names()}


def label_references() -> tuple[str, ...]:
    """List those of them that are of labels: their losses choose, and nobody checks them, since the check is of pairs."""
    return tuple(name for name, settings in further_settings().items() if settings.labels is not None)


def trained_on() -> dict[str, str]:
    """Return the set that each of them is trained on, by its name."""
    return {name: settings.trained_on for name, settings in further_settings().items()}


def check_classes(method: str) -> None:
    """Refuse a method by labels whose reference has other classes.

    Raises:
        UserError: just that.
    """
    from superbatch.config import require_same_classes

    require_same_classes(_settings_of(method), f"{method}.learner.reference", _known_parameters())


def uses_pairs(method: str) -> bool:
    """Whether a method chooses or filters by a reference of pairs, or starts from it: then its chain checks the reference first."""
    settings = _settings_of(method)
    return settings.uses_reference and settings.labels is None


def reference_of(method: str) -> str:
    """Return the name of the reference that a method goes by: the first one where it uses none, too."""
    return _settings_of(method).goes_by


def _settings_of(method: str) -> LearnerSettings:
    from superbatch.config import learner_settings

    known = _known_parameters()
    return learner_settings(known.get("learner") or {}, (known.get(method) or {}).get("learner"), method)


def compared_by() -> dict[Any, str]:
    """Return the name of the reference that each run of `compare` (`RunSpec`) goes by, in the grid's order."""
    from superbatch.pipelines.compare import grid

    specs = compared_runs()
    by = {method: reference_of(method) for method in {spec.method for spec in specs}}
    return {spec: grid.reference_of(spec, by[spec.method]) for spec in specs}


def teachers_of(methods: Iterable[str]) -> dict[str, str]:
    """Return the models that teach some methods in their references' place, by method; those without one are left out."""
    found = {method: _settings_of(method).teacher for method in methods}
    return {method: teacher for method, teacher in found.items() if teacher is not None}


def compared_teachers() -> dict[str, str]:
    """Return those of the runs of `compare`, by the run's name."""
    from superbatch.pipelines.compare.grid import teacher_of

    found = {spec.name: teacher_of(spec, _known_parameters()) for spec in compared_runs()}
    return {name: teacher for name, teacher in found.items() if teacher is not None}


def curated_methods(methods: Iterable[str]) -> tuple[str, ...]:
    """List those of some methods that draw from what a decision keeps (`pool.curated_by`)."""
    return tuple(method for method in methods if _settings_of(method).pool.curated_by is not None)


def curated_runs() -> tuple[str, ...]:
    """List the runs of `compare` that do."""
    specs = compared_runs()
    own = curated_methods({spec.method for spec in specs})
    return tuple(spec.name for spec in specs if spec.overrides.get("pool.curated_by", spec.method in own or None))


def sources() -> tuple[str, ...]:
    """List the stages that make what `ingest` reads: the embedded default, the real pool; none for shards of one's own."""
    from superbatch.config import IngestSettings, read
    from superbatch.pipelines.sources import SOURCES, used_sources

    given = _known_parameters().get("ingest")
    return SOURCES[:1] if given is None else used_sources(read(IngestSettings, given, "ingest"))


class LazyPipelines(Mapping[str, Pipeline]):
    """Pipelines built when they are first asked for."""

    def __init__(self, builders: Mapping[str, Callable[[], Pipeline]]) -> None:
        self._builders, self._built = dict(builders), dict[str, Pipeline]()

    def __getitem__(self, name: str) -> Pipeline:
        """Return a pipeline, building it on first use."""
        if name not in self._built:
            self._built[name] = self._builders[name]()
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._builders)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._builders)


def chain(methods: tuple[str, ...]) -> Pipeline:
    """Return all stages for some methods, side by side, with one report at the end; none checks a reference that nobody uses."""
    checked, by = any(map(uses_pairs, methods)), {method: reference_of(method) for method in methods}
    references = tuple(
        dict.fromkeys(["reference", *reversed(by.values())])
    )  # the first method's own settings come last
    teachers = teachers_of(methods)
    references = (*(name for name in dict.fromkeys(teachers.values()) if name not in references), *references)
    data = sum((_create(source) for source in sources()), start=_create("ingest", sources()))
    reference = _create("reference") + (_create("check") if checked else Pipeline([])) + _create("embed", checked)
    reference += _create("bootstrap") if SECOND in references else Pipeline([])
    further, of_labels = [name for name in references if name not in ("reference", SECOND)], label_references()
    reference += _create("references", further, of_labels, trained_on())
    curated = curated_methods(methods)
    reference += _create("curate") if curated else Pipeline([])
    runs = _create("learner", by, checked, of_labels, curated, teachers)
    runs += _create("evaluate", (*references, *methods))
    return (data + reference).tag(BEFORE_LEARNER) + runs + _create("report", methods, sources(), references)


def advise_chain() -> Pipeline:
    """Return the stages before a learner, and the advice on which one to train."""
    from superbatch.config import candidates

    tried, methods = candidates(_known_parameters()), method_names()
    presets = dict.fromkeys([*tried, *(name for name in ADVISED if name in methods)])
    data = sum((_create(source) for source in sources()), start=_create("ingest", sources()))
    return (
        data + _create("reference") + _create("check") + _create("embed", True) + _create(ADVISE, tried, tuple(presets))
    )


def dnc_base() -> str:
    """Return the method whose learner is DnC's base."""
    from superbatch.config import read
    from superbatch.options import DncSettings

    return read(DncSettings, _known_parameters().get(DNC), DNC).base


def dnc_chain() -> Pipeline:
    """Return the chain of Divide and Contrast: that of its base, and beside the base the student."""
    base = dnc_base()
    made = _create("report", (DNC, base), sources())
    before = Pipeline([node for node in chain((base,)).nodes if node.name != "report"])
    return before + _create("divide", base) + _create("evaluate", (DNC,)) + made


def _create(stage: str, *arguments: Any) -> Pipeline:
    create: Callable[..., Pipeline] = import_module(f"superbatch.pipelines.{stage}.pipeline").create_pipeline
    return create(*arguments)


def _stage_builder(stage: str) -> Callable[[], Pipeline]:
    arguments: dict[str, Callable[[], tuple[Any, ...]]] = {
        "ingest": lambda: (sources(),),
        "learner": lambda: (
            {method: reference_of(method) for method in method_names()},
            True,
            label_references(),
            curated_methods(method_names()),
            teachers_of(method_names()),
        ),
        "references": lambda: (further_names(), label_references(), trained_on()),
        "divide": lambda: (dnc_base(),),
        "evaluate": lambda: (("reference", SECOND, *further_names(), *method_names(), DNC),),
        "report": lambda: ((), sources()),
        "audit": lambda: (audited_run(), sources(), reference_of(audited_run()), audit_reads_decisions()),
        "search": lambda: (searching_runs(),),
        "export": lambda: exported(),
        "compare": lambda: (compared_by(), label_references(), curated_runs(), compared_teachers()),
    }
    return lambda: _create(stage, *arguments.get(stage, tuple)())


def _chain_builder(method: str) -> Callable[[], Pipeline]:
    return lambda: chain((method, *BESIDE.get(method, ())))


def _known_parameters() -> dict[str, Any]:
    """The session's parameters; before there is a session (`kedro registry list`), what conf/base says."""
    if _parameters is not None:
        return _parameters
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    files = sorted((project / "conf" / "base").glob("parameters*.yml"))
    return _parsed(tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=1)  # parsing the grid takes longer than building the rest of a pipeline
def _parsed(files: tuple[tuple[Path, int], ...]) -> dict[str, Any]:
    """Read parameter files, each with its time of change."""
    import yaml

    found: dict[str, Any] = {}
    for file, _ in files:
        found |= yaml.safe_load(file.read_text()) or {}
    return found
