"""An image tower alone is measured by what labelled images teach, on classification sets; no text is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from superbatch.errors import UserError
from superbatch.evaluation import EvaluationSet, Evaluator, evaluate_to_files, load_evaluation_set
from superbatch.evaluation.features import Features
from superbatch.evaluation.knn import knn_hits
from superbatch.evaluation.run import main_metric
from superbatch.models import ClipModel
from superbatch.models.headed import shown_alone
from superbatch.options import EvaluateSettings, LinearProbeSettings
from superbatch.reporting.chance import chance_of, main_metrics

from .handmade import classification_samples


def test_during_training_each_image_is_told_by_the_others(
    both_sets: list[EvaluationSet], tiny: ClipModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    shown = shown_alone(tiny)
    evaluator = Evaluator.for_model(both_sets, shown, "cpu")
    monkeypatch.setattr(evaluator.encoder, "tokenizer", None)  # no text is read
    found = evaluator.evaluate(shown.model, "test")
    assert list(found["metrics"]) == ["colours/knn", "headline"] and list(found["sets"]) == ["colours"]
    image, labels = evaluator.encoder.images(shown.model, both_sets[0]), both_sets[0].labels
    alone = [
        knn_hits(Features(image, labels).of(np.arange(24) != row), Features(image, labels).of(np.arange(24) == row), 4)
        for row in range(24)
    ]
    assert found["metrics"]["colours/knn"] == found["metrics"]["headline"] == np.concatenate(alone).mean()
    assert caplog.messages == ["not measured, because it was trained on images alone: captions"]
    assert chance_of("knn", found["sets"]["colours"]) == 0.25


def test_none_votes_for_itself_whatever_is_near() -> None:
    """Pairs of equal images: by its twin each is right, by the others wrong."""
    image = torch.nn.functional.normalize(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    twins, labels = image.repeat(2, 1), np.tile(np.arange(6), 2)
    assert knn_hits(Features(twins, labels), Features(twins, labels), 6, 1, but_own=True).all()
    alone = Features(image, np.arange(6))
    assert not knn_hits(alone, alone, 6, 6, but_own=True).any()


def test_files_have_the_probe_and_k_nn(classification, tiny: ClipModel, tmp_path: Path) -> None:
    sets = [load_evaluation_set(*classification())]
    sets.append(load_evaluation_set(*classification("validation", classification_samples(40)), split="validation"))
    shown = shown_alone(tiny)
    about = {
        "checkpoint": "it",
        "model_name": "dnc",
        "settings": EvaluateSettings(linear_probe=LinearProbeSettings(20)),
    }
    found = evaluate_to_files(Evaluator.for_model(sets, shown, "cpu"), shown.model, "test", tmp_path, **about)
    details = found["sets"]["colours"]
    assert {"linear_probe", "knn"} <= set(details["metrics"]) and "top1" not in details["metrics"]
    assert details["main"] == details["metrics"]["linear_probe"] and "nearest" not in details
    assert main_metrics(details) == ["linear_probe"] and details["num_classes"] == 4


def test_the_main_metric_is_the_first_that_there_is() -> None:
    assert main_metric({"few_shot_1": 0.1, "knn": 0.2, "linear_probe": 0.3}) == 0.3
    assert main_metric({"few_shot_1": 0.1, "knn": 0.2}) == 0.2 and main_metric({"few_shot_1": 0.1}) == 0.1
    assert main_metrics({"metrics": {"few_shot_5": 0.1}}) == ["few_shot_5"]


def test_without_labels_it_is_one_line(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    shown = shown_alone(tiny)
    with pytest.raises(UserError, match="evaluation sets: none of the split 'test' has labels, and the model was"):
        Evaluator.for_model(both_sets[1:], shown, "cpu").evaluate(shown.model, "test")
