"""What bootstrapping charges: every training and every embedding of its rounds once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superbatch.artifacts.stamps import write_stamp
from superbatch.options import BootstrapSettings, ReferenceSettings
from superbatch.tasks.bootstrap import Bootstrapping
from superbatch.tasks.charges import charges
from superbatch.tasks.jobs import Directories
from superbatch.tasks.rounds import Features, Round, write_records

TRAINING, EMBEDDING = 100.0, 7.0  # operations of each; seconds are a tenth


def round_of(root: Path, number: int, embedded: bool) -> Round:
    """A round's records as its training and its embedding leave them."""
    training, pool = root / f"training{number}", root / f"pool{number}"
    training.mkdir(parents=True)
    run = {
        "final": {"headline": 0.1},
        "flops": {"as_executed_total": TRAINING, "charged": {}},
        "seconds": {"seconds_train": TRAINING / 10},
    }
    (training / "run.json").write_text(json.dumps(run))
    if embedded:
        pool.mkdir()
        (pool / "features.json").write_text(json.dumps({"flops": EMBEDDING, "seconds": EMBEDDING / 10}))
    return Round(root / "model", training, Features(pool, root / "curated") if embedded else None)


@pytest.mark.parametrize("embedded", [2, 3], ids=["a round after it was tried", "it is the last"])
def test_a_learner_by_the_second_reference_owes_every_embedding_once(tmp_path: Path, embedded: int) -> None:
    """Three rounds: the first reference, and two more. Where round 1 is kept and a second was tried, its features are there already."""
    kept = embedded - 1
    rounds = [round_of(tmp_path, number, number < 2) for number in range(3)]
    write_records(tmp_path / "out", rounds, kept, "headline")
    pool = tmp_path / f"pool{kept}"
    if not pool.exists():  # embedded after bootstrapping
        pool.mkdir()
        (pool / "features.json").write_text(json.dumps({"flops": EMBEDDING, "seconds": EMBEDDING / 10}))
    owed = charges(tmp_path / "out", pool)
    assert sum(spent.flops for spent in owed.values()) == 3 * TRAINING + embedded * EMBEDDING
    assert sum(spent.seconds or 0 for spent in owed.values()) == pytest.approx(
        (3 * TRAINING + embedded * EMBEDDING) / 10
    )


def test_sets_that_were_packed_anew_are_enlarged_anew(tmp_path: Path) -> None:
    """An enlarged set says where in their shards the samples lie; the sets' fingerprints are of images and captions alone."""
    for name in ("pool", "curated"):
        write_stamp(tmp_path / name, "0" * 16)
    given = Directories(*(tmp_path / name for name in ("pool", "a", "curated", "b", "c", "d", "e", "f")))
    made_from = Bootstrapping(
        BootstrapSettings(), ReferenceSettings(), given, tmp_path, lambda *_: pytest.fail("embeds")
    )
    before = made_from.packed
    write_stamp(tmp_path / "pool", "1" * 16)
    assert before == ["0" * 16, "0" * 16] and made_from.packed == ["1" * 16, "0" * 16]
