"""The low view: PI-resize is what FlexiViT's paper says, the full view stays the model's own, and gradients reach the master."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.layers import resample_abs_pos_embed, resample_patch_embed

from superbatch.errors import UserError
from superbatch.models.build import ClipModel, instantiate
from superbatch.models.cost import closed_form, count_forward, count_low
from superbatch.models.flexible import AtLow, LowView, kept_patches, resize_matrix, resized
from superbatch.models.short import check_short, encode_short, shortened
from superbatch.options import LowSettings
from tests.tiny_model import tiny_model_cfg

TIMM = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}
HYBRID = TIMM | {"timm_model_name": "vit_tiny_r_s16_p8_224", "image_size": 64}  # its patches are of feature maps
LOWS = ("patch", "image", "drop")


def tiny(**vision: Any) -> ClipModel:
    """A model of 32 pixels in patches of 8."""
    config = tiny_model_cfg(vocab_size=64)
    config["vision_cfg"] |= {"image_size": 32, **vision}
    clip = ClipModel(instantiate({"model_cfg": config}, 0), {"model_cfg": config}, "SimpleTokenizer")
    clip.model.eval()
    return clip


def low(kind: str, clip: ClipModel, patch: int) -> LowSettings:
    """Patches twice as large, an image half as large, or half of the patches."""
    sizes = {"patch": {"patch_size": 2 * patch}, "image": {"image_size": clip.image_size // 2}}
    return LowSettings(**sizes.get(kind, {"patch_drop": 0.5}))


def pillow(square: np.ndarray, side: int) -> np.ndarray:
    """Resize as our images are resized."""
    return np.asarray(Image.fromarray(square.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))


@settings(deadline=None)
@given(old=st.integers(1, 9), more=st.integers(0, 12), seed=st.integers(0, 99))
def test_a_token_of_an_enlarged_patch_is_that_of_the_patch(old: int, more: int, seed: int) -> None:
    """The pseudo-inverse property, in float64, and by the reader's own filter."""
    rng, new = np.random.default_rng(seed), old + more
    patch, kernel = rng.normal(size=(2, old, old))
    found = resized(torch.from_numpy(kernel), torch.linalg.pinv(resize_matrix(old, new))).numpy()
    matrix = resize_matrix(old, new).numpy()
    assert np.vdot(matrix @ patch @ matrix.T, found) == pytest.approx(np.vdot(patch, kernel), abs=1e-9)
    assert np.vdot(pillow(patch, new), found) == pytest.approx(np.vdot(patch, kernel), abs=1e-4 * new)


def test_it_is_the_pseudo_inverse_of_the_whole_resize_and_timms() -> None:
    kernel = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    found = resized(kernel, torch.linalg.pinv(resize_matrix(8, 16)))
    whole = np.linalg.pinv(np.kron(resize_matrix(8, 16), resize_matrix(8, 16)))
    assert np.allclose(found.flatten(2), kernel.flatten(2).numpy() @ whole, atol=1e-12)
    torch.testing.assert_close(found.float(), resample_patch_embed(kernel.float(), [16, 16]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [1, 4, 8])
def test_at_its_own_size_nothing_is_changed(side: int) -> None:
    own = torch.randn(3, side, side)
    for matrix in (torch.linalg.pinv(resize_matrix(side, side)), resize_matrix(side, side).T):
        torch.testing.assert_close(resized(own, matrix.float()), own, atol=1e-6, rtol=0)


VISIONS: dict[str, dict[str, Any]] = {"class token": {}, "no class token": {"pool_type": "avg"}, "timm": TIMM}


@pytest.mark.parametrize("vision", VISIONS)
def test_a_pretrained_vit_keeps_its_outputs_and_its_names(vision: str) -> None:
    """Warm start across resolutions: bit for bit, so to 1e-5 too."""
    clip = tiny(**VISIONS[vision])
    names, images = list(clip.model.state_dict()), torch.randn(2, 3, clip.image_size, clip.image_size)
    with torch.no_grad():
        before = clip.model.encode_image(images)
        patch = 16 if vision == "timm" else 8
        views = [LowView(clip, low(kind, clip, patch)) for kind in LOWS]
        found = [view.encode_image(*view.inputs(2)) for view in views]
        assert torch.equal(clip.model.encode_image(images), before)
        every = torch.arange(views[2].grid[0] ** 2).expand(2, -1)
        torch.testing.assert_close(views[2].encode_image(images, every), before, atol=1e-5, rtol=0)
    assert {one.shape for one in found} == {before.shape} and list(clip.model.state_dict()) == names
    assert [len(list(view.weights())) for view in views] == [2, 1, 0]


@pytest.mark.parametrize("vision", ["class token", "timm"])
def test_positions_are_timms_and_those_in_front_stay(vision: str) -> None:
    clip, extra = tiny(**VISIONS[vision]), 1
    view = LowView(clip, low("image", clip, 8))
    table = clip.model.visual.get_parameter(view.places.positions).detach()
    table = table.reshape(1, *table.shape[-2:])
    new = view.grid[1]
    expected = resample_abs_pos_embed(table, [new, new], num_prefix_tokens=extra)
    found = view.weights()[view.places.positions].detach().reshape(expected.shape)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert torch.equal(found[:, :extra], table[:, :extra])


@pytest.mark.parametrize("kind", LOWS)
def test_gradients_reach_every_weight_of_the_tower(kind: str) -> None:
    clip = tiny()
    view, before = LowView(clip, low(kind, clip, 8)), copy.deepcopy(clip.model.state_dict())
    images, kept = view.inputs(2)
    view.encode_image(torch.randn_like(images), kept).square().sum().backward()
    for name, weight in clip.model.visual.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name
    assert all(torch.equal(one, before[name]) for name, one in clip.model.state_dict().items())


def test_the_masters_gradient_is_that_of_a_nudge() -> None:
    """To both sides, so that curvature does not count where the nudge happens to run along a level line."""
    clip = tiny()
    clip.model.double()
    view = LowView(clip, LowSettings(patch_size=16))
    view._kernel, view._positions = view._kernel.double(), view._positions.double()
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    master = clip.model.visual.conv1.weight

    def value() -> torch.Tensor:
        return view.encode_image(images).sum()

    gradient = torch.autograd.grad(value(), master)[0]
    nudge = torch.randn_like(master) * 1e-6
    with torch.no_grad():
        master.add_(nudge)
        above = value()
        master.sub_(2 * nudge)
        assert float(above - value()) / 2 == pytest.approx(float((gradient * nudge).sum()), rel=1e-3)


def test_a_dropped_patch_is_not_looked_at() -> None:
    clip = tiny()
    view, images = LowView(clip, LowSettings(patch_drop=0.5)), torch.randn(1, 3, 32, 32)
    kept, other = torch.arange(8)[None], images.clone()
    other[..., 16:, :] = 0  # patches 8 to 15
    with torch.no_grad():
        assert torch.equal(view.encode_image(images, kept), view.encode_image(other, kept))
        assert not torch.equal(view.encode_image(images, kept), view.encode_image(images, kept + 8))
    assert kept_patches(LowSettings(patch_drop=0.99), 16) == 1


def test_a_low_view_costs_its_closed_form() -> None:
    clip = tiny()
    full = closed_form(clip.config)
    assert count_forward(clip).image == pytest.approx(full.image, rel=0.01)
    for one, change in ((LowSettings(patch_size=16), "patch_size"), (LowSettings(image_size=16), "image_size")):
        model = clip.config["model_cfg"]
        cheaper = {"model_cfg": model | {"vision_cfg": model["vision_cfg"] | {change: 16}}}
        counted = count_low(clip, LowView(clip, one))
        assert counted.image == pytest.approx(closed_form(cheaper).image, rel=0.01)
        assert counted.text == pytest.approx(full.text, rel=0.01)
    short = {"model_cfg": model | {"text_cfg": model["text_cfg"] | {"context_length": 5}}}
    assert count_low(clip, LowView(clip, one), 5).text == pytest.approx(closed_form(short).text, rel=0.01)


@pytest.mark.parametrize(
    ("vision", "low", "line"),
    [
        ({}, {"patch_size": 12}, "flexi.low.patch_size: patches of 12 pixels do not divide an image of 32"),
        (
            {},
            {"patch_size": 8},
            "flexi.low.patch_size: patches of 8 pixels give no fewer tokens than the model's own 8",
        ),
        ({}, {"image_size": 20}, "flexi.low.image_size: patches of 8 pixels do not divide an image of 20"),
        ({}, {"image_size": 32}, "flexi.low.image_size: images of 32 pixels give no fewer tokens"),
        ({"patch_dropout": 0.5}, {"patch_drop": 0.5}, "flexi.low.patch_drop: the model drops patches itself"),
        (
            {"layers": [1, 1, 1, 1], "width": 16},
            {"patch_size": 16},
            "flexi.low: the image tower is not a ViT with a position embedding",
        ),
        (HYBRID, {"image_size": 32}, "flexi.low: the image tower is not a ViT with a position embedding"),
        (HYBRID, {"patch_size": 16}, "flexi.low: the image tower is not a ViT with a position embedding"),
    ],
)
def test_what_cannot_be_is_one_line(vision: dict[str, Any], low: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        LowView(tiny(**vision), LowSettings(**low))
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_evaluation_sees_a_model_at_low() -> None:
    clip = tiny()
    view, ids = LowView(clip, LowSettings(image_size=16)), torch.tensor([[62, 3, 63, 0, 0, 0, 0, 0]])
    model = AtLow(clip.model, view)
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(model.encode_image(images), view.encode_image(images))
        assert torch.equal(model.encode_text(ids), clip.model.encode_text(ids))


def test_short_captions_are_embedded_as_ever_and_long_ones_keep_their_end() -> None:
    clip = tiny()
    ids = torch.tensor([[62, 3, 4, 63, 0, 0, 0, 0], [62, 3, 4, 5, 6, 7, 8, 63]])
    short = shortened(ids, 4)
    assert short.tolist() == [[62, 3, 4, 63], [62, 3, 4, 63]]
    with torch.no_grad():
        whole = clip.model.encode_text(ids[:1], normalize=True)
        for one in encode_short(clip.model, short):
            torch.testing.assert_close(one, whole[0], atol=1e-6, rtol=0)
    with pytest.raises(UserError, match=r"flexi\.tokens: 8 tokens of a caption, whose context length is 8"):
        check_short(clip, 8)
