"""The house of DESIGN.md: who may import whom, and that the core stands alone."""

import ast
import functools
import importlib
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "superbatch"
GROUND = {
    "__init__",
    "errors",
    "extras",
    "files",
    "listing",
    "markdown",
    "stores",
    "progress",
    "declared",
    "bounds",
    "nested",
    "options",
    "artifacts",
    "jobs",
    "config",
}
FLOORS = [
    GROUND,
    {"selection", "losses", "models", "data"},
    {"simweb", "icons", "training", "evaluation", "curation"},
    {"tasks", "dnc", "reporting", "exporting", "tracking", "datasets"},
    {"pipelines"},
    {
        "hooks",
        "beforehand",
        "checks",
        "tracked",
        "damaged",
        "settings",
        "pipeline_registry",
        "cli",
        "given",
        "mistakes",
        "commands",
        "entry",
        "__main__",
        "doctor",
        "starter",
    },
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
SHARED = {("selection", "losses"), ("dnc", "tasks")}  # pair losses; DnC trains what tasks make
KEDRO_FILES = {
    "hooks.py",
    "beforehand.py",
    "checks.py",
    "tracked.py",
    "settings.py",
    "pipeline_registry.py",
    "cli.py",
    "mistakes.py",
    "commands.py",
    "entry.py",
}
FRAMEWORKS = {"kedro", "kedro_datasets", "dvc", "great_expectations", "pydantic"}
CORE = [
    "selection",
    "losses",
    "models",
    "data",
    "simweb",
    "icons",
    "training",
    "evaluation",
    "tasks",
    "dnc",
    "reporting",
    "exporting",
    "curation",
    "tracking",
]
FILES = sorted(SOURCE.rglob("*.py"))
VERSION = {"superbatch", "superbatch.__version__"}  # whoever asks for it needs nothing else of the package


@functools.cache
def imports(file: Path) -> set[str]:
    """Dotted names of everything a file imports, inside functions and for type checking too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_nothing_imports_upwards_or_sideways(file: Path) -> None:
    room = room_of(file)
    others = {name.split(".")[1] for name in imports(file) if name.startswith("superbatch.")} & set(FLOOR) - {room}
    for other in others:
        sideways_is_fine = room in GROUND or room in KEDRO_FILES or FLOOR[room] == 5 or (room, other) in SHARED
        assert FLOOR[other] < FLOOR[room] or (FLOOR[other] == FLOOR[room] and sideways_is_fine), (
            f"{room} imports {other}"
        )


def file_of(name: str) -> Path | None:
    """Our file that a dotted name stands for: a module's own, else that of the package or module which holds the name."""
    place = SOURCE.parent.joinpath(*name.split("."))
    files = [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    parent = name.rpartition(".")[0]
    return files[0] if files else file_of(parent) if parent else None


def test_no_two_files_import_each_other() -> None:
    """Neither directly nor in a longer circle. Whoever takes a name from a package imports its `__init__.py`."""
    graph = {file: {other for name in imports(file) - VERSION if (other := file_of(name))} for file in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = [file.relative_to(SOURCE).as_posix() for file in reversed(error.args[1])]
        pytest.fail(" imports ".join(circle))


def test_every_room_has_a_floor() -> None:
    assert {room_of(file) for file in FILES} <= set(FLOOR)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_frameworks_stay_in_their_places(file: Path) -> None:
    used = {name.split(".")[0] for name in imports(file)} & FRAMEWORKS
    place = file.relative_to(SOURCE)
    allowed: set[str] = set()
    if place.parts[0] in ("pipelines", "datasets") or place.name in KEDRO_FILES:
        allowed = {"kedro", "kedro_datasets"}
    elif place.as_posix() == "curation/expectations.py":
        allowed = {"great_expectations"}
    elif place.parts[0] == "doctor":
        allowed = {"kedro"}
    elif place.parts[0] == "config":
        allowed = {"pydantic"}
    assert used <= allowed


def test_trackers_packages_stay_in_their_files() -> None:
    """An optional extra: nothing else needs it."""
    packages = {"tensorboard", "mlflow", "dvclive"}
    users = {file.name for file in FILES if {name.split(".")[0] for name in imports(file)} & packages}
    assert users <= {f"to_{name}.py" for name in packages}


@pytest.mark.parametrize(
    "file", [f for f in FILES if room_of(f) in CORE], ids=lambda file: str(file.relative_to(SOURCE))
)
def test_the_core_takes_plain_settings(file: Path) -> None:
    assert not any(name.startswith("superbatch.config") for name in imports(file))


@pytest.mark.parametrize("file", sorted((SOURCE / "training").glob("*.py")), ids=lambda file: file.name)
def test_the_engine_names_nothing_of_a_method(file: Path) -> None:
    """What lies behind a field's or a model's name is the task's affair."""
    found = re.findall(r"(?i)tower|caption|token|\bclip\b|pixel", file.read_text())
    assert not found, f"{file.name} speaks of {', '.join(sorted(set(found)))}"


ALONE = """
import importlib, pkgutil
from tests.core_alone import hide
hide()  # all that the core doesn't need: the frameworks, and what only they bring
import superbatch
for room in {rooms!r}:
    package = importlib.import_module(f"superbatch.{{room}}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if ".to_" not in module.name:  # a tracker's own module, with the package of an extra
            importlib.import_module(module.name)
"""


def test_the_core_imports_without_the_frameworks() -> None:
    run_python(ALONE.format(rooms=CORE))


LIGHT = """
import sys
from superbatch.pipeline_registry import register_pipelines
from superbatch.datasets import DirectoryDataset
pipelines = register_pipelines()
assert all(len(pipelines[name].nodes) for name in pipelines)
heavy = {"torch", "torchvision", "open_clip", "matplotlib", "sklearn", "great_expectations", "pandas", "pyarrow"} & set(sys.modules)
assert not heavy, heavy
"""


def test_building_every_pipeline_imports_nothing_heavy() -> None:
    run_python(LIGHT)


def run_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SOURCE.parents[1])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", sorted((SOURCE.parents[1] / "benchmarks").glob("*.py")), ids=lambda file: file.name)
def test_benchmarks_import_what_there_is(file: Path) -> None:
    """mypy does not read them, and `make test` runs few: a module that moved would be missed when somebody measures."""
    missing = [
        name
        for name in imports(file)
        if name.startswith("superbatch.") and name not in VERSION and not _is_there(name.rpartition("."))
    ]
    assert not missing


def _is_there(name: tuple[str, str, str]) -> bool:
    module, _, attribute = name
    try:
        return hasattr(importlib.import_module(module), attribute) or bool(
            importlib.import_module(f"{module}.{attribute}")
        )
    except ModuleNotFoundError:
        return False
