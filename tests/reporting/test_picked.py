"""What the report says of the runs' picks, and whose picks these are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from conftest import World

from superbatch.data.embeddings import EmbeddingCache, EmbeddingCacheWriter
from superbatch.reporting import Report, find_runs
from superbatch.reporting import picked as room
from superbatch.reporting.choices import along
from superbatch.reporting.picked import foreign, what_is_known
from superbatch.reporting.report_figures import page_figures
from superbatch.reporting.sections.picked import picked

ANOTHER = {"scale": 1.0, "bias": 0.0, "loss": "sigmoid", "fingerprint": "", "reference": "mine", "manifest": "another"}


def row_of(report: Report, name: str) -> dict[str, str]:
    section = picked(report)
    assert section is not None
    return dict(zip(section.runs.columns, next(row for row in section.runs.rows if row[0] == name), strict=True))


def test_each_run_has_a_row_the_main_one_first_and_those_of_its_length_next(report: Report) -> None:
    section = picked(report)
    assert section is not None and not section.left_out and not section.clusters
    names = [row[0] for row in section.runs.rows]
    assert names[0] == report.main.name and set(names) == {run.name for run in report.sources.runs} - {"reference"}
    assert all(f"T{report.main.steps}-" in name for name in names[:6])
    assert [row[0] for row in section.telling.rows] == names[:6]


def test_a_row_says_what_the_picks_are_with_uniform_in_brackets(report: Report, world: World) -> None:
    """By hand from picks, truth and embeddings."""
    run, row = report.main, row_of(report, report.main.name)
    assert run.picks is not None
    rows = run.picks.loc[run.picks["chosen"], "row"].to_numpy()
    truth = (
        pd.read_parquet(world.truth).set_index("key").loc[pd.read_parquet(world.manifest / "manifest.parquet")["key"]]
    )
    good = truth["kind"].isin(["clean", "near_duplicate"]).to_numpy()
    assert row["good pairs %"] == f"{100 * good[rows].mean():.1f} ({100 * good.mean():.1f})"
    scores = EmbeddingCache(world.features / "embeddings.arrow").pair_scores()
    place = ((scores[:, None] > scores).mean(1) + (scores[:, None] >= scores).mean(1)) / 2
    assert row["reference percentile"] == f"{100 * place[rows].mean():.1f} (50.0)"
    share = np.bincount(truth["concept"].to_numpy()[rows]) / len(rows)
    assert row["concepts"].split()[0] == f"{np.exp(-(share * np.log(share)).sum()):.3g}"
    distinct = len(np.unique(rows))
    assert row["distinct rows"].split()[0] == str(distinct)
    assert row["times each"].split()[0] == f"{len(rows) / distinct:.2f}"
    assert row["steps"] == str(run.steps) and "clusters" not in row and "score" not in row


def test_without_the_truth_clusters_stand_in_and_good_pairs_are_left_out(report: Report) -> None:
    blind = Report(replace(report.sources, truth=None))
    row, section = row_of(blind, blind.main.name), picked(blind)
    assert section is not None and section.clusters
    assert "clusters" in row and not {"concepts", "good pairs %"} & set(row)
    assert row["distinct rows"] == row_of(report, report.main.name)["distinct rows"]


def test_a_truth_without_concepts_and_a_pool_too_large_for_clusters(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EmbeddingCache(world.features / "embeddings.arrow")
    pd.read_parquet(world.truth).drop(columns="concept").to_parquet(tmp_path / "truth.parquet")
    known = what_is_known(cache, world.manifest, tmp_path / "truth.parquet", None)
    assert known.true_concept_R is None and known.good_R is not None and known.concept_R is not None
    assert int(known.concept_R.max()) < len(cache) // room.ROWS_A_CLUSTER
    monkeypatch.setattr(room, "MOST_NUMBERS", 0)
    none = what_is_known(cache, world.manifest, None, None)
    assert none.concept_R is None and not none.concepts()
    picks = find_runs(world.runs)[0].picks
    assert picks is not None and along(picks, none, 1)[["concepts", "in_batch"]].isna().all(axis=None)


def test_runs_of_another_pool_or_reference_are_left_out(report: Report, tmp_path: Path) -> None:
    fingerprint = report.sources.fingerprints["pool"]
    for name, settings in {
        "own": {"sets": [fingerprint, "curated"], "reference": "mine"},
        "elsewhere": {"sets": ["another"]},
        "stranger": {"sets": [fingerprint], "reference": "another"},
    }.items():
        synthetic.write_run(tmp_path, "jest", 20, rows=600, name=name, **settings)
    runs = {run.name: run for run in find_runs(tmp_path)}
    assert {name: foreign(run, fingerprint, "mine") for name, run in runs.items()} == {
        "own": "",
        "elsewhere": "pool",
        "stranger": "reference",
    }
    section = picked(Report(replace(report.sources, runs=list(runs.values()), main="own")))
    assert section is not None and [row[0] for row in section.runs.rows] == ["own"]
    assert section.left_out == 1, "the stranger; a run of another pool is not in the report at all"


def test_only_so_many_runs_are_looked_at(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_RUNS", 2)
    section = picked(Report(report.sources))
    assert section is not None and len(section.runs.rows) == 2
    assert section.left_out == len(report.sources.runs) - 1 - 2


def test_without_picks_or_embeddings_there_is_nothing_and_no_figure(report: Report, tmp_path: Path) -> None:
    bare = Report(replace(report.sources, features=None))
    assert picked(bare) is None and "picked" not in page_figures(bare)
    folder = tmp_path / "features"
    folder.mkdir()
    with EmbeddingCacheWriter(folder / "embeddings.arrow", 1, 1, ANOTHER) as cache:
        cache.append(np.ones((600, 1)), np.ones((600, 1)))
    assert picked(Report(replace(report.sources, features=folder))) is None
    path = synthetic.write_run(tmp_path, "jest", 20, rows=600)
    (path / "training" / "picks.parquet").unlink()
    assert picked(Report(replace(report.sources, runs=find_runs(tmp_path)))) is None
