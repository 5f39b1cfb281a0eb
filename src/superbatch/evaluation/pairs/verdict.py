"""The verdict on a reference: is it good enough to choose batches by? All thresholds are in this file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from superbatch.evaluation.pairs.resampling import Estimate

Name = Literal["helps", "unsure", "would_harm"]


class Line(NamedTuple):
    """The thresholds of a measure: it helps if the lower end of its interval reaches one, would harm if the upper end misses the other."""

    helps: float
    harms: float


# By judgement, checked with runs over references of some strengths (docs/reference_check.md). A fingerprint of them is in each check's stamp.
THRESHOLDS: dict[str, Line] = {
    "auc": Line(helps=0.80, harms=0.65),  # of held-out pairs against exchanged ones, by pair score
    "recall": Line(helps=0.20, harms=0.08),  # R@1 in 64; chance has 0.016, simweb's reference 0.33
}
FEWEST_PAIRS = 20  # with fewer held-out pairs there is no verdict
OVERFIT = 0.25  # R@1 in 64 on training pairs so much above that of held-out ones
FEW_CURATED = 300  # pairs to train on: below, more of them are the first remedy
FITS_POOL = 0.6  # of comparisons a pool pair scores above a held-out one: 0.8 for a reference trained on icons' pool, 0.12 to 0.24 for others


@dataclass(frozen=True)
class Evidence:
    """The evidence for the verdict.

    Attributes:
        auc, recall: on held-out pairs. trained: R@1 in 64 on pairs that it was trained on; None for an imported reference.
        held_out, curated: pairs that were measured, and that it was trained on.
        of: captions among which recall is; 64, or fewer where so few pairs were held out.
        pool_above: how often a pair of the pool scores above a held-out one; None where it was not measured.
        of_labels: whether the pool's captions are labels.
    """

    auc: Estimate
    recall: Estimate
    trained: Estimate | None
    held_out: int
    curated: int
    of: int = 64
    pool_above: Estimate | None = None
    of_labels: bool = False

    @property
    def knows_pool(self) -> bool:
        """Whether it fits the pool's pairs better than the curated ones: it was trained on them, and finds nearly all of them easy."""
        return self.pool_above is not None and self.pool_above.low > FITS_POOL

    @property
    def of_one_caption(self) -> bool:
        """Whether there was enough to measure, and yet no pair that could be exchanged."""
        return self.pool_above is not None and math.isnan(self.auc.value)

    @property
    def measured(self) -> dict[str, Estimate]:
        """The measures that have a line in `THRESHOLDS`."""
        return {"auc": self.auc, "recall": self.recall}

    @property
    def imported(self) -> bool:
        """Whether nothing was trained here."""
        return self.trained is None

    @property
    def overfit(self) -> bool:
        """Whether it knows the pairs that it was trained on much better than others."""
        return self.trained is not None and self.trained.value - self.recall.value >= OVERFIT


@dataclass(frozen=True)
class Verdict:
    """The verdict, in one line with its numbers, and what to do; an empty remedy where nothing has to be done."""

    name: Name
    line: str
    remedy: str

    @property
    def sentence(self) -> str:
        """Verdict and remedy in one line."""
        return f"{self.line}; {self.remedy}" if self.remedy else self.line


def judge(found: Evidence) -> Verdict:
    """Compare the measurements with the thresholds."""
    if found.held_out < FEWEST_PAIRS:
        pairs = (
            "no pair was"
            if not found.held_out
            else f"{found.held_out} pair{'s were' if found.held_out > 1 else ' was'}"
        )
        line = f"unsure whether the reference helps: {pairs} held out to measure it on, and {FEWEST_PAIRS} are needed"
        return Verdict("unsure", line, _more_held_out(found))
    if found.of_one_caption:
        line = (
            f"unsure whether the reference helps: the captions of all {found.held_out:,} held-out pairs read the same"
        )
        return Verdict("unsure", line, "curate pairs whose captions differ")
    name = _name(found)
    words = {
        "helps": "the reference helps",
        "unsure": "unsure whether the reference helps",
        "would_harm": "the reference would harm",
    }
    return Verdict(name, f"{words[name]}: {_numbers(found)}", "" if name == "helps" else _remedy(found))


def _name(found: Evidence) -> Name:
    lines = [(THRESHOLDS[name], one) for name, one in found.measured.items()]
    if any(one.high < line.harms for line, one in lines):
        return "would_harm"
    misled = found.knows_pool or found.of_labels
    return "helps" if all(one.low >= line.helps for line, one in lines) and not misled else "unsure"


def _numbers(found: Evidence) -> str:
    auc = f"AUC {found.auc.value:.2f} [{found.auc.low:.2f}, {found.auc.high:.2f}]"
    recall = f"R@1 in {found.of} {_percent(found.recall.value)} % [{_percent(found.recall.low)}, {_percent(found.recall.high)}]"
    line = f"{auc} of true against exchanged pairs, {recall}, on {found.held_out:,} held-out pairs"
    if found.knows_pool and found.pool_above is not None:
        above = _percent(found.pool_above.value)
        return f"{line}, but pairs of the pool score higher than these in {above} % of comparisons"
    return f"{line}, but the pool's captions are labels" if found.of_labels else line


def _remedy(found: Evidence) -> str:
    """Name what fits the cause: trained on the pool, labels, too wide an interval, overfit, few curated pairs, else weakness."""
    if found.knows_pool:
        return (
            "it was most likely trained on this pool and finds nearly every pair easy: train one on curated pairs "
            "(reference.import_from: null), or import one that has not seen the pool"
        )
    good = all(one.value >= THRESHOLDS[name].helps for name, one in found.measured.items())
    if good and found.of_labels:
        return "plain training averages wrong labels out, and a choice keeps the reference's mistakes: run uniform too, or ask `kedro run --pipeline=advise`"
    if good:
        return _more_held_out(found)
    return f"{_stronger(found)}; or run adaptive_self_paced, which needs it only to start"


def _stronger(found: Evidence) -> str:
    """Say how to get a better reference, by what this one lacks."""
    if found.trained is None:
        return "it is weak on your pairs: import a stronger one, or train one on them (reference.import_from: null)"
    known = f"R@1 in {found.of} {_percent(found.trained.value)} % on training pairs"
    if found.overfit:
        return f"it is overfit ({known}): curate more pairs, or import a pretrained one (reference.import_from)"
    if found.trained.value >= THRESHOLDS["recall"].helps and found.curated < FEW_CURATED:
        return (
            f"{found.curated:,} curated pairs are few: curate more, or import a pretrained one (reference.import_from)"
        )
    longer = "raise reference.training.steps, take a larger reference.model, or import a pretrained one (reference.import_from)"
    return f"it is weak and not overfit ({known}): {longer}"


def _more_held_out(found: Evidence) -> str:
    if found.imported:
        return "curate more pairs"
    return "curate more pairs, or raise reference.held_out"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
