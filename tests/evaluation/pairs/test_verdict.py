from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml

from superbatch.evaluation.pairs.resampling import Estimate
from superbatch.evaluation.pairs.verdict import FEWEST_PAIRS, THRESHOLDS, Evidence, judge
from tests.project import PROJECT


def at(name: str, place: str, half: float = 0.02, pairs: int = 500) -> Estimate:
    line = THRESHOLDS[name]
    value = {"above": line.helps + 0.1, "between": (line.helps + line.harms) / 2, "below": line.harms - 0.05}[place]
    return Estimate(value, value - half, value + half, pairs)


def evidence(
    auc: str, recall: str, trained: float | None = 0.3, held_out: int = 500, curated: int = 4_500, half: float = 0.02
) -> Evidence:
    known = None if trained is None else Estimate(trained, trained, trained, 2_000)
    return Evidence(at("auc", auc, half), at("recall", recall, half), known, held_out, curated)


@pytest.mark.parametrize(
    ("found", "name", "remedy"),
    [
        (evidence("above", "above"), "helps", ""),
        (evidence("above", "between"), "unsure", "weak and not overfit .*raise reference.training.steps.*larger.*import a pretrained"),
        (evidence("above", "below", trained=0.1), "would_harm", "weak and not overfit .R@1 in 64 10 % on training pairs"),
        (evidence("below", "above", trained=0.9), "would_harm", "it is overfit .R@1 in 64 90 % on training pairs.: curate more pairs, or import"),
        (evidence("between", "between", trained=0.95), "unsure", "it is overfit"),
        (evidence("between", "between", trained=0.3, curated=200), "unsure", "200 curated pairs are few: curate more"),
        (evidence("between", "between", trained=0.05, curated=200), "unsure", "weak and not overfit"),
        (evidence("between", "between", trained=None), "unsure", "import a stronger one, or train one on them"),
        (evidence("above", "above", half=0.2), "unsure", "curate more pairs, or raise reference.held_out"),
        (evidence("above", "above", trained=None, half=0.2), "unsure", "^curate more pairs$"),
        (evidence("above", "above", held_out=FEWEST_PAIRS - 1), "unsure", "curate more pairs, or raise reference.held_out"),
        (evidence("below", "below", held_out=0), "unsure", "curate more pairs, or raise reference.held_out"),
    ],
)  # fmt: skip
def test_verdict_and_remedy_fit_the_cause(found: Evidence, name: str, remedy: str) -> None:
    verdict = judge(found)
    assert verdict.name == name
    assert re.search(remedy, verdict.remedy) and (remedy or verdict.remedy == "")
    assert "\n" not in verdict.sentence and "nan" not in verdict.sentence


@pytest.mark.parametrize(
    "found", [evidence("below", "below"), evidence("between", "between"), evidence("between", "between", trained=None)]
)
def test_a_weak_reference_is_told_of_the_method_that_needs_it_least(found: Evidence) -> None:
    remedy = judge(found).remedy
    assert remedy.endswith("; or run adaptive_self_paced, which needs it only to start")
    presets = yaml.safe_load((PROJECT / "conf" / "base" / "parameters_methods.yml").read_text())
    assert "adaptive_self_paced" in presets


def test_on_labels_a_good_reference_is_not_trusted() -> None:
    """On Fashion-MNIST with wrong labels it chose purer pairs, and every selection by it ended far below uniform."""
    verdict = judge(replace(evidence("above", "above"), of_labels=True))
    assert verdict.name == "unsure" and verdict.line.endswith("held-out pairs, but the pool's captions are labels")
    assert "run uniform too" in verdict.remedy and "held_out" not in verdict.remedy
    weak = judge(replace(evidence("below", "below"), of_labels=True))
    assert weak.name == "would_harm" and "run uniform too" not in weak.remedy


@pytest.mark.parametrize(("low", "name"), [(0.55, "helps"), (0.78, "unsure")])
def test_a_reference_that_was_trained_on_the_pool_is_told(low: float, name: str) -> None:
    """It tells pairs apart, and yet chooses nothing: it fits what it is to choose from."""
    verdict = judge(replace(evidence("above", "above", trained=None), pool_above=Estimate(0.8, low, 0.82, 4_000)))
    assert verdict.name == name
    assert ("score higher than these in 80 % of comparisons" in verdict.line) == (name == "unsure")
    assert ("trained on this pool" in verdict.remedy) == (name == "unsure")


def test_the_line_has_the_numbers() -> None:
    auc, recall = Estimate(0.941, 0.92, 0.96, 77), Estimate(0.71, 0.67, 0.75, 77)
    assert judge(Evidence(auc, recall, None, 77, 0)).sentence == (
        "the reference helps: AUC 0.94 [0.92, 0.96] of true against exchanged pairs, R@1 in 64 71 % [67, 75], on 77 held-out pairs"
    )
    few = judge(Evidence(auc, recall, None, 1, 0))
    assert few.line == "unsure whether the reference helps: 1 pair was held out to measure it on, and 20 are needed"


def test_what_could_not_be_measured_is_unsure() -> None:
    nothing = Estimate(np.nan, np.nan, np.nan, 0)
    assert judge(Evidence(nothing, nothing, None, 500, 0)).name == "unsure"


def test_one_caption_throughout_is_told() -> None:
    nothing = Estimate(np.nan, np.nan, np.nan, 0)
    assert judge(Evidence(nothing, nothing, nothing, 40, 360, pool_above=at("auc", "above"))).sentence == (
        "unsure whether the reference helps: the captions of all 40 held-out pairs read the same; curate pairs whose captions differ"
    )
