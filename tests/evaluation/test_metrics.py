from __future__ import annotations

from pathlib import Path

import torch

from superbatch.evaluation.metrics import METRICS, metrics_of
from superbatch.evaluation.retrieval import retrieval
from superbatch.evaluation.zero_shot import zero_shot_classification


def test_the_names_are_those_that_evaluations_have() -> None:
    torch.manual_seed(0)
    images, texts = torch.randn(6, 4), torch.randn(6, 4)
    found = zero_shot_classification(images, [0, 1, 2, 3, 4, 5], texts)["metrics"]
    assert tuple(found) == METRICS["classification"]
    assert sorted(retrieval(images, texts, list(range(6)))["metrics"]) == sorted(METRICS["retrieval"])


def test_kinds_are_read_off_the_files_beside_the_splits(tmp_path: Path) -> None:
    for name, file, content in (("birds", "classnames.txt", "a\nb"), ("scenes", "dataset_type.txt", "retrieval\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(content)
    known = metrics_of({name: tmp_path / name for name in ("birds", "scenes", "later")})
    assert "birds/top1" in known and "birds/image_to_text_r1" not in known
    assert "scenes/image_to_text_r1" in known and "scenes/top1" not in known
    assert {"later/top1", "later/text_to_image_r10", "headline"} <= set(known)
