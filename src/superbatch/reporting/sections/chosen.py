"""What was chosen: the gallery, and what its scores mean."""

from __future__ import annotations

from superbatch.reporting import html
from superbatch.reporting.report import Report
from superbatch.reporting.runs import Run
from superbatch.reporting.shelves import shelf


def gallery_lead(report: Report) -> str:
    """The sentence above the gallery: what stands below each image; empty without a gallery."""
    if not report.shelves:
        return ""
    known = " The last word says what the simulated pair really is." if report.kinds is not None else ""
    return f"Image, caption, the score it was judged by ({_criterion(report.main)}), and the step.{known}"


def chosen(report: Report) -> str:
    """The shelves of the gallery."""
    if not report.shelves:
        return html.missing(
            f"{report.main.name} trains on all it draws, or kept no picks: there is nothing to show here."
        )
    return "".join(map(shelf, report.shelves))


def _criterion(run: Run) -> str:
    meanings = {
        "learnability": "learnability: the learner's loss minus the reference's, high for what is still to be learned and can be",
        "easy_reference": "minus the reference's loss, high for what the reference finds easy",
        "hard_learner": "the learner's loss, high for what the learner finds hard",
    }
    return meanings.get(str(run.setting("selection", "criterion", "learnability")), "as the method defines it")
