"""Rounds of bootstrapping: each reference's value and cost, which one is kept, and the record of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.shelf import link_into
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.tasks.charges import charges
from superbatch.tasks.enlarging import SUMMARY
from superbatch.training.flops import Spent

RECORD = "run.json"
ROUNDS = "rounds.json"  # beside the second reference's records
TAKEN_OVER = ("run_hash", "result_of_step", "steps_taken")  # of a reference's record


@dataclass(frozen=True)
class Features:
    """A reference's features of the sets."""

    pool: Path
    curated: Path


@dataclass(frozen=True)
class Round:
    """A reference, and what it was made of; the first reference is round 0.

    Attributes:
        model, training: its checkpoint and its records.
        features: where it has embedded the sets; None where it has not, since no round follows it.
        enlarged: the set that it was trained on; None of the first.
    """

    model: Path
    training: Path
    features: Features | None = None
    enlarged: Path | None = None

    def value(self, metric: str) -> float:
        """Return a metric of it on the validation split.

        Raises:
            UserError: validation does not have it.
        """
        final = read_json(self.training / RECORD)["final"]
        if metric not in final:
            known = ", ".join(sorted(final)) or "none"
            raise UserError("bootstrap.metric", f"validation has no {metric!r}", f"there are: {known}")
        return float(final[metric])

    def told(self, metric: str) -> dict[str, Any]:
        """Return what the record of all rounds says of it: its value, the counts of its set, FLOPs and seconds."""
        run = read_json(self.training / RECORD)
        counts = {} if self.enlarged is None else read_json(self.enlarged / SUMMARY)
        embedding = Spent(0.0, 0.0)
        if self.features is not None:
            embedding = charges(self.training, self.features.pool).get("embedding", embedding)
        return {
            "validation": self.value(metric),
            "metrics": run["final"],
            **{name: run[name] for name in TAKEN_OVER if name in run},
            **counts,
            "flops_training": run["flops"]["as_executed_total"],
            "flops_embedding": embedding.flops,
            "seconds_training": sum(run["seconds"].values()),
            "seconds_embedding": embedding.seconds,  # None: it was not measured
        }


def is_better(value: float, before: float, least_gain: float) -> bool:
    """Tell whether a reference is better on validation than the one before: higher, and by so much at least."""
    return value > before and value - before >= least_gain


def best_round(values: Sequence[float], least_gain: float) -> int:
    """Return the round whose reference is kept: the last that was better than the one before; round 1 where none was.

    Args:
        values: on validation, of the first reference and of each round.
        least_gain: by which a better one is higher.
    """
    pairs = enumerate(zip(values[1:], values, strict=False), 1)
    return max((number for number, (value, before) in pairs if is_better(value, before, least_gain)), default=1)


def write_records(out: Path, rounds: Sequence[Round], kept: int, metric: str) -> None:
    """Write the kept round's records, which charge what was done before it and beside it, and those of all rounds.

    A learner that goes by this reference owes all of it (`charges.charges`): rounds that were tried and not kept, too.
    """
    link_into(rounds[kept].training, out)
    told = [one.told(metric) for one in rounds]
    run = read_json(out / RECORD)
    charged, seconds = (_charged(told, kept, unit) for unit in ("flops", "seconds"))
    run["flops"] |= {"charged": charged, "charged_total": run["flops"]["as_executed_total"] + sum(charged.values())}
    run["charged_seconds"] = seconds
    write_json(out / RECORD, run)
    write_json(out / ROUNDS, {"metric": metric, "kept": kept, "rounds": told})


def _charged(told: Sequence[dict[str, Any]], kept: int, unit: str) -> dict[str, float]:
    """Sum up what was spent before and beside the kept round, in FLOPs or seconds; without a part that is not known.

    Embedding the pool with the kept reference is not among it: whoever reads these features is charged by them (`charges.charges`).
    """
    training, embedding = ([one[f"{unit}_{what}"] for one in told] for what in ("training", "embedding"))
    others = [spent for number, spent in enumerate(training) if number not in (0, kept)]
    embedded = [spent for number, spent in enumerate(embedding) if number != kept]
    parts = {"reference_training": training[:1], "embedding": embedded, "other_rounds": others}
    return {name: sum(spent) for name, spent in parts.items() if None not in spent}
