"""Reports over run directories: curves, tables, targets, purity of picks, a gallery, one self-contained page."""

from superbatch.reporting.finals import runs_frame
from superbatch.reporting.report import Report, Sources
from superbatch.reporting.runs import Run, find_runs

__all__ = ["Report", "Run", "Sources", "find_runs", "runs_frame"]
