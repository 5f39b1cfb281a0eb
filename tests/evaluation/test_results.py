"""Result files: what they carry, and when they are computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from superbatch.evaluation import EvaluationSet, Evaluator, evaluate_to_files
from superbatch.models import ClipModel


@pytest.fixture
def evaluator(both_sets: list[EvaluationSet], tiny: ClipModel) -> Evaluator:
    return Evaluator.for_model(both_sets, tiny, "cpu")


def run(evaluator: Evaluator, tiny: ClipModel, out: Path, checkpoint: str = "abc", **options: Any) -> dict[str, Any]:
    return evaluate_to_files(evaluator, tiny.model, "test", out, checkpoint=checkpoint, model_name="tiny", **options)


def test_a_result_says_what_was_measured(evaluator: Evaluator, tiny: ClipModel, tmp_path: Path) -> None:
    found = run(evaluator, tiny, tmp_path)
    for name, kind, images in (("colours", "classification", 24), ("captions", "retrieval", 10)):
        result = json.loads((tmp_path / f"{name}.json").read_text())
        assert (result["set"], result["kind"], result["split"], result["num_images"]) == (name, kind, "test", images)
        assert (result["checkpoint"], result["model"], result["image_size"]) == ("abc", "tiny", 16)
        assert result["versions"]["torch"] == torch.__version__ and result["seconds"] >= 0
        assert result["metrics"] == found["sets"][name]["metrics"]
        assert set(result["confidence"]) <= set(result["metrics"])
    assert found["metrics"] == evaluator.evaluate(tiny.model, "test")["metrics"]


def test_an_equal_result_is_not_computed_again(
    evaluator: Evaluator, tiny: ClipModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(evaluator, tiny, tmp_path)
    assert first["skipped"] == []
    monkeypatch.setattr(Evaluator, "evaluate_set", None)
    again = run(evaluator, tiny, tmp_path)
    assert again["skipped"] == ["colours", "captions"] and again["metrics"] == first["metrics"]


def test_anything_else_is_computed_again(
    evaluator: Evaluator, tiny: ClipModel, tmp_path: Path, both_sets: list[EvaluationSet]
) -> None:
    run(evaluator, tiny, tmp_path)
    assert run(evaluator, tiny, tmp_path, fresh=True)["skipped"] == []
    assert run(evaluator, tiny, tmp_path, checkpoint="def")["skipped"] == []
    other = Evaluator(both_sets, tiny.tokenizer(), tiny.image_size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "cpu")
    assert run(other, tiny, tmp_path, checkpoint="def")["skipped"] == []


def test_a_broken_file_is_computed_again(evaluator: Evaluator, tiny: ClipModel, tmp_path: Path) -> None:
    run(evaluator, tiny, tmp_path)
    (tmp_path / "colours.json").write_text('{"identity": ')
    (tmp_path / "captions.json").write_text("[]")
    assert run(evaluator, tiny, tmp_path)["skipped"] == []
