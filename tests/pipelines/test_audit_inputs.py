"""What the audit refuses, without a project around it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from superbatch.data.embeddings import EmbeddingCacheWriter
from superbatch.errors import UserError
from superbatch.pipelines.audit.inputs import check_run, open_draw, open_run, pair_scores

MANIFEST = SimpleNamespace(fingerprint="f" * 16, path=Path("pool/manifest.parquet"), num_rows=40)


def training(folder: Path, *, picks: bool = True, plan: int = 10, **settings: Any) -> Path:
    """A run's records: b = 2 of B = 10 out of the set above, three steps."""
    place = folder / "jest" / "training"
    place.mkdir(parents=True)
    chosen = {"selection": {"method": "joint", "filter_ratio": 0.8}, "sets": ["f" * 16], "reference": "r"} | settings
    record = {"run": "jest", "seed": 5, "plan": {"super_batch_size": plan, "batch_size": 2}, "settings": chosen}
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
    with EmbeddingCacheWriter(folder / "embeddings.arrow", 4, 4, metadata | facts) as writer:
        writer.append(np.ones((40, 4)), np.ones((40, 4)))
    return folder


def test_a_draw_is_what_the_run_s_settings_say(tmp_path: Path) -> None:
    run = open_run(training(tmp_path, pool={"keep_share": 0.5}, training={"shuffle_window": 20}))
    scores = np.arange(40.0)
    draw = open_draw(run, MANIFEST, scores)  # type: ignore[arg-type]
    assert (draw.steps, draw.batch_size, draw.base_rate) == (3, 2, 0.2)
    assert draw.rows is not None and list(draw.rows) == list(range(20, 40))
    order = draw.order
    assert (order.seed, order.num_rows, order.batch_size, order.shuffle_window) == (5, 20, 10, 20)
    assert draw.learnability
    assert np.allclose(pair_scores(run, features(tmp_path), MANIFEST), 1)  # type: ignore[arg-type]


def test_the_criterion_decides_whether_scores_are_learnability(tmp_path: Path) -> None:
    run = open_run(training(tmp_path, selection={"method": "joint", "criterion": "hard_learner"}))
    assert not open_draw(run, MANIFEST, np.zeros(40)).learnability  # type: ignore[arg-type]


def test_runs_without_picks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="audit.run: 'jest' trains on all it draws"):
        open_run(training(tmp_path / "a", selection={"method": "uniform"}, plan=2))
    with pytest.raises(UserError, match=r"picks\.parquet: no picks are there; train the run again"):
        open_run(training(tmp_path / "b", picks=False))


def test_another_pool_or_reference_is_refused(tmp_path: Path) -> None:
    foreign = open_run(training(tmp_path / "a", sets=["0" * 16]))
    with pytest.raises(UserError, match=r"run\.json: was trained on other sets than pool/manifest\.parquet"):
        open_draw(foreign, MANIFEST, np.zeros(40))  # type: ignore[arg-type]
    run = open_run(training(tmp_path / "b"))
    with pytest.raises(UserError, match="are of another reference than 'jest' was trained with"):
        pair_scores(run, features(tmp_path / "a", reference="other"), MANIFEST)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="are of another pool"):
        pair_scores(run, features(tmp_path / "b", manifest="other"), MANIFEST)  # type: ignore[arg-type]


def test_a_missing_run_names_the_nearest(tmp_path: Path) -> None:
    check_run("jest", training(tmp_path))
    with pytest.raises(UserError, match=r"^audit.run: no finished run is called 'jset' \(.*\); did you mean jest\?"):
        check_run("jset", tmp_path / "jset" / "training")
    with pytest.raises(UserError, match="no run is finished"):
        check_run("jest", tmp_path / "nothing" / "jest" / "training")
