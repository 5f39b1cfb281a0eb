"""Which method each run of a grid is a candidate of: a label may stand for other tuned settings, or for a method of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from superbatch.config import learner_settings
from superbatch.pipelines.compare.grid import RunSpec, expand, override_of


def candidates(
    compare: dict[str, Any], template: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, str]:
    """Return the method that each run of a grid is a candidate of, by the run's name.

    A labelled run is one of its entry's method where it differs from that method's own runs in tuned settings alone
    (`reporting.configuration.family`). Else it goes by its label; of several labels that differ so, by the plainest.
    The settings of the grid decide, not the runs' records, which older versions wrote with fewer settings.

    Args:
        compare: `params:compare`; template: `params:learner`.
        methods: `params:<method>.learner` by method.

    Raises:
        UserError: settings that no run could have.
    """
    specs = expand(compare)
    labelled = [spec for spec in specs if spec.label != spec.method]
    as_long = {spec.method: spec.overrides["training.steps"] for spec in labelled}
    plain = expand({**compare, "runs": [{"method": method, "steps": steps} for method, steps in as_long.items()]})
    kin = _Kin(template, methods)
    own = {kin.of(spec) for spec in [*plain, *specs] if spec.label == spec.method and spec.method in as_long}
    labels: dict[Any, Counter[str]] = {}
    for spec in labelled:
        labels.setdefault(kin.of(spec), Counter())[spec.label] += 1

    def method(spec: RunSpec) -> str:
        if spec.label == spec.method or kin.of(spec) in own:
            return spec.method
        count = labels[kin.of(spec)]
        return min(count, key=lambda label: (-count[label], len(label), label))

    return {spec.name: method(spec) for spec in specs}


class _Kin:
    """What makes a run a method of its own: equal for candidates of one method. Reading settings is slow, so seeds share one."""

    def __init__(self, template: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any] | None]) -> None:
        self.template, self.methods = template, methods
        self.known: dict[str, tuple[str, str, str]] = {}

    def of(self, spec: RunSpec) -> tuple[str, str, str]:
        """Method, family and reference of a run."""
        key = f"{spec.method} {spec.overrides | {'training.seed': 0}}"
        if key not in self.known:
            self.known[key] = self._read(spec)
        return self.known[key]

    def _read(self, spec: RunSpec) -> tuple[str, str, str]:
        from superbatch.reporting.configuration import family  # it loads pandas, which the list of runs doesn't need

        settings = learner_settings(self.template, override_of(spec, self.methods[spec.method]), spec.name)
        return spec.method, family(asdict(settings)), settings.reference
