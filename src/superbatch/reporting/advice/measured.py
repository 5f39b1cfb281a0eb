"""The inputs of an advice as values: the reference, the pool, the probes and the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from superbatch.data.windows import GROWING
from superbatch.evaluation.intervals import wilson
from superbatch.options import LOOK_BACK

Kind = Literal["mostly_right", "noisy", "unsettled", "unknown"]
MOST = 0.5  # of the pairs: where more look right, most are, since the estimate is a lower one
NOTHING = 0.1  # below this share the learner is too weak to tell


@dataclass(frozen=True)
class ReferenceFacts:
    """What the check found of the reference.

    Attributes:
        verdict: helps, unsure or would_harm.
        auc: value, low and high, of true against exchanged pairs; None where too few pairs were held out.
        recall: R@1 in 64 on held-out pairs; None likewise.
        held_out: pairs that were held out.
        bad_share: of the pool's pairs, as the reference estimates it; None where it could not.
        validation: what it reaches by itself in the report's metric; None where that is not known.
        line: the check's own, in words.
        loss: on held-out and on training pairs, in batches of 64; None where either is not known.
        of_labels: whether the pool's captions are labels.
    """

    verdict: str
    auc: tuple[float, float, float] | None
    recall: float | None
    held_out: int
    bad_share: float | None = None
    validation: float | None = None
    line: str = ""
    loss: tuple[float, float] | None = None
    of_labels: bool = False

    @classmethod
    def of(cls, check: Mapping[str, Any], validation: float | None = None) -> ReferenceFacts:
        """Read them from `check.json`."""
        auc = (check.get("auc") or {}).get("pair", {}).get("all")
        recall = (check.get("recall") or {}).get("held_out")
        bad = check.get("bad_share")
        return cls(
            str(check["verdict"]),
            (auc["value"], auc["low"], auc["high"]) if auc else None,
            recall["value"] if recall else None,
            int(check["pairs"]["held_out"]),
            bad["value"] if bad else None,
            validation,
            str(check.get("line", "")),
            _losses(check.get("loss") or {}),
            bool(check.get("of_labels")),
        )

    @property
    def tells_nothing(self) -> bool:
        """Whether its AUC is known and not clearly above chance."""
        return self.auc is not None and self.auc[1] <= 0.5


@dataclass(frozen=True)
class PoolFacts:
    """What was measured of the pool.

    Attributes:
        rows: samples. batch: b of a learner.
        like_curated: share of rows that score no lower than 95 % of the held-out curated pairs; None without such pairs.
        concepts: effective number of caption clusters; `clusters`: how many there could be.
        near_duplicates: share of rows with a neighbour that looks all but the same to the reference. duplicates: of rows whose image stands twice.
    """

    rows: int
    batch: int
    like_curated: float | None = None
    concepts: float = 0.0
    clusters: int = 0
    near_duplicates: float = 0.0
    duplicates: float = 0.0

    def passes(self, steps: float) -> float:
        """Return how often so many plain steps go through it."""
        return steps * self.batch / self.rows


@dataclass(frozen=True)
class Probe:
    """A candidate after its probe.

    Attributes:
        name: the preset. steps: of its schedule.
        value: the report's metric on validation, a share. images: of the validation set.
        tflop: of the probe as executed.
        shares: of pairs that looked right to the learner, in the order they were measured; empty where they were not.
        selects: whether the reference decides anything in it.
        of_labels: whether it took all pairs in the end, since its learner found that captions are labels.
    """

    name: str
    steps: int
    value: float
    images: int
    tflop: float
    shares: tuple[float, ...] = ()
    selects: bool = True
    of_labels: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """95 % over the validation images alone; another seed may shift a value by more."""
        return wilson(min(max(self.value, 0.0), 1.0), self.images)

    def above(self, other: Probe) -> bool:
        """Whether it is clearly better than another one: their intervals do not touch.

        That asks for about 2.8 standard errors instead of 2, since seeds differ too, and each probe has one.
        """
        return self.interval[0] > other.interval[1]


@dataclass(frozen=True)
class Costs:
    """What steps cost, in TFLOP: a plain one, and what was spent before whatever goes by the reference."""

    plain: float
    before: float


@dataclass(frozen=True)
class Measured:
    """All inputs of an advice.

    Attributes:
        reference, pool: see there. probes: in the order of the candidates.
        costs: of steps. steps, tflop: the budget, one of them.
        known: presets that there are, and that fit the learner's model.
        metric: what the probes are compared in, in words.
    """

    reference: ReferenceFacts
    pool: PoolFacts
    probes: tuple[Probe, ...]
    costs: Costs
    steps: int | None
    tflop: float | None
    known: tuple[str, ...]
    metric: str = "headline"

    @classmethod
    def of_record(cls, found: Mapping[str, Any]) -> Measured:
        """Read it from an advice's record (`advice.json`, `measured`)."""
        own = {item.name: found[item.name] for item in fields(cls)}
        reference, probes = dict(own["reference"]), [dict(probe) for probe in own["probes"]]
        for name in ("auc", "loss"):
            reference[name] = tuple(reference[name]) if reference.get(name) else None
        for probe in probes:
            probe["shares"] = tuple(probe["shares"])
        return cls(
            **own
            | {
                "reference": ReferenceFacts(**reference),
                "pool": PoolFacts(**own["pool"]),
                "probes": tuple(Probe(**probe) for probe in probes),
                "costs": Costs(**own["costs"]),
                "known": tuple(own["known"]),
            }
        )

    @property
    def uniform(self) -> Probe | None:
        """The probe that selects nothing; None where there is none."""
        return next((probe for probe in self.probes if probe.name == "uniform"), None)

    @property
    def ahead(self) -> tuple[Probe, ...]:
        """The probes that select and are clearly better than uniform's; none where there is no such probe."""
        uniform = self.uniform
        return () if uniform is None else tuple(probe for probe in self.selecting if probe.above(uniform))

    @property
    def selecting(self) -> tuple[Probe, ...]:
        """The probes in which the reference decides something."""
        return tuple(probe for probe in self.probes if probe.selects)

    @property
    def of_labels(self) -> bool:
        """Whether the pool's captions are labels, as the check or a probe found."""
        return self.reference.of_labels or any(probe.of_labels for probe in self.probes)

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares of right pairs of the probe that measured them and sees the most at its end."""
        return max((probe.shares for probe in self.probes if probe.shares), key=_at_end, default=())

    @property
    def right(self) -> float | None:
        """The share of the pool's pairs that look right to a learner, from below; None where none was asked."""
        return _at_end(self.shares) if self.shares else None

    @property
    def growth(self) -> float | None:
        """By how much that share grew over the last measurements; None where there are too few."""
        earlier = self.shares[:-LOOK_BACK]
        return _at_end(self.shares) - _at_end(earlier) if len(earlier) > 2 else None

    @property
    def settled(self) -> bool:
        """Whether that share no longer grows, and the learner knows something."""
        return self.growth is not None and self.growth < GROWING and _at_end(self.shares) >= NOTHING

    @property
    def kind(self) -> Kind:
        """What kind of pool it is, by the share of right pairs.

        A learner at its beginning tells few pairs, whatever the pool: only where the share no longer grows is it the pool's.
        """
        if self.right is None:
            return "unknown"
        if self.right >= MOST:
            return "mostly_right"
        return "noisy" if self.settled else "unsettled"


def _at_end(shares: tuple[float, ...]) -> float:
    """Return the mean of the last two measurements; 0 without any."""
    last = shares[-2:]
    return sum(last) / len(last) if last else 0.0


def _losses(found: Mapping[str, Any]) -> tuple[float, float] | None:
    """Read the losses on held-out and on training pairs off a check."""
    held_out, training = ((found.get(part) or {}).get("as_it_is") for part in ("held_out", "training"))
    return None if held_out is None or training is None else (float(held_out), float(training))
