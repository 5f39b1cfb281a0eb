"""The list of runs that `compare` makes, from one YAML: method x filter ratio x steps x seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

from superbatch.errors import UserError


@dataclass(frozen=True)
class RunSpec:
    """One run of the grid: its name, its method and the settings that differ from the method's own.

    Attributes:
        name: `<label>-f<f>-T<steps>-s<seed>`; the label is the method unless an entry names another.
        method: a preset of parameters_methods.yml.
        overrides: nested settings, merged over the preset's.
    """

    name: str
    label: str
    method: str
    overrides: dict[str, Any] = field(hash=False)


ENTRY_KEYS = {"method", "label", "steps", "filter_ratio", "seeds", "set"}


def expand(compare: dict[str, Any] | None) -> list[RunSpec]:
    """Expand the block `compare` into runs, in the order of its entries, each name once.

    Args:
        compare: `runs`, a list of entries, and optionally `set`, settings of all of them; an entry's own `set` wins.

    Raises:
        UserError: an unknown key, a missing one, or two runs of one name.
    """
    specs: dict[str, RunSpec] = {}
    block = compare or {}
    for number, entry in enumerate(block.get("runs") or []):
        where = f"compare.runs[{number}]"
        unknown = set(entry) - ENTRY_KEYS
        if unknown or "method" not in entry or "steps" not in entry:
            what = f"unknown key {sorted(unknown)[0]!r}" if unknown else "needs `method` and `steps`"
            raise UserError(where, what, f"keys: {', '.join(sorted(ENTRY_KEYS))}")
        for spec in _entry(entry, block.get("set") or {}):
            if spec.name in specs:
                raise UserError(where, f"names {spec.name} a second time", "give one of the entries a `label`")
            specs[spec.name] = spec
    return list(specs.values())


def _entry(entry: dict[str, Any], common: dict[str, Any]) -> list[RunSpec]:
    label = entry.get("label", entry["method"])
    grid = product(_list(entry.get("filter_ratio", [None])), _list(entry["steps"]), _list(entry.get("seeds", [0])))
    runs = []
    for ratio, steps, seed in grid:
        overrides = merge_into(nested(common), nested(entry.get("set", {})))
        merge_into(overrides, {"training": {"steps": steps, "seed": seed}})
        if ratio is not None:
            merge_into(overrides, {"selection": {"filter_ratio": ratio}})
        name = "-".join([label, *([f"f{ratio:g}"] if ratio is not None else []), f"T{steps}", f"s{seed}"])
        runs.append(RunSpec(name, label, entry["method"], overrides))
    return runs


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def nested(dotted: dict[str, Any]) -> dict[str, Any]:
    """Turn `{"pool.keep_share": 0.3}` into `{"pool": {"keep_share": 0.3}}`; nested input stays as it is."""
    result: dict[str, Any] = {}
    for key, value in dotted.items():
        branch: Any = nested(value) if isinstance(value, dict) else value
        for part in reversed(str(key).split(".")):
            branch = {part: branch}
        merge_into(result, branch)
    return result


def merge_into(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Merge nested settings into `base` in place, the override winning; returns `base`."""
    for key, value in override.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge_into(base[key], value)
        else:
            base[key] = value
    return base
