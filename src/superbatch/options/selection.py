"""Settings of selection."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

from annotated_types import Ge, Interval

from superbatch.bounds import LATER, Because, Count, Positive, Settings, Share, require
from superbatch.options.training import ModelSettings

Method = Literal["uniform", "independent", "joint"]
Criterion = Literal["learnability", "easy_reference", "hard_learner", "easy_learner"]
PROXY, ONLINE = "selection.proxy", "selection.online_reference.model"  # settings of models that are trained along
LOOK_BACK = 4  # measurements over which a learner's progress is judged
FinalRatio = Annotated[float, Interval(ge=0, lt=1), Because("f = {value} leaves nothing to train on")] | None


class Rule(NamedTuple):
    """How batches are chosen over a stretch of steps: what of the settings may change along a run, and the method."""

    method: Method
    criterion: Criterion
    filter_ratio: float
    final_filter_ratio: float | None
    falls_over: float = 1.0

    @property
    def scores(self) -> bool:
        """Whether a model scores super-batches: easy reference has the cache, uniform needs nothing."""
        return self.method != "uniform" and self.criterion != "easy_reference"

    @property
    def uses_reference(self) -> bool:
        """Whether the reference's losses count in a score."""
        return self.method != "uniform" and self.criterion not in ("hard_learner", "easy_learner")

    def settles(self, steps: int) -> int:
        """Return the first of so many steps at which f changes no more: one at least changes it; `steps` where it does to the end."""
        return max(1, round(self.falls_over * steps))

    def sizes(self, b: int) -> tuple[int, int]:
        """Return how many samples a batch of b is chosen from at the first step and at the last: round(b / (1 - f))."""
        if self.method == "uniform":
            return b, b
        last = self.filter_ratio if self.final_filter_ratio is None else self.final_filter_ratio
        first, last = (max(b, round(b / (1 - f))) for f in (self.filter_ratio, last))
        return first, last


class Stretch(NamedTuple):
    """Steps of a run, one after the other, that choose by one rule."""

    steps: range
    rule: Rule


@dataclass(frozen=True)
class ThenSettings(Settings, section="then"):
    """The criterion and filter ratio that take over for the rest of a run."""

    # the share of the steps; None: once the learner has outgrown the reference, which `selection.adapt` measures
    after: Share | None = 0.5
    criterion: Criterion = "easy_learner"
    filter_ratio: Share = 0.8  # with `selection.adapt` the largest
    final_filter_ratio: FinalRatio = None
    # with `after: null`, the least f at which it takes over: where less would be left out, the reference goes on
    min_filter_ratio: Annotated[float, Interval(ge=0, lt=1), Because("f = {value} leaves nothing to train on")] = field(
        default=0.0, metadata=LATER
    )


@dataclass(frozen=True)
class AdaptSettings(Settings, section="adapt"):
    """How the filter ratio follows the learner, by what it can tell of the pool's pairs."""

    every: Count = 50  # steps between two measurements
    # pairs of the pool that are kept aside to measure by; at most a tenth of the rows
    sample: Annotated[int, Ge(2), Because("{value} pairs are too few")] = 1_000
    power: Positive = 1.5  # B = b / g^power, where g is the share of pairs that look right

    def size(self, share: float, b: int, largest: int) -> int:
        """Return how many samples a batch of b is chosen from where so large a share of pairs looks right: b to `largest`."""
        share_to = share**self.power
        return largest if share_to * largest <= b else round(b / share_to)

    def left_out(self, share: float, most: float) -> float:
        """Return f where so large a share of pairs looks right: 0 to `most`."""
        return min(most, 1 - share**self.power)


@dataclass(frozen=True)
class OnlineReferenceSettings(Settings, section="online_reference"):
    """A reference that needs no training beforehand: a small model, trained along on whole super-batches (ActiveCLIP; papers.md 3.1)."""

    model: ModelSettings = field(default_factory=ModelSettings)
    rate: Positive = 2.0  # its learning rate over the learner's; its batches are larger


@dataclass(frozen=True)
class SelectionSettings(Settings, section="selection"):
    """How a sub-batch is chosen out of the super-batch (JEST, Algorithms 1-3)."""

    method: Method = "uniform"
    filter_ratio: float = 0.8  # f = 1 - b/B, between 0 and 1; ignored by `uniform`
    criterion: Criterion = "learnability"
    num_chunks: Count = 16
    gain: Positive = 100.0  # the paper's; conf/base sets 10
    # k: a step's batch is chosen by the weights of k steps before
    stale_steps: Annotated[int, Ge(0), Because("k = {value} is negative")] = 0
    proxy: ModelSettings | None = None  # a smaller model that scores for the learner, trained along (ActiveCLIP)
    # f at the last step: the super-batch shrinks (or grows) to it by one factor a step; 0 ends uniformly. None: f stays
    final_filter_ratio: FinalRatio = None
    then: ThenSettings | None = None  # another criterion and f from a share of the steps on
    # the share of the steps by whose end f has come to final_filter_ratio; from there on it stays
    falls_over: Annotated[float, Interval(gt=0, le=1), Because("{value} is not a share of the steps")] = 1.0
    adapt: AdaptSettings | None = None  # f follows the learner, from filter_ratio down; None: f is as set
    # what a model's score of a pair is: its loss, or how well its two sides match (ActiveCLIP), for independent selection
    score: Literal["loss", "match"] = "loss"
    online_reference: OnlineReferenceSettings | None = None  # replaces a reference that is trained beforehand

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rule of the whole run, or those of its two parts."""
        own = Rule(self.method, self.criterion, self.filter_ratio, self.final_filter_ratio, self.falls_over)
        if self.then is None:
            return (own,)
        then = self.then
        return own, Rule(self.method, then.criterion, then.filter_ratio, then.final_filter_ratio)

    @property
    def along(self) -> dict[str, ModelSettings]:
        """The small models that are trained along with the learner, by the setting that asks for each."""
        online = self.online_reference
        found = {} if self.proxy is None else {PROXY: self.proxy}
        return found if online is None else found | {ONLINE: online.model}

    @property
    def outgrows(self) -> bool:
        """Whether `then` takes over once the learner has outgrown the reference, so that no step is set for it."""
        return self.then is not None and self.then.after is None

    def stretches(self, steps: int, switch: int | None = None) -> tuple[Stretch, ...]:
        """Return which steps of a run choose by which rule; together they are all of them, and none is empty.

        Args:
            steps: of the run. switch: the first that chooses by `then`, where that is no setting; None: the first that could.
        """
        ends = (steps,) if self.then is None else (self.switch(steps) if switch is None else switch, steps)
        spans = zip(pairwise((0, *ends)), self.rules, strict=True)
        return tuple(Stretch(range(first, end), rule) for (first, end), rule in spans if first < end)

    def switch(self, steps: int) -> int:
        """Return the first step of so many that chooses by `then`, or that could, where that is measured; `steps` without it."""
        if self.then is None:
            return steps
        if self.then.after is None:
            return min(steps, 0 if self.adapt is None else LOOK_BACK * self.adapt.every)
        return round(self.then.after * steps)

    @property
    def scores(self) -> bool:
        """Whether a model scores super-batches, at some time."""
        return any(rule.scores for rule in self.rules)

    @property
    def uses_reference(self) -> bool:
        """Whether the losses of a reference that was trained beforehand count in a score, at some time."""
        return self.online_reference is None and any(rule.uses_reference for rule in self.rules)

    def largest(self, b: int) -> int:
        """Return how many samples a batch of b is chosen from at most, B."""
        return max(size for rule in self.rules for size in rule.sizes(b))

    def check(self) -> None:
        """Refuse a filter ratio that leaves nothing, what only a scoring model needs where none scores, and picks that wait over a switch."""
        require(
            self.method == "uniform" or 0 < self.filter_ratio < 1,
            "selection.filter_ratio",
            f"f = {self.filter_ratio:g} leaves nothing to {'choose from' if self.filter_ratio <= 0 else 'train on'}",
            "use a value between 0 and 1, or method: uniform",
        )
        require(
            self.falls_over == 1 or self.final_filter_ratio is not None,
            "selection.falls_over",
            f"{self.falls_over:g}, and f does not change",
            "set selection.final_filter_ratio, such as 0, or leave it out",
        )
        why = f"method: {self.method}" if self.method == "uniform" else f"criterion: {self.criterion}"
        for name in ("stale_steps", "proxy"):
            require(
                self.scores or not getattr(self, name),
                f"selection.{name}",
                f"with {why} no model scores",
                "leave it out, or set it in the block of a method that scores, such as jest",
            )
        require(
            self.then is None or self.method != "uniform",
            "selection.then",
            "with method: uniform nothing is chosen",
            "leave it out, or set it in the block of a method that chooses, such as self_paced",
        )
        require(
            self.then is None or not self.stale_steps,
            "selection.stale_steps",
            "batches cannot be chosen ahead over the step at which selection.then takes over",
            "leave one of the two out",
        )
        require(
            self.score == "loss" or self.method == "independent",
            "selection.score",
            f"match scores each pair by itself, and method: {self.method} does not",
            "use method: independent, or score: loss",
        )
        self._check_adapt()
        self._check_outgrown()
        self._check_least()
        self._check_online_reference()

    def _check_adapt(self) -> None:
        """Refuse `selection.adapt` if nothing is chosen, if another setting also changes f, or if batches are chosen ahead."""
        if self.adapt is None:
            return
        require(
            self.method != "uniform",
            "selection.adapt",
            "with method: uniform nothing is chosen",
            "leave it out, or set it in the block of a method that chooses, such as adaptive",
        )
        then = self.then
        for name, says in (
            ("final_filter_ratio", self.final_filter_ratio is not None),  # falls_over needs it
            ("then.final_filter_ratio", then is not None and then.final_filter_ratio is not None),
            ("then.after", then is not None and then.after is not None),
        ):
            require(
                not says,
                f"selection.{name}",
                "sets how f changes during the run, and so does selection.adapt",
                "set it to null: once the learner has outgrown the reference"
                if name == "then.after"
                else "leave one of the two out",
            )
        require(
            not self.stale_steps,
            "selection.stale_steps",
            "batches cannot be chosen ahead over the steps at which selection.adapt measures",
            "leave one of the two out",
        )

    def _check_outgrown(self) -> None:
        """Refuse to wait until the learner outgrows the reference, if that is not measured, no reference is used, or it would still choose afterwards."""
        if not self.outgrows:
            return
        own, then = self.rules
        for where, fits, what, remedy in (
            ("then.after", self.adapt is not None, "(once the reference is outgrown) is measured by selection.adapt, which is not set", "set it, or a share of the steps"),
            ("criterion", own.uses_reference, "asks no reference, so there is none to outgrow", "use easy_reference or learnability"),
            ("then.criterion", not then.uses_reference, "asks the reference, which the learner has outgrown by then", "use easy_learner"),
        ):  # fmt: skip
            value = {"then.after": "null", "criterion": own.criterion, "then.criterion": then.criterion}[where]
            require(fits, f"selection.{where}", f"{value} {what}", remedy)

    def _check_least(self) -> None:
        """Refuse a least f for `then` where the step at which it takes over is set, or where f is never as large."""
        then = self.then
        if then is None or not then.min_filter_ratio:
            return
        require(
            self.outgrows,
            "selection.then.min_filter_ratio",
            f"{then.min_filter_ratio:g} is asked of what the learner leaves out once it has outgrown the reference, and then.after sets when it takes over",
            "leave it out, or set then.after to null",
        )
        require(
            then.min_filter_ratio <= then.filter_ratio,
            "selection.then.min_filter_ratio",
            f"{then.min_filter_ratio:g} is more than then.filter_ratio, {then.filter_ratio:g}, so the learner would never take over",
            "set it to less, such as 0.35",
        )

    def _check_online_reference(self) -> None:
        """Refuse a reference that is trained along, if super-batches are not scored against it at every step."""
        if self.online_reference is None:
            return
        for rule in self.rules:
            require(
                rule.method != "uniform" and rule.criterion == "learnability",
                "selection.online_reference",
                f"works with learnability only, and batches are chosen by {'nothing' if rule.method == 'uniform' else rule.criterion}",
                "set criterion to learnability and a method that chooses, or leave it out",
            )
        for name, given in (("stale_steps", self.stale_steps), ("adapt", self.adapt)):
            require(
                not given,
                f"selection.{name}",
                "cannot be combined with selection.online_reference, which is trained on each step's super-batch",
                "leave one of the two out",
            )
