"""What the audit refuses, without a project around it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from superbatch.curation.decide import write_decisions
from superbatch.curation.scores import MANIFEST_KEY
from superbatch.data.embeddings import EmbeddingCache, EmbeddingCacheWriter
from superbatch.data.fields import Source
from superbatch.data.sampling import rows_aside
from superbatch.errors import UserError
from superbatch.options import PoolSettings, RuleSettings
from superbatch.pipelines.audit.inputs import check_run, open_draw, open_embeddings, open_run, rows_in_use
from superbatch.tasks.filtering import kept
from tests.manifests import write_made_up

MANIFEST = SimpleNamespace(fingerprint="f" * 16, path=Path("pool/manifest.parquet"), num_rows=40)


def training(folder: Path, *, picks: bool = True, plan: int = 10, rows: int = 40, **settings: Any) -> Path:
    """A run's records: b = 2 of B = 10 out of the set above, three steps."""
    place = folder / "jest" / "training"
    place.mkdir(parents=True)
    chosen = {"selection": {"method": "joint", "filter_ratio": 0.8}, "sets": ["f" * 16], "reference": "r"} | settings
    record = {
        "run": "jest",
        "seed": 5,
        "plan": {"super_batch_size": plan, "batch_size": 2, "rows": rows},
        "settings": chosen,
    }
    (place / "run.json").write_text(json.dumps(record))
    (place / "stage.stamp").write_text("{}")
    if picks:
        frame = pd.DataFrame({"step": [0, 2], "row": [1, 2], "score": [0.5, 0.5], "chosen": [True, False]})
        frame.to_parquet(place / "picks.parquet")
    return place


def features(folder: Path, **facts: str) -> Path:
    metadata = {
        "scale": 1.0,
        "bias": 0.0,
        "loss": "sigmoid",
        "fingerprint": "x",
        "reference": "r",
        "manifest": "f" * 16,
    }
    image = np.c_[np.ones((40, 3)), np.linspace(-1, 1, 40)]  # the later, the nearer to its caption
    with EmbeddingCacheWriter(folder / "embeddings.arrow", 4, 4, metadata | facts) as writer:
        writer.append(image, np.repeat([[1, 1, 1, 1], [1, 0, 0, 1]], [30, 10], axis=0))
    return folder


def test_a_draw_is_what_the_run_s_settings_say(tmp_path: Path) -> None:
    run = open_run(training(tmp_path, pool={"keep_share": 0.5}, training={"shuffle_window": 20}))
    cache = open_embeddings(run, features(tmp_path), MANIFEST)  # type: ignore[arg-type]
    draw = open_draw(run, MANIFEST, rows_in_use(run, cache))  # type: ignore[arg-type]
    assert (draw.steps, draw.batch_size, draw.base_rate) == (3, 2, 0.2)
    best = np.argsort(-cache.pair_scores(), kind="stable")[:20]
    assert draw.rows is not None and list(draw.rows) == sorted(best)
    order = draw.order
    assert (order.seed, order.num_rows, order.batch_size, order.shuffle_window) == (5, 20, 10, 20)
    assert draw.learnability
    with pytest.raises(AssertionError, match="which rows were in use is not known"):
        open_draw(run, MANIFEST).super_batch(0)  # type: ignore[arg-type]


@pytest.mark.parametrize("adapt", [None, {"every": 1, "sample": 100, "power": 1.0}])
def test_rows_that_joined_by_their_captions_are_found_in_that_order(tmp_path: Path, adapt: dict | None) -> None:
    captions = [["cat" if row >= 30 else f"the only {row}"] for row in range(40)]
    manifest = write_made_up(tmp_path / "set", range(40), "a", captions=captions)
    first = {"steps": 10, "first_share": 0.25, "grows_over": 0.5, "first_by": "rarity"}
    run = open_run(
        training(
            tmp_path,
            training=first,
            sets=[manifest.fingerprint],
            selection={"method": "joint", "criterion": "easy_reference", "filter_ratio": 0.8, "adapt": adapt},
        )
    )
    cache = EmbeddingCache(features(tmp_path) / "embeddings.arrow")
    draw = open_draw(run, manifest, rows_in_use(run, cache, manifest))
    cats, drawn = set(range(30, 40)), set(draw.super_batch(0).tolist())
    aside = set() if adapt is None else set(rows_aside(run.selection, 40, run.seed).tolist())
    assert cats - aside <= drawn and not aside & drawn


def test_a_filter_over_clusters_is_made_anew_and_held_against_the_run_s(tmp_path: Path) -> None:
    pool = {"keep_share": 0.5, "add_curated": False, "clusters": 2, "balance": 1.0}
    cache = EmbeddingCache(features(tmp_path) / "embeddings.arrow")
    filtered = kept(cache, PoolSettings(**pool))
    run = open_run(training(tmp_path / "a", pool=pool, **filtered.identity))
    rows = rows_in_use(run, cache)
    assert rows is not None and list(rows) == list(range(20, 40)) == list(filtered.rows)
    assert open_draw(run, MANIFEST, rows).order.num_rows == 20  # type: ignore[arg-type]
    other = open_run(training(tmp_path / "b", pool=pool, kept_rows="0" * 16))
    with pytest.raises(
        UserError,
        match=r"run\.json: was trained on other rows .* clusters come out differently here .*; audit it where",
    ):
        rows_in_use(other, cache)
    assert rows_in_use(open_run(training(tmp_path / "c")), cache) is None


def test_the_criterion_decides_whether_scores_are_learnability(tmp_path: Path) -> None:
    run = open_run(training(tmp_path, selection={"method": "joint", "criterion": "hard_learner"}))
    assert not open_draw(run, MANIFEST).learnability  # type: ignore[arg-type]


def test_a_score_of_a_method_s_own_is_no_learnability(tmp_path: Path) -> None:
    place = training(tmp_path)
    record = json.loads((place / "run.json").read_text())
    (place / "run.json").write_text(json.dumps(record | {"score": "brevity"}))
    assert not open_draw(open_run(place), MANIFEST).learnability  # type: ignore[arg-type]


def test_a_run_that_changed_its_rule_is_audited_by_both(tmp_path: Path) -> None:
    then = {"after": 0.34, "criterion": "easy_learner", "filter_ratio": 0.5, "final_filter_ratio": None}
    both = {"method": "joint", "filter_ratio": 0.8, "criterion": "learnability", "then": then}
    draw = open_draw(open_run(training(tmp_path, selection=both, training={"steps": 3})), MANIFEST)  # type: ignore[arg-type]
    assert [len(draw.super_batch(step)) for step in range(3)] == [10, 4, 4]
    assert (draw.learnability, draw.new_kind, draw.base_rate) == (False, 1, 6 / 18)


@pytest.mark.parametrize("share", [1.0, 0.75])
def test_a_run_whose_f_followed_the_learner_is_audited_by_what_it_measured(tmp_path: Path, share: float) -> None:
    """Of 40 or 30 rows it drew from all but the tenth that it measured by; B = 10 at step 0, and 2 / 0.5 from then on."""
    adapt = {"every": 1, "sample": 100, "power": 1.0}
    follows = {"method": "joint", "filter_ratio": 0.8, "criterion": "learnability", "adapt": adapt}
    folder = training(tmp_path, selection=follows, training={"steps": 3}, pool={"keep_share": share})
    measured = pd.DataFrame(
        {"step": [0, 1, 2], "name": "pool/right_pairs", "value": [0.0, 5 / 3, 0.5], "split": "pool"}
    )
    other = measured.assign(name="set/top1", split="validation")
    pd.concat([measured, other]).to_parquet(folder / "evaluations.parquet")
    run, cache = open_run(folder), EmbeddingCache(features(tmp_path) / "embeddings.arrow")
    draw = open_draw(run, MANIFEST, rows_in_use(run, cache))  # type: ignore[arg-type]
    in_use = kept(cache, PoolSettings(keep_share=share)).rows
    in_use = np.arange(40) if in_use is None else in_use
    source = Source({}, in_use, rows_aside(run.selection, len(in_use), 5))
    assert draw.rows is not None and draw.order.num_rows == len(draw.rows) == source.num_rows == len(in_use) * 9 // 10
    assert [len(draw.super_batch(step)) for step in range(3)] == [10, 4, 4]
    assert draw.super_batch(1).tolist() == source.manifest_rows(draw.order.rows(1)).tolist()
    assert not set(draw.rows) & set(source.left_out.rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["chance", "rarity"])
def test_a_run_that_took_in_what_it_had_measured_by_is_audited_with_these_rows(tmp_path: Path, by: str) -> None:
    """On labels f fell from step 4 to 8; then, with the tenth that it had measured by, 40 rows of b = 2 are 20 steps."""
    manifest = write_made_up(tmp_path / "set", range(40), "a", captions=[[f"a {row}"] for row in range(40)])
    follows = {
        "method": "joint",
        "filter_ratio": 0.8,
        "criterion": "easy_reference",
        "adapt": {"every": 1, "sample": 100, "power": 1.0},
        "then": {"after": None, "criterion": "easy_learner", "filter_ratio": 0.5, "min_filter_ratio": 0.0},
    }
    first = {"steps": 28, "first_by": by} | ({"first_share": 0.5, "grows_over": 0.1} if by == "rarity" else {})
    folder = training(tmp_path, selection=follows, training=first, sets=[manifest.fingerprint])
    measured = pd.DataFrame(
        [
            {"step": step, "name": name, "value": value, "split": "pool"}
            for step in range(5)
            for name, value in (("pool/right_pairs", 0.5), ("pool/lead_over_reference", 0.1), ("pool/captions_are_labels", 1.0))
        ]
    )  # fmt: skip
    measured.loc[len(measured)] = [4, "pool/last_measurement", 1.0, "pool"]
    measured.to_parquet(folder / "evaluations.parquet")
    run, cache = open_run(folder), EmbeddingCache(features(tmp_path) / "embeddings.arrow")
    draw = open_draw(run, manifest, rows_in_use(run, cache, manifest))
    aside = rows_aside(run.selection, 40, 5)
    assert run.fell == range(4, 8) and draw.rows is not None and sorted(draw.rows[36:]) == list(range(40))
    assert not set(aside) & {row for step in range(8) for row in draw.super_batch(step).tolist()}
    assert sorted(np.concatenate([draw.super_batch(step) for step in range(8, 28)])) == list(range(40))
    assert draw.seen(0, 28)[aside].tolist() == [1] * 4


def test_runs_without_picks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="audit.run: 'jest' trains on everything it draws"):
        open_run(training(tmp_path / "a", selection={"method": "uniform"}, plan=2))
    with pytest.raises(UserError, match=r"picks\.parquet: no picks were found; train the run again"):
        open_run(training(tmp_path / "b", picks=False))


def test_another_pool_or_reference_is_refused(tmp_path: Path) -> None:
    foreign = open_run(training(tmp_path / "a", sets=["0" * 16]))
    with pytest.raises(UserError, match=r"run\.json: was trained on other sets than pool/manifest\.parquet"):
        open_draw(foreign, MANIFEST)  # type: ignore[arg-type]
    run = open_run(training(tmp_path / "b"))
    with pytest.raises(UserError, match="are from another reference than the one that 'jest' was trained with"):
        open_embeddings(run, features(tmp_path / "a", reference="other"), MANIFEST)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="are of another pool"):
        open_embeddings(run, features(tmp_path / "b", manifest="other"), MANIFEST)  # type: ignore[arg-type]


def test_a_run_without_a_reference_takes_the_scores_of_any(tmp_path: Path) -> None:
    run = open_run(training(tmp_path, selection={"method": "joint", "criterion": "hard_learner"}, reference=None))
    assert len(open_embeddings(run, features(tmp_path, reference="any"), MANIFEST)) == 40  # type: ignore[arg-type]
    with pytest.raises(UserError, match="are of another pool"):
        open_embeddings(run, features(tmp_path, manifest="other"), MANIFEST)  # type: ignore[arg-type]


def test_a_missing_run_names_the_nearest(tmp_path: Path) -> None:
    check_run("jest", training(tmp_path))
    with pytest.raises(UserError, match=r"^audit.run: no finished run is called 'jset' \(.*\); did you mean jest\?"):
        check_run("jset", tmp_path / "jset" / "training")
    with pytest.raises(UserError, match="no run is finished"):
        check_run("jest", tmp_path / "nothing" / "jest" / "training")


def test_a_run_by_a_decision_drew_from_what_it_keeps(tmp_path: Path) -> None:
    manifest = write_made_up(tmp_path / "set", range(40), "pool")
    scores = pa.table({"reference_cosine": np.linspace(0, 1, 40)})
    scores = scores.replace_schema_metadata({MANIFEST_KEY: manifest.fingerprint})
    low = RuleSettings("low", column="reference_cosine", best_share=0.5)
    kept_rows = write_decisions(scores, {"best": [low]}, manifest, tmp_path)["best"]["digest"]
    by: dict[str, Any] = {"sets": [manifest.fingerprint], "pool": {"curated_by": "best"}, "rows": 20}
    run = open_run(training(tmp_path / "a", kept_rows=kept_rows, **by))
    cache = open_embeddings(run, features(tmp_path, manifest=manifest.fingerprint), manifest)
    draw = open_draw(run, manifest, rows_in_use(run, cache, manifest, tmp_path))
    assert draw.rows is not None and list(draw.rows) == list(range(20, 40)) and draw.order.num_rows == 20
    with pytest.raises(
        UserError, match="'jest' drew from what the decision best keeps; set audit.decision to best too"
    ):
        rows_in_use(run, cache)
    other = open_run(training(tmp_path / "b", kept_rows="f" * 16, **by))
    with pytest.raises(UserError, match="the decision has changed since; train the run again, or decide as before"):
        rows_in_use(other, cache, manifest, tmp_path)
