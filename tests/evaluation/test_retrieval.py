"""Retrieval against dense oracles: any number of captions, ties, tiles of any size, bounded memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from superbatch.errors import UserError
from superbatch.evaluation.retrieval import RECALL_AT, retrieval, retrieval_ranks


def embeddings(
    seed: int, owner: np.ndarray, num_images: int, width: int, distinct: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Make images and noisy texts; with `distinct`, rows repeat, so that many scores tie."""
    generator = torch.Generator().manual_seed(seed)
    if distinct:
        table = torch.randn(distinct, width, generator=generator)
        image = table[torch.randint(distinct, (num_images,), generator=generator)]
        return image, table[torch.randint(distinct, (len(owner),), generator=generator)]
    image = torch.randn(num_images, width, generator=generator)
    return image, image[owner] + 2 * torch.randn(len(owner), width, generator=generator)


def oracle_ranks(image: torch.Tensor, text: torch.Tensor, owner: np.ndarray) -> tuple[list[int], list[int]]:
    """Sort whole rows of whole numbers, own items last among equals: position of the first own one."""
    grid_image, grid_text = (
        np.rint((x.double() / x.double().norm(dim=1, keepdim=True)).numpy() * 2**26).astype(np.int64)
        for x in (image, text)
    )
    scores = grid_image @ grid_text.T
    own = owner[None, :] == np.arange(len(image))[:, None]

    def first_own(score: np.ndarray, mine: np.ndarray) -> int:
        return int(mine[np.lexsort((mine, -score))].argmax())

    return [first_own(*row) for row in zip(scores, own, strict=True)], [
        first_own(*c) for c in zip(scores.T, own.T, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(
    captions=st.lists(st.integers(1, 4), min_size=1, max_size=24),
    distinct=st.sampled_from([0, 1, 2, 5]),
    width=st.integers(1, 9),
    seed=st.integers(0, 2**20),
    block=st.integers(1, 40),
)
def test_ranks_equal_a_sort(captions: list[int], distinct: int, width: int, seed: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(len(captions)), captions))
    image, text = embeddings(seed, owner, len(captions), width, distinct)
    by_image, by_text = retrieval_ranks(image, text, torch.from_numpy(owner), block=block)
    assert (by_image.tolist(), by_text.tolist()) == oracle_ranks(image, text, owner)


def clip_benchmark_recall(scores: torch.Tensor, positive: torch.Tensor, k: int) -> float:
    """CLIP_benchmark's definition on a dense matrix: queries with any positive among the top k."""
    top = scores.topk(k, dim=1).indices
    return float(positive.gather(1, top).any(1).float().mean())


@pytest.mark.parametrize("captions", [1, 5])
def test_golden_numbers(captions: int) -> None:
    owner = np.repeat(np.arange(300), captions)
    image, text = embeddings(3, owner, 300, 32)
    result = retrieval(image, text, owner)
    unit_image, unit_text = (torch.nn.functional.normalize(x.double(), dim=-1) for x in (image, text))
    scores = unit_image @ unit_text.T
    positive = torch.from_numpy(owner)[None] == torch.arange(300)[:, None]
    for k in RECALL_AT:
        assert result["metrics"][f"text_to_image_r{k}"] == pytest.approx(
            top_k_accuracy_score(owner, scores.T.numpy(), k=k, labels=np.arange(300))
        )
        assert result["metrics"][f"text_to_image_r{k}"] == pytest.approx(clip_benchmark_recall(scores.T, positive.T, k))
        assert result["metrics"][f"image_to_text_r{k}"] == pytest.approx(clip_benchmark_recall(scores, positive, k))
    assert (result["num_images"], result["num_texts"]) == (300, 300 * captions)
    assert 0.05 < result["metrics"]["text_to_image_r1"] < 0.95


def test_the_block_changes_nothing_bit_for_bit() -> None:
    owner = np.repeat(np.arange(101), 3)
    image, text = embeddings(5, owner, 101, 64, distinct=40)
    results = [retrieval(image, text, owner, block=block) for block in (1, 7, 64, 100_000)]
    assert all(result == results[0] for result in results)


def test_ties_count_against_the_query() -> None:
    alike = torch.ones(12, 4)
    metrics = retrieval(alike, alike, np.arange(12))["metrics"]
    assert set(metrics.values()) == {0.0}


def test_own_captions_do_not_compete_with_each_other() -> None:
    """Five equal captions an image: the first five texts of each image are all its own."""
    image = torch.eye(4)
    owner = np.repeat(np.arange(4), 5)
    metrics = retrieval(image, image[owner], owner)["metrics"]
    assert set(metrics.values()) == {1.0}


def test_a_caption_that_two_images_share_is_a_competitor() -> None:
    image = torch.eye(3)
    text = torch.stack([image[0] + 0.1 * image[1], image[0] + 0.1 * image[1], image[2]])
    result = retrieval(image, text, np.arange(3))["metrics"]
    assert result["image_to_text_r1"] == pytest.approx(1 / 3)
    assert result["text_to_image_r1"] == pytest.approx(2 / 3)


def test_confidence_encloses_the_metric() -> None:
    owner = np.repeat(np.arange(200), 5)
    result = retrieval(*embeddings(0, owner, 200, 16), owner)
    for name, (low, high) in result["confidence"].items():
        assert low < result["metrics"][name] < high


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        ([0, 1], "one entry for each text"),
        ([0, 1, 5], "names images"),
        ([0, 1, -1], "names images"),
        ([0, 0, 0], "1 images have no text"),
    ],
)
def test_wrong_maps_are_refused(owner: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        retrieval(torch.eye(2, 4), torch.eye(3, 4), np.array(owner))


def test_no_images() -> None:
    with pytest.raises(UserError, match="of 0 images"):
        retrieval(torch.zeros(0, 4), torch.zeros(0, 4), np.array([], dtype=int))


MEMORY = """
import resource, torch
from superbatch.evaluation.retrieval import retrieval
torch.set_num_threads(1)
images = torch.randn(20_000, 8)
retrieval(images[:2_000], images[:2_000], torch.arange(2_000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
metrics = retrieval(images, images, torch.arange(20_000))["metrics"]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, metrics["text_to_image_r1"])
"""


def test_memory_does_not_grow_with_images_times_texts() -> None:
    """20,000 x 20,000: one float32 matrix would be 1.6 GB."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120)
    kib, recall = done.stdout.split()
    assert float(recall) == 1.0
    assert int(kib) < 100 * 1024
