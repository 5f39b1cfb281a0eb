"""Augmented views: each change against torchvision's own, and that a view follows from its image and numbers alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as vision

from superbatch.data import augment
from superbatch.data.augment import NUMBERS, augmented
from superbatch.data.fields import Drawn
from superbatch.options import AugmentSettings

SIDE = 20
AS_IT_IS = AugmentSettings(min_area=1, flip=0, jitter=0, gray=0, blur=0)


def pictures(count: int, side: int = SIDE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    found = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    found[0] = found[0, :1]  # one without colours
    return found


def numbers(rows: np.ndarray, step: int = 0) -> torch.Tensor:
    return torch.from_numpy(Drawn(3, 1_000, NUMBERS).read(rows, step))


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (augment.brightened, vision.adjust_brightness, (0.6, 1.4)),
        (augment.contrasted, vision.adjust_contrast, (0.6, 1.4)),
        (augment.saturated, vision.adjust_saturation, (0.8, 1.2)),
        (augment.hue_turned, vision.adjust_hue, (-0.5, 0.1)),
    ],
)
def test_colours_change_as_torchvision_changes_them(ours, theirs, factors):
    images = pictures(6).float() / 255
    factor = torch.linspace(*factors, 6, dtype=torch.float64)
    expected = torch.stack([theirs(image, float(one)) for image, one in zip(images, factor, strict=True)])
    torch.testing.assert_close(ours(images, factor), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("side", [20, 32, 50])
def test_a_blur_is_torchvisions(side):
    images, sigma = pictures(4, side).float() / 255, torch.tensor([0.1, 0.7, 2.0, 0.0], dtype=torch.float64)
    found = augment.blurred(images, sigma)
    size = 2 * (round(0.1 * side) // 2) + 1
    for image, one, mine in zip(images[:3], sigma, found, strict=False):
        torch.testing.assert_close(mine, vision.gaussian_blur(image, [size, size], [float(one)] * 2), rtol=0, atol=2e-6)
    assert torch.equal(found[3], images[3])


def test_a_crop_is_torchvisions_resized_crop():
    images, rows = pictures(40).float() / 255, np.arange(40)
    boxes = augment.crop_boxes(augment._Draws(numbers(rows)), SIDE, 0.1)
    flipped = torch.from_numpy(rows % 2 == 0)
    found = augment._crop(images, boxes, flipped)
    for image, box, flip, mine in zip(images, boxes.long().tolist(), flipped, found, strict=True):
        expected = vision.resized_crop(image, *box, [SIDE, SIDE], antialias=True)
        expected = vision.horizontal_flip(expected) if flip else expected
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-5)


def test_boxes_lie_inside_and_have_the_areas_that_were_asked_for():
    boxes = augment.crop_boxes(augment._Draws(torch.rand(4_000, NUMBERS, dtype=torch.float64)), 32, 0.2)
    top, left, height, width = boxes.unbind(1)
    assert (boxes == boxes.round()).all() and min(top.min(), left.min()) >= 0 and min(height.min(), width.min()) >= 1
    assert (top + height).max() <= 32 and (left + width).max() <= 32
    area = height * width / 32**2
    assert area.min() > 0.17 and area.mean() == pytest.approx(0.6, abs=0.02)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 50))
@settings(max_examples=25)
def test_a_view_follows_from_its_row_and_step_however_rows_are_batched(sizes: list[int], step: int):
    """To the bit: micro-batches, ranks and a resumed run see what one process saw."""
    edges = [sum(sizes[:index]) for index in range(len(sizes) + 1)]
    images, rows = pictures(edges[-1]), np.arange(edges[-1])
    whole = augmented(images, numbers(rows, step), AugmentSettings())
    parts = [
        augmented(images[first:last], numbers(rows[first:last], step), AugmentSettings())
        for first, last in pairwise(edges)
    ]
    assert torch.equal(torch.cat(parts), whole)
    back = torch.from_numpy(rows[::-1].copy())
    assert torch.equal(augmented(images[back], numbers(rows[::-1].copy(), step), AugmentSettings()), whole[back])
    assert whole.dtype == torch.float32 and whole.min() >= 0 and whole.max() <= 255


def test_steps_and_rows_differ_and_images_are_left_alone():
    images = pictures(8)[1:2].expand(8, -1, -1, -1).contiguous()
    before, rows = images.clone(), np.arange(8)
    views = [augmented(images, numbers(rows, step), AugmentSettings()) for step in (0, 1)]
    assert torch.equal(images, before) and not torch.equal(*views)
    assert len({tuple(view.flatten().tolist()) for view in torch.cat(views)}) == 16


def test_without_changes_a_view_is_the_image():
    images = pictures(5)
    torch.testing.assert_close(augmented(images, numbers(np.arange(5)), AS_IT_IS), images.float(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ["flip", "gray"])
def test_chances_are_kept(name):
    images, rows = pictures(400), np.arange(400)
    changed = augmented(images, numbers(rows), AugmentSettings(**{**vars(AS_IT_IS), name: 0.3})) - images.float()
    share = float((changed.abs().amax((1, 2, 3)) > 1).float().mean())
    assert share == pytest.approx(0.3, abs=0.07)


def test_tiny_images_are_not_blurred():
    images = pictures(3, 1)
    assert augmented(images, numbers(np.arange(3)), AugmentSettings()).shape == (3, 3, 1, 1)
