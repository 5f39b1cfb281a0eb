"""Run directories, read lazily."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from superbatch.data.order import Order, candidates_of, growth_of
from superbatch.data.windows import MEASUREMENTS, Looks, falling, measured_order, stretches_of, takes_all
from superbatch.errors import UserError
from superbatch.files import AGAIN, read_json
from superbatch.options import AdaptSettings, SelectionSettings, Stretch, ThenSettings, TrainingSettings, is_reference
from superbatch.reporting.accounts import one_off_flops, totals
from superbatch.reporting.configuration import configuration, family, given_start
from superbatch.reporting.measured import Measured, measured, test_intervals
from superbatch.reporting.metrics import MEAN, flat_metrics

Role = Literal["reference", "uniform", "simple", "selecting"]
Kind = Literal["pairs", "classes", "images"]  # what a run was trained on

_RUN_NAME = re.compile(r"(?P<method>.+?)(-f[\d.]+)?-T\d+-s\d+.*")  # of `compare`
_SELECTION_METHODS = {"uniform", "independent", "joint"}
_SIMPLE_NAMES = ("filtered", "balanced_filter", "warm", "pool_")


class Run:
    """One run directory (`<run>/training/run.json`, ledger, picks, evaluations; `<run>/evaluation/*.json`).

    Nothing is read before it is asked for, and each file once. Parts that are missing are None or empty:
    a report says so in a sentence. A file that is there and can't be read is a UserError that names it.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or self.path.name

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    @cached_property
    def record(self) -> dict[str, Any]:
        """What run.json says: settings, plan, digests, FLOPs, seconds, final metrics, status."""
        path = self.path / "training" / "run.json"
        record = read_json(path)
        if not isinstance(record, dict) or not record:
            raise UserError(
                str(path), "is not a run's record", "run the learner stage again, or delete the run's folder"
            )
        return record

    @cached_property
    def ledger(self) -> pd.DataFrame | None:
        """One row a training step, ordered; `step` counts finished steps (from 1), whatever the file's base."""
        frame = self._parquet("ledger")
        if frame is None or frame.empty:
            return None
        frame = frame.sort_values("step", ignore_index=True)
        return frame.assign(step=frame["step"] + (1 if frame["step"].iloc[0] == 0 else 0))

    @cached_property
    def evaluations(self) -> pd.DataFrame | None:
        """Metrics during training: step, name, value, split."""
        frame = self._parquet("evaluations")
        return None if frame is None or frame.empty else frame

    @cached_property
    def picks(self) -> pd.DataFrame | None:
        """Chosen rows and a sample of those passed over: step, row, score, chosen; None where nothing was chosen."""
        frame = self._parquet("picks")
        return None if frame is None or frame.empty else frame

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """The evaluate stage's JSON by evaluation set."""
        found = {path.stem: read_json(path) for path in sorted((self.path / "evaluation").glob("*.json"))}
        return {name: result for name, result in found.items() if isinstance(result, dict) and "metrics" in result}

    @cached_property
    def tested(self) -> dict[str, dict[str, Any]]:
        """`results` of the test split alone."""
        return {name: result for name, result in self.results.items() if result.get("split", "test") == "test"}

    @cached_property
    def test(self) -> dict[str, float]:
        """Test metrics as `<set>/<metric>`, and `headline`, the mean of the sets' main ones; empty without any."""
        found = {
            key: value for name, result in self.tested.items() for key, value in flat_metrics(result, name).items()
        }
        mains = [float(result["main"]) for result in self.tested.values() if "main" in result]
        return found | ({MEAN: float(np.mean(mains))} if mains else {})

    @cached_property
    def test_low(self) -> dict[str, float]:
        """Test metrics in the low view of a model that has one, as `low/<set>/<metric>`: for the record, no headline counts them."""
        parts = (flat_metrics(result.get("low") or {}, f"low/{name}") for name, result in self.tested.items())
        return {key: value for part in parts for key, value in part.items()}

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals over the images or texts of the test sets, by `<set>/<metric>`; the headline's is the mean of theirs."""
        return test_intervals(self.tested)

    def measured(self, metric: str) -> Measured:
        """What is known of a metric's test set: chance, size, which images were hit."""
        return measured(metric, self.tested)

    @cached_property
    def validation(self) -> dict[str, float]:
        """Final validation metrics, from run.json or else the last evaluation during training."""
        final = self.record.get("final")
        if isinstance(final, dict) and final:
            return flat_metrics(final)
        if self.evaluations is None:
            return {}
        kept = self.evaluations[self.evaluations["split"] == "validation"]
        last = kept[kept["step"] == kept["step"].max()]
        return dict(zip(last["name"], last["value"].astype(float), strict=True))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as run.json has them."""
        return self.record.get("settings") or {}

    @property
    def plan(self) -> dict[str, Any]:
        """Rows, super-batch and batch size, steps and epochs, as planned."""
        return self.record.get("plan") or {}

    @property
    def method(self) -> str:
        """The preset's name; read off the run's name where run.json has only the selection's kind (`joint`).

        The name that it goes by now counts first: a run that is found again under another one was recorded by that of its training.
        """
        recorded, own = self.record.get("method"), self.name.rsplit("/", 1)[-1]
        if recorded and recorded not in _SELECTION_METHODS:
            return str(recorded)
        if match := _RUN_NAME.fullmatch(own):
            return match["method"]
        trained_as = str(self.record.get("run") or own).rsplit("/", 1)[-1]
        match = _RUN_NAME.fullmatch(trained_as)
        return match["method"] if match else trained_as

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.record.get("seed", self.setting("training", "seed", 0)) or 0)

    @property
    def steps(self) -> int:
        """Steps of the schedule."""
        return int(self.plan.get("steps") or self.setting("training", "steps", 0))

    @property
    def batch_size(self) -> int:
        """b, the size of what is trained on at a step."""
        return int(self.plan.get("batch_size") or self.setting("training", "batch_size", 0))

    @property
    def super_batch_size(self) -> int:
        """B, the size of what is drawn at a step."""
        return int(self.plan.get("super_batch_size") or self.batch_size)

    def order(self, rows: int, aside: int = 0) -> Order:
        """Which of so many rows each step looked at; `aside`: how many more it measured by."""
        window = self.setting("training", "shuffle_window", 0)
        b = self.batch_size
        candidates = candidates_of(self.selection, b, self.steps)
        first = self.setting("training", "first_share", 1.0)
        over = self.setting("training", "grows_over", TrainingSettings.grows_over)
        own = Order(self.seed, rows, self.super_batch_size, window, candidates, growth_of(first, over, self.steps))
        return measured_order(own, self.selection, b, self.looks, aside) if self.shares else own

    @cached_property
    def shares(self) -> list[float]:
        """The shares of right pairs that it measured, in order of steps, where f followed the learner; empty where it did not."""
        return list(self.looks.shares)

    @cached_property
    def looks(self) -> Looks:
        """All that it measured for f to follow."""
        return Looks.recorded(*map(self._measured, MEASUREMENTS))

    @property
    def takes_all(self) -> bool:
        """Whether it took all pairs in the end, since captions were found to be labels."""
        return takes_all(self.selection, self.looks)

    @property
    def fell(self) -> range | None:
        """The steps over which f fell to 0, since captions were found to be labels; from then on it drew from the rows too that it had measured by."""
        return falling(self.selection, self.looks)

    def _measured(self, which: tuple[str, str]) -> list[float]:
        if self.selection.adapt is None or self.evaluations is None:
            return []
        name, split = which
        kept = self.evaluations[(self.evaluations["name"] == name) & (self.evaluations["split"] == split)]
        return [float(value) for value in kept.sort_values("step")["value"]]

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Which steps chose by which rule."""
        return stretches_of(self.selection, self.steps, self.looks)

    @property
    def new_kind(self) -> int | None:
        """The first step whose scores are of another kind than those before; None where all are of one."""
        parts = self.stretches
        return next((part.steps.start for part in parts[1:] if part.rule.criterion != parts[0].rule.criterion), None)

    def looked_at(self, steps: np.ndarray) -> np.ndarray:
        """Return how many rows some steps chose from, int64 (n,)."""
        order = self.order(self.super_batch_size)
        return np.array([order.size(int(step)) for step in steps], np.int64)

    @property
    def selection(self) -> SelectionSettings:
        """By which rules it chose, as far as that was recorded; uniform where nothing was."""
        names = ("method", "criterion", "filter_ratio", "final_filter_ratio", "falls_over")
        known = {name: value for name in names if (value := self.setting("selection", name)) is not None}
        then, adapt = (self.setting("selection", name) for name in ("then", "adapt"))
        return SelectionSettings(**known, then=then and ThenSettings(**then), adapt=adapt and AdaptSettings(**adapt))

    @property
    def own_score(self) -> str | None:
        """The score by which it chose, where that is no criterion of `selection` but its method's own."""
        return self.record.get("score")

    @property
    def filter_ratio(self) -> float:
        """f = 1 - b/B as set, at the first step; 0 for a run that trains on all it draws."""
        if self.role != "selecting":
            return 0.0
        set_to = self.setting("selection", "filter_ratio")
        return float(set_to) if set_to is not None else round(1 - self.batch_size / max(1, self.super_batch_size), 3)

    @property
    def role(self) -> Role:
        """What the run stands for in a comparison, by its settings rather than by its name."""
        if is_reference(self.method) or is_reference(self.name.rsplit("/", 1)[-1]):
            return "reference"
        if (
            self.setting("selection", "method", "uniform" if self.super_batch_size == self.batch_size else "joint")
            != "uniform"
        ):
            return "selecting"
        altered = (
            self.setting("pool", "keep_share", 1.0) < 1
            or self.setting("pool", "curated_by") is not None
            or self.setting("pool", "add_curated", False)
            or self.setting("training", "first_share", 1.0) < 1
            or self.settings.get("warm_start", False)
            or self.settings.get("flexi") is not None
            or self.settings.get("distill") is not None
            or self.kind == "images"
        )
        return "simple" if altered or self.method.startswith(_SIMPLE_NAMES) else "uniform"

    @property
    def by_labels(self) -> bool:
        """Whether it was trained on classes rather than on image-text pairs."""
        return self.settings.get("labels") is not None

    @property
    def kind(self) -> Kind:
        """What it was trained on."""
        if any(self.settings.get(name) is not None for name in ("moclr", "student")):
            return "images"
        return "classes" if self.by_labels else "pairs"

    @property
    def pool(self) -> str | None:
        """Fingerprint of the pool that it drew from, the first of its sets; None where it was not recorded, and of a reference, which has its own set."""
        return None if self.role == "reference" else next(iter(self.settings.get("sets") or []), None)

    @property
    def given_start(self) -> bool:
        """Whether it started from weights that it was given (`configuration.given_start`)."""
        return given_start(self.settings)

    @property
    def complete(self) -> bool:
        """Whether the run went through its whole schedule and that schedule ends (a constant rate does not)."""
        if self.setting("training", "optimizer", {}).get("schedule", "cosine") != "cosine":
            return False
        if self.record.get("status") in {"running", "interrupted", "failed", "stopped", "killed"}:
            return False
        return self.ledger is None or self.steps == 0 or int(self.ledger["step"].iloc[-1]) >= self.steps

    @property
    def configuration(self) -> str:
        """Fingerprint of the settings that make the run what it is: equal for repeats with other seeds."""
        return configuration(self.method, self.steps, self.settings)

    @cached_property
    def family(self) -> str:
        """Fingerprint of the settings without those that are tuned (`configuration.family`)."""
        return family(self.settings)

    @property
    def one_off_flops(self) -> float:
        """FLOPs charged once (`accounts.one_off_flops`)."""
        return one_off_flops(self.record)

    def setting(self, section: str, key: str, default: Any = None) -> Any:
        """One setting out of a section, or the default where it was not recorded."""
        value = (self.settings.get(section) or {}).get(key)
        return default if value is None else value

    def totals(self) -> dict[str, float]:
        """Costs of the whole run (`accounts.totals`)."""
        return totals(self.record, self.ledger, self.steps * self.batch_size)

    def _parquet(self, stem: str) -> pd.DataFrame | None:
        path = self.path / "training" / f"{stem}.parquet"
        if not path.exists():
            return None
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:  # pyarrow's own errors derive from these two
            raise UserError(str(path), f"can't be read ({error})", AGAIN) from None


def find_runs(root: Path) -> list[Run]:
    """Find every run below a directory, nested ones too, in order of their names.

    A run is a directory with `training/run.json`, or one with an `evaluation/` of JSON files alone (an imported
    reference has nothing to train); the latter counts only at the first level.
    """
    root = Path(root)
    found = {path.parent.parent for path in root.rglob("training/run.json")}
    runs = [Run(path, path.relative_to(root).as_posix() if path != root else path.name) for path in found]
    bare = {path.parent.parent for path in root.glob("*/evaluation/*.json")} - found
    return sorted(runs + [_bare_run(path) for path in bare], key=lambda run: run.name)


def _bare_run(path: Path) -> Run:
    run = Run(path)
    run.record = {"run": path.name, "method": path.name, "status": "finished"}
    return run
