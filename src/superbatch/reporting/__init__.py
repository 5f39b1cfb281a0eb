"""Reports over run directories: curves, tables, targets, purity of picks, a gallery, one self-contained page."""

from superbatch.reporting.report import Report, Sources
from superbatch.reporting.runs import Run, find_runs, runs_frame

__all__ = ["Report", "Run", "Sources", "find_runs", "runs_frame"]
