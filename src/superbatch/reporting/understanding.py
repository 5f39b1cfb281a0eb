"""What the runs on a pool picked, and what the joint draw adds, as one HTML page and as tables of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from superbatch.reporting import templating
from superbatch.reporting.alone import Beside, contrast
from superbatch.reporting.choices import PARTS, Known, along, by_chance, told_apart
from superbatch.reporting.figures import choices_figure, contrast_figure, picture
from superbatch.reporting.metrics import metric_title
from superbatch.reporting.numbers import NONE, percent
from superbatch.reporting.parts import Picture, Table
from superbatch.reporting.runs import Run


@dataclass(frozen=True)
class Choices:
    """What one run picked.

    Attributes:
        run: whose picks. whole, parts: `choices.along` of the run in one part and in several; chance_whole, chance_parts: uniform's.
        joint: `alone.contrast` of the run in one part, and joint_parts in several; None where it did not draw jointly.
        exact: whether that contrast was made again from the embeddings, not estimated from the record.
    """

    run: Run
    whole: pd.DataFrame
    parts: pd.DataFrame
    chance_whole: pd.DataFrame
    chance_parts: pd.DataFrame
    joint: pd.DataFrame | None = None
    joint_parts: pd.DataFrame | None = None
    exact: bool = False


def choices_of(run: Run, known: Known, beside: Beside | None = None) -> Choices:
    """Measure what a run picked.

    Args:
        run: with picks. known: of its pool. beside: its picks and those of independent selection, for runs that draw jointly.
    """
    assert run.picks is not None, "a run without picks"
    steps = int(run.picks["step"].max()) + 1
    whole, parts = (along(run.picks, known, number) for number in (1, PARTS))
    chance_whole, chance_parts = (by_chance(known, run.batch_size, steps, number) for number in (1, PARTS))
    made = Choices(run, whole, parts, chance_whole, chance_parts)
    if beside is None:
        return made
    return replace(made, joint=contrast(beside, known, 1), joint_parts=contrast(beside, known), exact=beside.exact)


def ends(run: Run) -> dict[str, float]:
    """Where a run ended: the main metric of each test set, or of the validation split where it was not tested."""
    mains = {name: float(result["main"]) for name, result in run.tested.items() if "main" in result}
    return mains or {
        name: value
        for name, value in run.validation.items()
        if (name.endswith("top1") and not name.startswith("low/")) or name == "headline"
    }


def summary_cells(found: Sequence[Choices], reference: Run | None = None) -> pd.DataFrame:
    """Return text cells: what each run picked over its whole length, uniform's value in brackets, and where it ended.

    Args:
        reference: stands below, with its ends alone.
    """
    frame = pd.DataFrame([{"run": one.run.name, **_cells(one.whole, one.chance_whole)[0]} for one in found])
    runs = [one.run for one in found]
    if reference is not None:
        runs.append(reference)
        frame.loc[len(frame), "run"] = "the reference alone"
    names = list(dict.fromkeys(name for run in runs for name in ends(run)))
    for name in names:
        frame[f"{metric_title(name)}, end %"] = [percent(ends(run).get(name, np.nan)) for run in runs]
    return frame.fillna(NONE).drop(columns=["score", "passed over"], errors="ignore")


def part_cells(one: Choices) -> pd.DataFrame:
    """Return text cells: a run by tenths, uniform's value in brackets."""
    return pd.DataFrame(_cells(one.parts, one.chance_parts))


def _cells(own: pd.DataFrame, chance: pd.DataFrame) -> list[dict[str, str]]:
    return [_row(*pair) for pair in zip(own.to_dict("records"), chance.to_dict("records"), strict=True)]


def _row(own: dict[str, float], chance: dict[str, float]) -> dict[str, str]:
    cells = {"steps": f"{own['steps']:,}"}
    for name, (title, form) in _SHOWN.items():
        if np.isfinite(own[name]):
            usual = f" ({form(chance[name])})" if np.isfinite(chance[name]) else ""
            cells[title] = form(own[name]) + usual
    return cells


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


_SHOWN = {
    "purity": ("good pairs %", percent),
    "percentile": ("reference percentile", percent),
    "score": ("score", "{:.2f}".format),
    "passed_score": ("passed over", "{:.2f}".format),
    "concepts": ("clusters", _number),
    "in_batch": ("clusters in a batch", _number),
    "true_concepts": ("concepts", _number),
    "true_in_batch": ("concepts in a batch", _number),
    "distinct": ("distinct rows", "{:,.0f}".format),
    "repeats": ("times each", "{:.2f}".format),
    "never": ("never picked %", percent),
}


def contrast_cells(found: Sequence[Choices]) -> pd.DataFrame:
    """Return text cells: each run that draws jointly, and the same scores drawn alone."""
    rows = []
    for one in found:
        for side in [] if one.joint is None else one.joint.to_dict("records"):
            cells = {"run": one.run.name, "drawn": side["who"], "overlap %": percent(side["overlap"])}
            for name, (title, form) in _SHOWN.items():
                if np.isfinite(side.get(name, np.nan)):
                    cells[title] = form(side[name])
            rows.append(cells | {"how": "made again" if one.exact else "estimated"})
    return pd.DataFrame(rows)


def sentences(one: Choices) -> list[str]:
    """Say in words what a run picked, and what the joint draw did to it."""
    own, usual = one.whole.iloc[0], one.chance_whole.iloc[0]
    pure = (
        f"{percent(own['purity'])} % good pairs (pool: {percent(usual['purity'])} %), "
        if np.isfinite(own["purity"])
        else ""
    )
    name, kind = ("true_concepts", "concepts") if np.isfinite(own["true_concepts"]) else ("concepts", "clusters")
    said = [
        f"{one.run.name}: {pure}on average at percentile {percent(own['percentile'])} of the reference's scores, as varied as "
        f"{_number(own[name])} equally frequent {kind} (uniform: {_number(usual[name])}). Each row was picked {own['repeats']:.1f} times "
        f"(uniform: {usual['repeats']:.1f}), {percent(own['never'])} % of the pool never."
    ]
    return said if one.joint is None else [*said, _joint_sentence(one)]


def _joint_sentence(one: Choices) -> str:
    assert one.joint is not None
    sides = one.joint.set_index("who")
    joint, alone = sides.loc["joint"], sides.loc["alone"]
    pure = (
        f", {percent(alone['purity'])} % good instead of {percent(joint['purity'])} %"
        if np.isfinite(joint["purity"])
        else ""
    )
    name, kind = ("true_concepts", "concepts") if np.isfinite(joint["true_concepts"]) else ("concepts", "clusters")
    return (
        f"{one.run.name}: drawn one by one by the same scores, {percent(joint['overlap'])} % of its picks would have been the same, at "
        f"percentile {percent(alone['percentile'])} instead of {percent(joint['percentile'])}{pure}, as varied as {_number(alone[name])} "
        f"equally frequent {kind} instead of {_number(joint[name])}."
    )


def shown(found: Sequence[Choices]) -> list[Choices]:
    """Choose the runs of the figures: one length, that of most methods (the longest of equals), one run a method, and no uniform ones."""
    runs = [one for one in found if one.run.role in ("simple", "selecting")]
    if not runs:
        return []
    methods = {
        length: {_label(one) for one in runs if one.run.steps == length} for length in {o.run.steps for o in runs}
    }
    length = max(methods, key=lambda steps: (len(methods[steps]), steps))
    first: dict[str, Choices] = {}
    for one in sorted((o for o in runs if o.run.steps == length), key=lambda o: (o.run.seed, o.run.name)):
        first.setdefault(_label(one), one)
    return list(first.values())


def _label(one: Choices) -> str:
    ratio = one.run.filter_ratio
    return f"{one.run.method}, f = {ratio:g}" if ratio else one.run.method


def weight_cells(weights: pd.DataFrame) -> pd.DataFrame:
    """Return `alone.weight_of_others` as text cells."""
    ratio = weights["others"] / weights["own"]
    return pd.DataFrame(
        {
            "b": weights["batch_size"].map("{:,}".format),
            "own match": weights["own"].map("{:.2f}".format),
            "the others": weights["others"].map("{:.2f}".format),
            "others / own": ratio.map("{:.2f}".format),
        }
    )


def render(
    pool: str, found: Sequence[Choices], known: Known, weights: pd.DataFrame, reference: Run | None = None
) -> str:
    """Render the page: self-contained, without any script.

    Args:
        pool: its name. found: of all runs. weights: `alone.weight_of_others`. reference: the reference's own run, if there is one.
    """
    return templating.render(
        "understand.html.j2",
        pool=pool,
        facts=_facts(found, known),
        summary=Table.of(summary_cells(found, reference)),
        contrast=Table.of(contrast_cells(found)),
        weights=Table.of(weight_cells(weights)),
        sentences=[sentence for one in shown(found) for sentence in sentences(one)],
        parts_by_run={one.run.name: Table.of(part_cells(one)) for one in found},
        pictures=_pictures(shown(found)),
        true_concepts=known.true_concept_R is not None,
    )


def _facts(found: Sequence[Choices], known: Known) -> list[str]:
    """Say what the pool is."""
    clusters = 0 if known.concept_R is None else len(np.unique(known.concept_R))
    facts = [f"{len(known):,} rows", f"{clusters:,} clusters of captions", f"{len(found)} runs"]
    if known.good_R is not None:
        told = told_apart(known.reference_R, known.good_R)
        facts.append(
            f"{percent(known.good_R.mean())} % good pairs, which the reference's score tells from bad ones in {percent(told)} % of cases"
        )
    return facts


def _pictures(found: list[Choices]) -> dict[str, Picture]:
    drawn = {}
    if found:
        lines = {_label(o): (o.run.role, o.parts) for o in found}
        drawn["choices"] = picture(lambda theme: choices_figure(lines, found[0].chance_parts, theme), "choices")
    joint = {
        _label(one): (one.joint_parts, one.chance_whole.iloc[0], 1 - one.run.filter_ratio)
        for one in found
        if one.joint_parts is not None
    }
    if joint:
        drawn["contrast"] = picture(lambda theme: contrast_figure(joint, theme), "contrast")
    return drawn
