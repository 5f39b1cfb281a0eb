from __future__ import annotations

from pathlib import Path

import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.figures import png
from superbatch.reporting.report_figures import file_figures


def test_every_report_has_all_plots(report: Report, tmp_path: Path) -> None:
    names = ["accuracy_by_steps", "accuracy_by_samples", "accuracy_by_flops", "accuracy_by_seconds", "purity"]
    assert list(file_figures(report)) == names
    path = synthetic.write_run(tmp_path, "uniform", 20)
    (path / "training" / "evaluations.parquet").unlink()
    bare = file_figures(Report(Sources(find_runs(tmp_path))))
    assert list(bare) == names
    assert all(png(figure, dpi=30).startswith(b"\x89PNG") for figure in bare.values())
