from __future__ import annotations

from pathlib import Path

import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.page import render
from superbatch.reporting.sections.reference import reference
from superbatch.reporting.trust import cautions


def report_of(root: Path, verdict: str | None, **settings: str) -> Report:
    """A report on a run of jest beside uniform and a reference, checked or not."""
    for method in ("uniform", "jest"):
        for seed in range(2):
            synthetic.write_run(root, method, 20, seed, rows=200, noise=0.001, **settings)
    made = synthetic.write_reference(root)
    if verdict:
        synthetic.write_check(made, verdict)
    return Report(Sources(find_runs(root)))


def test_the_section_has_the_line_and_all_measures_that_are_known(tmp_path: Path) -> None:
    found = reference(report_of(tmp_path, "helps", reference="mine"))
    assert found.line == "It helps: AUC 0.90; do <more>."
    measures = {row[0]: row[1:] for row in found.measures.rows}
    assert measures["AUC by score in a batch, rare concepts"] == ("0.90", "[0.85, 0.95]", "77")
    assert measures["R@1 in 64, held out"] == ("90.0 %", "[85.0, 95.0]", "77")
    assert measures["loss, held out"][0] == "3.00"
    assert measures["loss, held out, with scale and bias fitted to them"][0] == "2.50"
    assert measures["bad pairs in the pool, estimated"][2] == "2,000"
    assert measures["true pairs in the filter's best 30 %, estimated"][0] == "90.0 %"
    assert not any("frequent" in name or "training" in name or "easy_reference" in name for name in measures)


def test_only_a_reference_that_is_not_found_to_help_is_to_be_borne_in_mind(tmp_path: Path) -> None:
    weak, good = report_of(tmp_path / "a", "would_harm"), report_of(tmp_path / "b", "helps")
    line = "The reference check: it would_harm: AUC 0.90; do <more>."
    assert line in cautions(weak) and not any("reference check" in said for said in cautions(good))


def test_a_run_without_a_check_or_of_another_reference_says_so(tmp_path: Path) -> None:
    for report in (report_of(tmp_path / "a", None), report_of(tmp_path / "b", "unsure", reference="another")):
        assert report.reference_check is None and reference(report).line == ""
    page = render(report)
    assert "reference was found: it is not known whether it is good enough" in page and 'class="plot check"' not in page
