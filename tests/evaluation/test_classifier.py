"""A classifier is measured by its class weights, on the sets of its classes alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from superbatch.errors import UserError
from superbatch.evaluation import EvaluationSet, Evaluator, evaluate_to_files
from superbatch.models import ClipModel
from superbatch.models.classifier import Classifier
from superbatch.options import EvaluateSettings

from .handmade import CLASSNAMES


@pytest.fixture
def classifier(tiny: ClipModel) -> Classifier:
    return Classifier(tiny, CLASSNAMES, 10.0, 0).eval()


def test_class_weights_take_the_place_of_prompts(
    both_sets: list[EvaluationSet], classifier: Classifier, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    caplog.set_level("INFO")
    evaluator = Evaluator.for_model(both_sets, classifier.shown, "cpu")
    monkeypatch.setattr(evaluator.encoder, "tokenizer", None)  # no text is read
    found = evaluator.evaluate(classifier, "test")
    assert list(found["sets"]) == ["colours"] and found["metrics"]["headline"] == found["metrics"]["colours/top1"]
    images = evaluator.encoder.images(classifier, both_sets[0])
    with torch.no_grad():
        right = classifier.logits(images).argmax(1) == torch.tensor(both_sets[0].labels.tolist())
    assert found["metrics"]["colours/top1"] == float(right.float().mean())
    evaluator.evaluate(classifier, "test")
    told = [line for line in caplog.messages if line.startswith("not measured")]
    assert len(told) == 1 and told[0].endswith("its own classes only: captions")


def test_files_have_what_labelled_images_teach_too(
    both_sets: list[EvaluationSet], classifier: Classifier, tmp_path: Path
) -> None:
    evaluator = Evaluator.for_model(both_sets, classifier.shown, "cpu")
    about = {"checkpoint": "it", "model_name": "classact", "settings": EvaluateSettings()}
    found = evaluate_to_files(evaluator, classifier, "test", tmp_path, **about)
    assert [path.name for path in tmp_path.glob("*.json")] == ["colours.json"]
    assert found["sets"]["colours"]["nearest"] and "headline" in found["metrics"]


def test_a_classifier_of_other_classes_is_one_line(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    other = Classifier(tiny, ["violet", "red"], 10.0, 0)
    with pytest.raises(
        UserError, match="classifier: is measured on no set: none of the split 'test' is of its classes"
    ):
        Evaluator.for_model(both_sets, other.shown, "cpu").evaluate(other, "test")
