from __future__ import annotations

from pathlib import Path

import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.findings import cautions, sentences


def test_another_reference_than_the_run_s_is_said(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, "jest", 20, reference="a" * 64)
    synthetic.write_run(tmp_path, "uniform", 20, name="reference")
    assert any("another reference" in line for line in cautions(Report(Sources(find_runs(tmp_path)))))


def test_another_headline_is_said(report: Report) -> None:
    other = Report(Sources(report.sources.runs, metric="birds/top1"))
    assert other.metric == "headline" and any("No run has birds/top1" in line for line in sentences(other))
    retrieval = Report(Sources(report.sources.runs, metric="retrieval/image_to_text_r1"))
    assert retrieval.title == "image to text R@1 on retrieval" and f"{retrieval.title} %" in retrieval.cells
