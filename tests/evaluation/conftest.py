"""A tiny open_clip model, and hand-made splits, ingested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superbatch.data.ingest import ingest
from superbatch.evaluation import EvaluationSet, load_evaluation_set
from superbatch.models import ClipModel
from superbatch.models.build import instantiate

from .handmade import CONFIG, Sample, classification_samples, retrieval_samples, write_classification_root, write_split


@pytest.fixture
def classification(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Make a classification split and ingest it: (ingested directory, root)."""

    def make(split: str = "test", samples: list[Sample] | None = None) -> tuple[Path, Path]:
        root = write_classification_root(tmp_path / "colours")
        shards = write_split(root, split, classification_samples(24) if samples is None else samples)
        ingest(shards, tmp_path / "ingested" / split)
        return tmp_path / "ingested" / split, root

    return make


@pytest.fixture
def retrieval_split(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Make a retrieval split and ingest it: (ingested directory, root)."""

    def make(split: str = "test", samples: list[Sample] | None = None) -> tuple[Path, Path]:
        root = tmp_path / "captions"
        root.mkdir(exist_ok=True)
        (root / "dataset_type.txt").write_text("retrieval\n")
        shards = write_split(root, split, retrieval_samples(10, 3) if samples is None else samples)
        ingest(shards, tmp_path / "ingested_captions" / split)
        return tmp_path / "ingested_captions" / split, root

    return make


@pytest.fixture
def both_sets(
    classification: Callable[..., tuple[Path, Path]], retrieval_split: Callable[..., tuple[Path, Path]]
) -> list[EvaluationSet]:
    """One classification and one retrieval set, split test."""
    return [load_evaluation_set(*classification()), load_evaluation_set(*retrieval_split())]


@pytest.fixture(scope="session")
def tiny() -> ClipModel:
    """A tiny open_clip model in evaluation mode."""
    clip = ClipModel(instantiate(CONFIG, seed=0), CONFIG, "SimpleTokenizer")
    clip.model.eval()
    return clip
