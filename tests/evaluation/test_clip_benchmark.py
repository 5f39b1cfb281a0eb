"""Our numbers are CLIP_benchmark's own, to 1e-6, on one checkpoint and one set of each kind; runs where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from superbatch.models import ClipModel, save_checkpoint
from tests.project import PROJECT

from .handmade import classification_samples, retrieval_samples, write_classification_root, write_split

pytest.importorskip("clip_benchmark")


@pytest.mark.parametrize("kind", ["classification", "retrieval"])
def test_every_figure_agrees(kind: str, tmp_path: Path, tiny: ClipModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(PROJECT / "benchmarks"), *sys.path])
    from evaluation import compared

    root = write_classification_root(tmp_path / kind)
    (root / "dataset_type.txt").write_text(kind)
    samples = classification_samples(40) if kind == "classification" else retrieval_samples(40, 3)
    write_split(root, "test", samples)
    save_checkpoint(tmp_path / "checkpoint", tiny, {})
    found = compared(tmp_path / "checkpoint", root, "test")
    peer = found["clip_benchmark"]
    assert len(peer) == (2 if kind == "classification" else 6)
    for name, value in peer.items():
        assert found["ours"][name] == pytest.approx(value, abs=1e-6), name
    assert 0 < min(peer.values()) < 1, "figures that could differ"
