"""The list of runs that `compare` makes, from one YAML: method x filter ratio x steps x seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from superbatch.config import CompareSettings, learner_settings, read, require_reference
from superbatch.errors import UserError
from superbatch.nested import dotted, from_dotted, merge
from superbatch.options import LearnerSettings


@dataclass(frozen=True)
class RunSpec:
    """One run of the grid: its name, its method and the settings that differ from the method's own.

    Attributes:
        name: `<label>-f<f>-T<steps>-s<seed>`; the label is the method unless an entry names another.
        method: a preset of parameters_methods.yml.
        overrides: settings by dotted name, laid over the preset's.
    """

    name: str
    label: str
    method: str
    overrides: dict[str, Any] = field(hash=False)


ENTRY_KEYS = {"method", "label", "steps", "filter_ratio", "seeds", "set"}
LISTS = ("filter_ratio", "steps", "seeds")  # the keys whose values may be lists: a run for each


def expand(compare: dict[str, Any] | None) -> list[RunSpec]:
    """Expand the block `compare` into runs, in the order of its entries, each name once.

    Args:
        compare: `runs`, a list of entries, and optionally `set`, settings of all of them; an entry's own `set` wins.

    Raises:
        UserError: entries that are no list of blocks, an unknown key, a missing one, a value that is none, or two runs of one name.
    """
    specs: dict[str, RunSpec] = {}
    block = read(CompareSettings, compare, "compare")
    for number, entry in enumerate(block.runs):
        where = f"compare.runs[{number}]"
        _check_entry(entry, where)
        for spec in _entry(entry, block.set):
            if spec.name in specs:
                raise UserError(where, f"names {spec.name} a second time", "give one of the entries a `label`")
            specs[spec.name] = spec
    return list(specs.values())


def _check_entry(entry: dict[str, Any], where: str) -> None:
    """Refuse an entry that no run can be made of; the settings that it leads to are checked later."""
    unknown = set(entry) - ENTRY_KEYS
    if unknown or "method" not in entry or "steps" not in entry:
        what = f"unknown key {sorted(unknown)[0]!r}" if unknown else "needs `method` and `steps`"
        raise UserError(where, what, f"keys: {', '.join(sorted(ENTRY_KEYS))}")
    if not isinstance(entry.get("set") or {}, Mapping):
        raise UserError(f"{where}.set", f"{entry['set']!r} is not a block of settings", "give names and values")
    for key in LISTS:
        if key in entry and not _list(entry[key]):
            raise UserError(f"{where}.{key}", "is an empty list, so this entry has no run", "give at least one value")
    for ratio in _list(entry.get("filter_ratio")):
        if ratio is not None and not isinstance(ratio, (int, float)):
            raise UserError(f"{where}.filter_ratio", f"{ratio!r} is not a number", "write it as in 0.8, without quotes")


def _entry(entry: dict[str, Any], common: dict[str, Any]) -> list[RunSpec]:
    label = str(entry.get("label") or entry["method"])
    grid = product(_list(entry.get("filter_ratio", [None])), _list(entry["steps"]), _list(entry.get("seeds", [0])))
    shared = dict(dotted(common)) | dict(dotted(entry.get("set") or {}))
    runs = []
    for ratio, steps, seed in grid:
        own = {"training.steps": steps, "training.seed": seed}
        own |= {} if ratio is None else {"selection.filter_ratio": ratio}
        name = "-".join([label, *([f"f{ratio:g}"] if ratio is not None else []), f"T{steps}", f"s{seed}"])
        runs.append(RunSpec(name, label, entry["method"], shared | own))
    return runs


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def override_of(spec: RunSpec, method: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a run changes in the template `learner`: its method's settings with its own on top, nested."""
    return merge(method, from_dotted(spec.overrides), f"{spec.name}.learner")


def settings_of(
    specs: Iterable[RunSpec], template: Mapping[str, Any], methods: Mapping[str, Any]
) -> dict[str, LearnerSettings]:
    """Read the settings of runs, one for all seeds, before the first of them is trained.

    Args:
        template: `params:learner`; methods: `params:<method>.learner` by method.

    Returns:
        Settings by the run's name.

    Raises:
        UserError: the first mistake, named by its run.
    """
    without_seeds = {f"{spec.method} {spec.overrides | {'training.seed': 0}}": spec for spec in specs}
    return {
        spec.name: learner_settings(template, override_of(spec, methods[spec.method]), spec.name)
        for spec in without_seeds.values()
    }


def check_reference(spec: RunSpec, parameters: Mapping[str, Any]) -> None:
    """Check the reference of a run, where it may be another one than its method's, which is checked.

    Raises:
        UserError: nobody makes it, or it is not of the learner's kind.
    """
    own = parameters[spec.method]["learner"] or {}
    if "labels" in own or any(key.split(".")[0] in ("reference", "labels", "distill") for key in spec.overrides):
        found = settings_of([spec], parameters.get("learner") or {}, {spec.method: own})
        require_reference(found[spec.name], f"compare: {spec.name}", parameters)


def reference_of(spec: RunSpec, by_method: str) -> str:
    """Return the name of the reference that a run goes by.

    Args:
        by_method: the one that its method goes by.
    """
    return str(spec.overrides.get("reference", by_method))


def teacher_of(spec: RunSpec, parameters: Mapping[str, Any]) -> str | None:
    """Return the model that teaches a run in its reference's place; None where there is none."""
    template, own = parameters.get("learner") or {}, (parameters.get(spec.method) or {}).get("learner") or {}
    named = any(key.split(".")[0] == "distill" for key in spec.overrides)
    if not (template.get("distill") or own.get("distill") or named):
        return None  # reading the settings of a whole grid takes long
    return settings_of([spec], template, {spec.method: own})[spec.name].teacher


def methods_of(specs: Iterable[RunSpec]) -> list[str]:
    """List the methods of some runs, each once."""
    return list(dict.fromkeys(spec.method for spec in specs))
