"""Figures of a report, as matplotlib Figures without any global state (no pyplot)."""

from superbatch.reporting.figures.accuracy import accuracy_figure, flops_figure
from superbatch.reporting.figures.audit import audit_figure
from superbatch.reporting.figures.canvas import sentence_figure
from superbatch.reporting.figures.check import check_figure
from superbatch.reporting.figures.choices import choices_figure, contrast_figure
from superbatch.reporting.figures.files import picture, png, svg
from superbatch.reporting.figures.health import health_figure, time_figure
from superbatch.reporting.figures.picks import kinds_figure, purity_figure, scores_figure, standing_figure
from superbatch.reporting.figures.schedules import schedule_figure

__all__ = [
    "accuracy_figure",
    "audit_figure",
    "check_figure",
    "choices_figure",
    "contrast_figure",
    "flops_figure",
    "health_figure",
    "kinds_figure",
    "picture",
    "png",
    "purity_figure",
    "schedule_figure",
    "scores_figure",
    "sentence_figure",
    "standing_figure",
    "svg",
    "time_figure",
]
