"""benchmarks/rare_names.py: names of held-out teams' drawings by how often the pool has them, and R@1 among them."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from tests.manifests import write_made_up
from tests.project import PROJECT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module("rare_names")


def test_names_are_told_apart_by_their_rows_in_the_pool(
    script: ModuleType, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = [["Home outline"]] * 5 + [["key"]] * 2 + [["something else"]]
    write_made_up(tmp_path / "02_intermediate" / "pool", range(len(captions)), "pool", captions=captions)
    monkeypatch.setattr(script.common, "parameters", lambda _: {"icons": {"test_sets": ["plain"]}})
    found = script.by_kind(argparse.Namespace(data=tmp_path, package=package, seed=0, most=10))
    assert {kind: [name for name, _ in of] for kind, of in found.items() if of} == {
        "1 to 3": ["key"],
        "4 to 9": ["home"],
    }
    assert found["4 to 9"][0][1].size == (script.SIDE, script.SIDE)


def test_recall_is_the_mean_of_both_directions(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.eye(4)
    texts = images.clone()
    texts[1] = (
        2 * images[0]
    )  # the second name is nearest to the first image: one of four images and one of four names are wrong
    monkeypatch.setattr(script, "load_checkpoint", lambda _: SimpleNamespace())
    monkeypatch.setattr(script, "embed_images", lambda *_: images)
    monkeypatch.setattr(script, "embed_texts", lambda *_: texts)
    found = script.recall(Path("model"), [(str(number), None) for number in range(4)])
    alike = images @ texts.T
    right = sum(int(alike[:, n].argmax() == n) + int(alike[n].argmax() == n) for n in range(4))
    assert found == right / 8 < 1
