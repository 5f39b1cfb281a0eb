"""The checklist: can the result be trusted? Each question with what is known, and the command that settles it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.commands import environment, kedro_run
from superbatch.reporting.reference_check import check_caution, weights_of
from superbatch.reporting.weak_reference import reference_sentence, reference_standing

if TYPE_CHECKING:
    from superbatch.reporting.comparison import Remark
    from superbatch.reporting.report import Report

ENOUGH_SEEDS = 3
RECORDED_KINDS = {"uniform", "independent", "joint"}  # what run.json may have in the place of a preset's name

State = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Check:
    """One line of the checklist.

    Attributes:
        question: what is asked, short. state: its answer. words: a sentence on it.
        runs: entries of `compare.runs`, and command, what is run then: what would settle it; empty where nothing has to be done.
        weighs: whether an open one makes the result provisional, and is said on the console.
    """

    question: str
    state: State
    words: str
    runs: tuple[str, ...] = ()
    command: str = ""
    weighs: bool = True

    @property
    def file(self) -> str:
        """Where the entries go: of conf/local and an environment the command reads one."""
        return f"conf/{environment(self.command) or 'local'}/parameters.yml"

    @property
    def open(self) -> bool:
        """Whether it weakens the result."""
        return self.state != "yes"


def checks(report: Report) -> list[Check]:
    """All that a reader should ask, in the order of weight; near chance one question alone."""
    if report.at_chance:
        return [_chance(report), *_seeds(report)]
    reference = [] if report.of_images else [_reference(report), *_reference_check(report), *_other_reference(report)]
    remarks = [remark for remark in report.comparison.remarks if remark.about != "uniform" or not report.stands_alone]
    found = [*reference, *_seeds(report), *_as_long(report)]
    return [*found, *(_baseline(report, remark) for remark in remarks), *_shorter(report)]


def cautions(report: Report) -> list[str]:
    """The sentences of what is open."""
    return [check.words for check in checks(report) if check.open and check.weighs]


def unfair(report: Report) -> bool:
    """Whether the reference alone is above uniform: what is gained may be its own."""
    found = (
        None if report.at_chance or report.of_images else reference_standing(report.with_own_reference(report.finals))
    )
    return found is not None and found.difference.above


def _chance(report: Report) -> Check:
    longer = f"learner.training.steps={2 * max(1, report.main.steps)}"
    words = "Runs near chance cannot be compared: train for longer."
    return Check(
        "Has anything been learned?", "no", words, command=_chain(report, preset(report), longer), weighs=False
    )


def _reference(report: Report) -> Check:
    question, alone = "Is the reference weaker than uniform?", report.with_own_reference(report.finals)
    found, words = reference_standing(alone), reference_sentence(alone)
    own = preset(report)
    if found is None:
        again = own if report.finals["role"].eq("reference").any() else "jest"
        return Check(question, "unknown", words, command=_chain(report, again))
    if found.far_below:
        steps = f"reference.training.steps={2 * (report.reference.steps if report.reference else 0) or 1600}"
        return Check("Is the reference strong enough?", "no", words, command=_chain(report, own, steps))
    if found.difference.below:
        return Check(question, "yes", words)
    if not found.uniform.settled:
        return Check(question, "no", words, *_grid(report, {"uniform": (2 * found.uniform.steps, [0])}))
    return Check(question, "no", words, command=_chain(report, own, "reference.held_out=0.5"))


def _reference_check(report: Report) -> list[Check]:
    question, found = "Does the reference tell true pairs from false ones?", report.reference_check
    if report.main.settings.get("reference") is None and found is None:
        return []
    if found is None:
        words = "No check of this run's reference was found."
        return [Check(question, "unknown", words, command=_command(report, "--pipelines=check,report"), weighs=False)]
    if found["verdict"] == "helps":
        return [Check(question, "yes", _sentence(str(found["sentence"])))]
    # The remedy needs other data or another model; the command runs the chain again with it.
    return [Check(question, "no", check_caution(found), command=_chain(report, preset(report)))]


def _other_reference(report: Report) -> list[Check]:
    used = report.main.settings.get("reference")
    weights = report.reference and weights_of(report.reference)
    if not used or not weights or used == weights:
        return []
    words = f"{report.main.name} was trained with a different reference from the one shown here: run it again, or train that reference again."
    return [Check("Is this the run's own reference?", "no", words, command=_chain(report, preset(report)))]


def _seeds(report: Report) -> list[Check]:
    """How many seeds the main method and uniform have, at the main run's length."""
    frame = report.tuned[report.tuned["steps"] == report.main.steps]
    own = (frame["method"] == report.method) & (frame["f"] == report.main.filter_ratio)
    shown = frame[own | frame["run"].isin(uniform_of(report.tuned)["run"])]
    seeds = {str(method): set(cell["seed"]) for method, cell in shown.groupby("method")}
    if not seeds:
        return []
    question, fewest = "Would another seed say the same?", min(map(len, seeds.values()))
    if fewest > 1:
        return [Check(question, "yes", f"At least {fewest} seeds of each: intervals are over seeds (Student's t).")]
    words = "One seed (n = 1): intervals are over test images only, and another seed may shift these values by several points."
    missing = {m: (report.main.steps, _missing(had)) for m, had in seeds.items()}
    return [Check(question, "no", words, *_grid(report, missing))]


def _as_long(report: Report) -> list[Check]:
    """Whether uniform was run for as many steps; what was gained says the same on the console."""
    uniform, steps = uniform_of(report.tuned), report.main.steps
    if report.main.role == "uniform" or uniform.empty or (uniform["steps"] == steps).any():
        return []
    words = f"Uniform was not run for {steps:,} steps, so there is no gain at equal steps."
    grid = _grid(report, {"uniform": (steps, [report.main.seed])})
    return [Check("Was uniform run for as many steps?", "no", words, *grid, weighs=False)]


def _missing(had: set[int]) -> list[int]:
    return [seed for seed in range(ENOUGH_SEEDS + len(had)) if seed not in had][: max(0, ENOUGH_SEEDS - len(had))]


def _baseline(report: Report, remark: Remark) -> Check:
    """What is to be said of a baseline, as a line of the checklist."""
    question = {
        "uniform": "Has uniform converged?",
        "simple": "Is there a simple rival, and has it converged?",
        "splits": "Are all values from one split?",
    }[remark.about]
    if remark.good:
        return Check(question, "yes", remark.text)
    if remark.about == "splits":
        return Check(question, "no", remark.text, command=_command(report, "--pipelines=evaluate,report"))
    if remark.check is None and report.main.given_start:
        rival = f"{{method: uniform, label: uniform_on, steps: {report.main.steps}, seeds: [{report.main.seed}], set: {{model.pretrained: <the same weights>}}}}"
        words = "No uniform run starts from given weights, so there is no target to reach."
        return Check(
            "Was uniform run from the same weights?",
            "no",
            words,
            (rival,),
            _command(report, "--pipelines=compare,report"),
        )
    if remark.check is None:
        beside = _chain(report, "uniform", f"learner.training.steps={report.main.steps}")
        return Check("Was uniform run too?", "no", remark.text, command=beside)
    method, steps = remark.check
    return Check(question, "unknown", remark.text, *_grid(report, {method: (steps, [0])}))


def _shorter(report: Report) -> list[Check]:
    """Whether a speed-up could be seen at all; the console says the same in the sentence on the target."""
    own = report.outcome(report.comparison.uniform)
    if own is None or not own.at_least:
        return []
    words = f"The shortest run of {own.label}, {own.steps:,} steps, reached uniform's accuracy, so fewer may be enough."
    grid = _grid(report, {report.method: (max(1, own.shortest // 2), [report.main.seed])})
    return [Check("Was a shorter run tried?", "unknown", words, *grid, weighs=False)]


def preset(report: Report) -> str:
    """The name of the main run's preset, by which a chain and a grid know it."""
    recorded = str(report.main.record.get("method") or "")
    return report.method if recorded in RECORDED_KINDS or not recorded else recorded


def _grid(report: Report, wanted: dict[str, tuple[int, list[int]]]) -> tuple[tuple[str, ...], str]:
    """Entries and command of further runs beside those that are there: method -> (steps, seeds)."""
    entries = []
    for method, (steps, seeds) in wanted.items():
        own = method == report.method
        name, f = (preset(report), report.main.filter_ratio) if own else (method, 0.0)
        ratio = f"filter_ratio: {f:g}, " if f > 0 and report.main.setting("selection", "adapt") is None else ""
        if seeds:
            entries.append(f"{{method: {name}, {ratio}steps: {steps}, seeds: {seeds}}}")
    return tuple(entries), _command(report, "--pipelines=compare,report")


def _chain(report: Report, method: str, *params: str) -> str:
    return kedro_run(report.sources.command, f"--pipeline={method}", params=params)


def _command(report: Report, *options: str) -> str:
    return kedro_run(report.sources.command, *options)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
