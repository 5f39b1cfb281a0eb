"""Reports over run directories: curves, tables, targets, purity of picks, a gallery, one self-contained page."""

from superbatch.reporting.finals import runs_frame
from superbatch.reporting.report import Report
from superbatch.reporting.runs import Run, find_runs
from superbatch.reporting.sources import Sources

__all__ = ["Report", "Run", "Sources", "find_runs", "runs_frame"]
