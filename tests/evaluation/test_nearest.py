"""The nearest images, against a ranking in float64 of the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superbatch.errors import UserError
from superbatch.evaluation import EvaluationSet, Evaluator
from superbatch.evaluation.nearest import ASKED, nearest, nearest_of_set
from superbatch.models import ClipModel


def oracle(images: np.ndarray, texts: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort all cosines of unit vectors; equal ones by number."""
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, texts)]
    cosines = unit[1] @ unit[0].T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :top]
    return order, np.take_along_axis(cosines, order, 1)


@pytest.mark.parametrize("block", [1, 7, 64, 500])
@pytest.mark.parametrize("kind", [torch.float16, torch.float32])
def test_blocks_of_any_size_rank_as_the_whole_matrix(block: int, kind: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(300, 16, generator=generator).to(kind)
    texts = torch.randn(5, 16, generator=generator)
    numbers, cosines = nearest(images.split(block), texts, 9)
    wanted, exact = oracle(images.double().numpy(), texts.double().numpy(), 9)
    assert numbers.dtype == np.int64 and np.array_equal(numbers, wanted)
    assert np.allclose(cosines, exact, atol=1e-7)


@pytest.mark.parametrize("block", [1, 2, 3, 10])
def test_equal_cosines_come_in_the_order_of_the_images(block: int) -> None:
    near, far = torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.8])
    images = torch.stack([far, near, far, 3 * near, far, near])
    numbers, cosines = nearest(images.split(block), near[None], 5)
    assert numbers.tolist() == [[1, 3, 5, 0, 2]]
    assert np.allclose(cosines, [[1, 1, 1, 0.6, 0.6]], atol=1e-7)


def test_fewer_images_than_places_are_all_there_are() -> None:
    numbers, cosines = nearest([torch.eye(3)], torch.eye(3)[:1], 12)
    assert numbers.tolist() == [[0, 1, 2]] and cosines.shape == (1, 3)


def test_embeddings_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UserError, match="not finite"):
        nearest([torch.full((2, 4), torch.nan)], torch.ones(1, 4), 1)


def test_a_result_has_the_images_nearest_to_each_class(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    evaluator = Evaluator.for_model(both_sets, tiny, "cpu")
    colours, captions = both_sets
    found = evaluator.evaluate_set(tiny.model, colours, pictures=True)["nearest"]
    assert [entry["text"] for entry in found] == list(colours.classnames)
    assert all(len(entry["rows"]) == len(set(entry["rows"])) == 8 for entry in found)
    assert all(entry["cosines"] == sorted(entry["cosines"], reverse=True) for entry in found)
    asked = evaluator.evaluate_set(tiny.model, captions, pictures=True)["nearest"]
    assert [entry["text"] for entry in asked] == list(captions.captions)
    assert "nearest" not in evaluator.evaluate_set(tiny.model, colours), "a training has no use for it"


def test_of_many_captions_some_are_asked_for(both_sets: list[EvaluationSet]) -> None:
    captions = both_sets[1]
    many = EvaluationSet("many", "retrieval", "test", captions.manifest, captions=tuple(map(str, range(1000))))
    asked = nearest_of_set(many, torch.randn(10, 4), torch.randn(1000, 4))
    assert 0 < len(asked) <= ASKED and asked[0]["text"] == "0" and int(asked[-1]["text"]) > 900


def test_below_an_image_stands_its_class_or_its_caption(both_sets: list[EvaluationSet]) -> None:
    colours, captions = both_sets
    assert colours.image_captions == [colours.classnames[label] for label in colours.labels]
    assert captions.image_captions == [texts[0] for texts in captions.manifest.captions()]
