"""Run directories, read lazily, and one tidy table over all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from superbatch.errors import UserError
from superbatch.files import fingerprint, read_json

HEADLINE = "classification/top1"
FALLBACK = "headline"  # the mean of the sets' main metrics, as `evaluation` computes it
ACCOUNTINGS = ("flops_paper", "flops_as_executed", "flops_charged")
Role = Literal["reference", "uniform", "simple", "selecting"]

# Two runs are repeats of one configuration if these sections agree, apart from the seed, from how a run is carried
# out, and from fingerprints (those of starting weights differ with the seed).
_SECTIONS = ("training", "selection", "pool", "model", "warm_start", "proxy")
_NOT_IDENTITY = {
    "seed",
    "device",
    "threads",
    "workers",
    "fresh",
    "resume_from",
    "checkpoint_every",
    "keep_checkpoints",
    "keep_best",
    "on_bad_step",
    "evaluate_every",
    "score_batch",
}
_FINGERPRINT = re.compile(r"[0-9a-f]{16,}")
_ONE_OFF_TOTALS = {"total", "as_executed", "as_executed_total", "one_off", "one_off_total"}
_RUN_NAME = re.compile(r"(?P<method>.+?)(-f[\d.]+)?-T\d+-s\d+.*")  # of `compare`
_SELECTION_METHODS = {"uniform", "independent", "joint"}
_SIMPLE_NAMES = ("filtered", "warm", "pool_")


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
        if not isinstance(record, dict):
            raise UserError(str(path), "is not a JSON object", "run the learner stage again")
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
    def test(self) -> dict[str, float]:
        """Test metrics as `<set>/<metric>`, and `headline`, the mean of the sets' main ones; empty without any."""
        tested = {name: result for name, result in self.results.items() if result.get("split", "test") == "test"}
        found = {key: value for name, result in tested.items() for key, value in flat_metrics(result, name).items()}
        mains = [float(result["main"]) for result in tested.values() if "main" in result]
        return found | ({FALLBACK: float(np.mean(mains))} if mains else {})

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals over the images or texts of the test sets, by `<set>/<metric>`."""
        tested = {name: r for name, r in self.results.items() if r.get("split", "test") == "test"}
        return {
            f"{name}/{metric}": (float(low), float(high))
            for name, result in tested.items()
            for metric, (low, high) in (result.get("confidence") or {}).items()
        }

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
        """The preset's name; read off the run's name where run.json has only the selection's kind (`joint`)."""
        recorded, name = self.record.get("method"), str(self.record.get("run") or self.name).rsplit("/", 1)[-1]
        if recorded and recorded not in _SELECTION_METHODS:
            return str(recorded)
        match = _RUN_NAME.fullmatch(name)
        return match["method"] if match else name

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

    @property
    def filter_ratio(self) -> float:
        """f = 1 - b/B as set; 0 for a run that trains on all it draws."""
        if self.role != "selecting":
            return 0.0
        set_to = self.setting("selection", "filter_ratio")
        return float(set_to) if set_to is not None else round(1 - self.batch_size / max(1, self.super_batch_size), 3)

    @property
    def role(self) -> Role:
        """What the run stands for in a comparison, by its settings rather than by its name."""
        if "reference" in (self.method, self.name.rsplit("/", 1)[-1]):
            return "reference"
        if (
            self.setting("selection", "method", "uniform" if self.super_batch_size == self.batch_size else "joint")
            != "uniform"
        ):
            return "selecting"
        altered = (
            self.setting("pool", "keep_share", 1.0) < 1
            or self.setting("pool", "add_curated", False)
            or self.settings.get("warm_start", False)
        )
        return "simple" if altered or self.method.startswith(_SIMPLE_NAMES) else "uniform"

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
        return fingerprint([self.method, self.steps, *(_identity(self.settings.get(section)) for section in _SECTIONS)])

    @property
    def one_off_flops(self) -> float:
        """FLOPs charged once: training the reference, embedding the pool, decoding (as far as run.json has them)."""
        charged = (self.record.get("flops") or {}).get("charged") or {}
        if not isinstance(charged, dict):
            return max(0.0, float(charged) - self._total_flops("as_executed"))
        parts = {k: v for k, v in charged.items() if k not in _ONE_OFF_TOTALS and isinstance(v, (int, float))}
        if parts:
            return float(sum(parts.values()))
        return max(0.0, float(charged.get("total", 0.0)) - self._total_flops("as_executed"))

    def setting(self, section: str, key: str, default: Any = None) -> Any:
        """One setting out of a section, or the default where it was not recorded."""
        value = (self.settings.get(section) or {}).get(key)
        return default if value is None else value

    def totals(self) -> dict[str, float]:
        """Costs of the whole run: samples trained and scored, FLOPs by accounting, seconds."""
        last = {} if self.ledger is None else self.ledger.iloc[-1].to_dict()
        executed = float(last.get("flops_as_executed", self._total_flops("as_executed")))
        return {
            "samples": float(last.get("samples_trained", self.steps * self.batch_size)),
            "samples_scored": float(last.get("samples_scored", np.nan)),
            "flops_paper": float(last.get("flops_paper", self._total_flops("paper"))),
            "flops_as_executed": executed,
            "flops_charged": executed + self.one_off_flops,
            "seconds": self._seconds(),
        }

    def _seconds(self) -> float:
        if self.ledger is not None:
            return float(step_seconds(self.ledger).sum())
        seconds = self.record.get("seconds") or {}
        return float(seconds.get("total", sum(v for v in seconds.values() if isinstance(v, (int, float))) or np.nan))

    def _total_flops(self, accounting: str) -> float:
        return float((self.record.get("flops") or {}).get(f"{accounting}_total", np.nan))

    def _parquet(self, stem: str) -> pd.DataFrame | None:
        path = self.path / "training" / f"{stem}.parquet"
        if not path.exists():
            return None
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:  # pyarrow's own errors derive from these two
            raise UserError(str(path), f"can't be read ({error})", "run the learner stage again") from None


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


def runs_frame(runs: Iterable[Run], metric: str = HEADLINE) -> pd.DataFrame:
    """One row a run: identity, final values and costs; what targets and tables work on.

    `value` is the test value of `metric`, or the validation value where the run has no test value
    (`split` says which); `validation` serves for tuning. Shares lie in [0, 1].
    """
    rows = [_row(run, metric) for run in runs]
    return pd.DataFrame(rows, columns=None if rows else list(_EMPTY_COLUMNS))


_EMPTY_COLUMNS = (
    "run",
    "method",
    "role",
    "f",
    "steps",
    "seed",
    "configuration",
    "variant",
    "complete",
    "split",
    "value",
    "validation",
    "samples",
    "samples_scored",
    *ACCOUNTINGS,
    "seconds",
)


def _row(run: Run, metric: str) -> dict[str, Any]:
    validation = run.validation.get(metric, np.nan)
    tested = metric in run.test
    identity = {
        "run": run.name,
        "method": run.method,
        "role": run.role,
        "f": run.filter_ratio,
        "steps": run.steps,
        "seed": run.seed,
        "configuration": run.configuration,
        "variant": describe_variant(run),
        "complete": run.complete,
    }
    values = {
        "split": "test" if tested else "validation",
        "value": run.test[metric] if tested else validation,
        "validation": validation,
        **dict(zip(("value_low", "value_high"), run.intervals.get(metric, (np.nan, np.nan)), strict=True)),
    }
    extra = {f"test:{name}": value for name, value in run.test.items() if name != metric}
    return identity | values | run.totals() | extra


def describe_variant(run: Run) -> str:
    """What tells a configuration from its siblings, in a few words: the share kept, the learning rate."""
    words = []
    share = run.setting("pool", "keep_share", 1.0)
    if share < 1:
        words.append(f"best {100 * share:.3g} %")
    rate = run.setting("training", "optimizer", {}).get("learning_rate")
    if rate is not None:
        words.append(f"lr {rate:.3g}")
    return ", ".join(words)


def flat_metrics(values: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Flatten nested results into `<set>/<metric>`, numbers only; of a level with `metrics` these alone are taken."""
    return {name.strip("/"): value for name, value in _flat(values, prefix)}


def _flat(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    if isinstance(values.get("metrics"), dict):
        values = values["metrics"]
    for key, value in values.items():
        name = f"{prefix}/{key}"
        if isinstance(value, dict):
            yield from _flat(value, name)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)


def step_seconds(ledger: pd.DataFrame) -> pd.Series:
    """Seconds of each step, all its parts together."""
    return ledger[[c for c in ledger.columns if c.startswith("seconds_")]].sum(axis=1)


def choose_metric(runs: Iterable[Run], wanted: str = HEADLINE) -> str:
    """Return the wanted metric if any run has it, else the headline over whatever sets there are."""
    return wanted if any(wanted in run.test or wanted in run.validation for run in runs) else FALLBACK


def metric_title(metric: str) -> str:
    """How a metric is called on axes and in tables: `top-1`, `text to image R@1 on retrieval`, `headline`."""
    where, _, name = metric.rpartition("/")
    words = re.sub(r"_r(\d+)$", r" R@\1", re.sub(r"^top(\d+)$", r"top-\1", name)).replace("_", " ")
    return words if where in ("", "classification") else f"{words} on {where}"


def label_of(method: str, filter_ratio: float) -> str:
    """How a method is called in tables and legends: with its filtering ratio where it selects."""
    return f"{method} (f = {filter_ratio:g})" if filter_ratio > 0 else method


def _identity(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {k: _identity(v) for k, v in settings.items() if k not in _NOT_IDENTITY}
    return None if isinstance(settings, str) and _FINGERPRINT.fullmatch(settings) else settings
