from __future__ import annotations

from pathlib import Path

import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.figures import png
from superbatch.reporting.report_figures import file_figures, page_figures
from superbatch.reporting.theme import DARK, LIGHT


def test_figures_build_in_both_themes_and_repeat(report: Report) -> None:
    light, dark = page_figures(report, LIGHT), page_figures(report, DARK)
    assert (
        list(light)
        == list(dark)
        == ["accuracy", "cost", "schedules", "check", "purity", "scores", "standing", "health", "time"]
    )
    assert png(light["time"], dpi=40) == png(page_figures(report, LIGHT)["time"], dpi=40) != png(dark["time"], dpi=40)


def test_every_report_has_all_plots(report: Report, tmp_path: Path) -> None:
    names = ["accuracy_by_steps", "accuracy_by_samples", "accuracy_by_flops", "accuracy_by_seconds", "purity"]
    assert list(file_figures(report)) == names
    path = synthetic.write_run(tmp_path, "uniform", 20)
    (path / "training" / "evaluations.parquet").unlink()
    bare = file_figures(Report(Sources(find_runs(tmp_path))))
    assert list(bare) == names
    assert all(png(figure, dpi=30).startswith(b"\x89PNG") for figure in bare.values())
