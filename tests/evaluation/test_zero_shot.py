"""Zero-shot classification against scikit-learn and open_clip's own classifier."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, top_k_accuracy_score

from superbatch.errors import UserError
from superbatch.evaluation.intervals import wilson
from superbatch.evaluation.prompts import expand_prompts, fill_template
from superbatch.evaluation.zero_shot import class_weights, zero_shot_classification


def problem(
    seed: int, num_images: int, num_classes: int, width: int = 16
) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(num_classes, width, generator=generator)
    labels = torch.randint(num_classes, (num_images,), generator=generator)
    return weights[labels] + 1.5 * torch.randn(num_images, width, generator=generator), labels.numpy(), weights


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20), num_images=st.integers(1, 80), num_classes=st.integers(6, 15), block=st.integers(1, 100)
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_golden_numbers(seed: int, num_images: int, num_classes: int, block: int) -> None:
    images, labels, weights = problem(seed, num_images, num_classes)
    result = zero_shot_classification(images, labels, weights, block=block)
    logits = (
        torch.nn.functional.normalize(images.double()) @ torch.nn.functional.normalize(weights.double()).T
    ).numpy()
    guess, everything = logits.argmax(1), np.arange(num_classes)
    assert result["metrics"]["top1"] == pytest.approx(accuracy_score(labels, guess))
    assert result["metrics"]["top5"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=everything))
    assert result["metrics"]["mean_per_class"] == pytest.approx(balanced_accuracy_score(labels, guess))
    recall = recall_score(labels, guess, labels=everything, average=None, zero_division=np.nan)
    for row, expected in zip(result["per_class"], recall, strict=True):
        assert (row["top1"] is None) == bool(np.isnan(expected))
        assert row["top1"] is None or row["top1"] == pytest.approx(expected)
    assert sum(row["n"] for row in result["per_class"]) == num_images == result["num_images"]
    assert result["confidence"]["top1"] == wilson(result["metrics"]["top1"], num_images)


def test_the_block_changes_nothing() -> None:
    images, labels, weights = problem(0, 100, 12)
    results = [zero_shot_classification(images, labels, weights, block=block) for block in (1, 9, 1000)]
    assert all(result == results[0] for result in results)


def test_a_collapsed_model_is_right_about_class_0_alone() -> None:
    result = zero_shot_classification(torch.ones(8, 3), np.arange(8), torch.ones(8, 3))
    assert result["metrics"]["top1"] == 1 / 8 and result["metrics"]["top5"] == 5 / 8


def test_class_names_and_empty_classes_are_reported() -> None:
    result = zero_shot_classification(torch.eye(2, 3), np.array([0, 1]), torch.eye(3), classnames=["ant", "bee", "cow"])
    assert [row["name"] for row in result["per_class"]] == ["ant", "bee", "cow"]
    assert [row["n"] for row in result["per_class"]] == [1, 1, 0]
    assert result["per_class"][2]["top1"] is None and result["metrics"]["mean_per_class"] == 1.0


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_out_of_range(labels: list[int]) -> None:
    with pytest.raises(UserError, match="with 3 classes"):
        zero_shot_classification(torch.eye(2, 3), np.array(labels), torch.eye(3))


def test_no_images() -> None:
    with pytest.raises(UserError, match="0 images"):
        zero_shot_classification(torch.zeros(0, 3), np.array([], dtype=int), torch.eye(3))


def test_templates_of_both_kinds() -> None:
    assert fill_template("a {c}, a {c}.", "cat") == "a cat, a cat."
    assert fill_template("a {}.", "cat") == "a cat."
    assert fill_template("a {c}.", "set {}") == "a set {}."
    assert expand_prompts(["cat", "dog"], ["a {c}", "the {c}"]) == ["a cat", "the cat", "a dog", "the dog"]


def test_class_weights_are_the_renormalised_mean_of_unit_embeddings() -> None:
    seen: list[str] = []
    prompts = expand_prompts(["x", "y"], ["a {c}", "b {c}", "c {c}"])
    generator = torch.Generator().manual_seed(0)
    table = {text: torch.randn(8, generator=generator) * (i + 1) for i, text in enumerate(prompts)}

    def encode(texts: list[str]) -> torch.Tensor:
        seen.extend(texts)
        return torch.stack([table[text] for text in texts])

    weights = class_weights(encode, ["x", "y"], ["a {c}", "b {c}", "c {c}", "a {c}"], batch_size=4)
    assert sorted(seen) == sorted(table)  # each distinct prompt once
    for row, name in zip(weights, ["x", "y"], strict=True):
        units = [table[f"{t} {name}"] / table[f"{t} {name}"].norm() for t in ("a", "b", "c", "a")]
        mean = sum(units) / 4
        torch.testing.assert_close(row, mean / mean.norm())


@pytest.mark.parametrize(("names", "templates", "where"), [([], ["{c}"], "classnames"), (["x"], [], "templates")])
def test_empty_lists(names: list[str], templates: list[str], where: str) -> None:
    with pytest.raises(UserError, match=where):
        class_weights(lambda texts: torch.ones(len(texts), 2), names, templates)
