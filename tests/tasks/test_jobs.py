"""Jobs from directories: what decides a run beyond its settings and data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superbatch.data.ingest import ingest
from superbatch.evaluation import ingest_evaluation_sets
from superbatch.evaluation.store import SPLITS
from superbatch.options import ModelSettings, ReferenceSettings, TrainingSettings
from superbatch.tasks.jobs import build_reference
from tests.evaluation.handmade import CLASSNAMES, classification_samples, write_classification_root, write_split
from tests.tiny_model import tiny_model_cfg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An evaluation set, and a curated set that has its shards."""
    root = write_classification_root(tmp_path / "colours")
    for split in SPLITS:
        write_split(root, split, classification_samples(8))
    ingest([root / "validation" / "0.tar"], tmp_path / "curated")
    (tmp_path / "model.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    ingest_evaluation_sets({"colours": (root, SPLITS)}, tmp_path / "sets")
    return tmp_path


@pytest.mark.parametrize(
    ("keep_best", "counts"), [(None, False), ("held_out/r1", False), ("colours/top1", True), ("low/colours/top1", True)]
)
def test_a_validation_set_counts_where_it_decides_which_checkpoint_is_kept(
    folder: Path, keep_best: str | None, counts: bool
) -> None:
    """Two validation sets under one run hash gave two results, whichever came first."""
    model = ModelSettings(config=str(folder / "model.json"))
    training = TrainingSettings(batch_size=2, steps=2, device="cpu", keep_best=keep_best)
    settings = ReferenceSettings(model, training)

    def run_hash() -> str:
        return build_reference(settings, folder / "curated", folder / "sets", folder / "state").run_hash

    before = run_hash()
    (folder / "colours" / "classnames.txt").write_text("\n".join(reversed(CLASSNAMES)) + "\n")
    assert (run_hash() != before) == counts
