"""Augmented views of images, each by numbers of its own: a pure function, so equal numbers give equal views however images are batched.

The numbers are a field (`data.fields.Drawn`): functions of seed, step and row. All is done on whole batches and on the device where the pixels are;
torchvision's transforms (v2) take one factor a batch, and are what the tests hold this against.

Shapes: n images, S side, w numbers of a view.
"""

from __future__ import annotations

import math
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional

from superbatch.options.augment import AugmentSettings

NUMBERS = 13  # w, by `_Draws`
LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue, as torchvision has them
MAX_RATIO = 4 / 3  # of a crop's sides
LEAST_BLUR = 0.1  # standard deviation, pixels
KERNEL_SHARE = 0.1  # of the side that a blur looks at (SimCLR)


class _Draws:
    """The numbers of n views, (n, w) in [0, 1), each taken once and in order."""

    def __init__(self, numbers_nw: Tensor) -> None:
        self.numbers_nw, self._next = numbers_nw.double(), count()

    def unit(self) -> Tensor:
        """float64 (n,), uniform in [0, 1)."""
        return self.numbers_nw[:, next(self._next)]

    def between(self, low: float, high: float) -> Tensor:
        """float64 (n,), uniform between two values."""
        return low + (high - low) * self.unit()

    def chance(self, share: float) -> Tensor:
        """bool (n,), true with this chance."""
        return self.unit() < share


@torch.no_grad()
def augmented(pixels_n3SS: Tensor, numbers_nw: Tensor, settings: AugmentSettings) -> Tensor:
    """Return a view of each image: a random resized crop, mirrored, recoloured, blurred.

    Args:
        pixels_n3SS: uint8, or float from 0 to 255.
        numbers_nw: uniform in [0, 1), `NUMBERS` a view, on the same device.
        settings: how much of what.

    Returns:
        float32 (n, 3, S, S), from 0 to 255.
    """
    draws = _Draws(numbers_nw)
    image = pixels_n3SS.float() / 255
    image = _crop(image, crop_boxes(draws, pixels_n3SS.shape[-1], settings.min_area), draws.chance(settings.flip))
    jittered = _jitter(image, draws, settings)  # takes its own number first
    image = torch.where(_each(draws.chance(settings.gray)), luma(jittered), jittered)
    return blurred(image, _sigmas(draws, settings)).clamp_(0, 1).mul_(255)


def crop_boxes(draws: _Draws, side: int, min_area: float) -> Tensor:
    """Draw top, left, height and width of crops, whole pixels, float64 (n, 4): area uniform, logarithm of the ratio of sides uniform.

    Ratios are those whose sides fit; where one does not fit, torchvision draws again.
    """
    share = draws.between(min_area, 1)
    most = (-share.log()).clamp(max=math.log(MAX_RATIO))  # sqrt(share * ratio) <= 1
    log_ratio = (2 * draws.unit() - 1) * most
    width, height = (
        (side * torch.sqrt(share * torch.exp(sign * log_ratio))).round().clamp(1, side) for sign in (1, -1)
    )
    top, left = ((draws.unit() * (side - length + 1)).floor() for length in (height, width))
    return torch.stack([top, left, height, width], 1)


def _crop(image: Tensor, box_n4: Tensor, flip_n: Tensor) -> Tensor:
    """Resize each box to the whole image by bilinear interpolation, which looks at nothing beyond the box; mirror some."""
    side = image.shape[-1]
    middles = (torch.arange(side, device=image.device, dtype=torch.float64) + 0.5) / side
    across = torch.where(flip_n[:, None], middles.flip(0), middles)
    lines = []
    for start, length, place in ((box_n4[:, 1:2], box_n4[:, 3:], across), (box_n4[:, :1], box_n4[:, 2:3], middles)):
        pixel = start + (place * length - 0.5).clamp(min=0).minimum(length - 1)
        lines.append(((2 * pixel + 1) / side - 1).float())  # as grid_sample counts: -1 and 1 are the outer edges
    grid = torch.stack([lines[0][:, None].expand(-1, side, -1), lines[1][:, :, None].expand(-1, -1, side)], -1)
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)


def _jitter(image: Tensor, draws: _Draws, settings: AugmentSettings) -> Tensor:
    """Change brightness, contrast, saturation and hue, in this order, of some images."""
    wanted = draws.chance(settings.jitter)
    found = image
    for change, most in (
        (brightened, settings.brightness),
        (contrasted, settings.contrast),
        (saturated, settings.saturation),
    ):
        found = change(found, draws.between(1 - most, 1 + most))
    found = hue_turned(found, draws.between(-settings.hue, settings.hue))
    return torch.where(_each(wanted), found, image)


def _sigmas(draws: _Draws, settings: AugmentSettings) -> Tensor:
    """Standard deviations of the blur, (n,); 0 for none."""
    wanted, sigma = draws.chance(settings.blur), draws.between(LEAST_BLUR, settings.max_blur)
    return torch.where(wanted, sigma, 0)


def brightened(image: Tensor, factor_n: Tensor) -> Tensor:
    """Multiply each image, from 0 to 1, by a factor of its own."""
    return (image * _each(factor_n)).clamp(0, 1)


def contrasted(image: Tensor, factor_n: Tensor) -> Tensor:
    """Move each image away from the mean of its luma, or towards it."""
    mean = (
        luma(image).double().mean((1, 2, 3), keepdim=True).float()
    )  # in double precision the order of summing does not matter
    return _blend(image, mean, factor_n)


def saturated(image: Tensor, factor_n: Tensor) -> Tensor:
    """Move each image away from its luma, or towards it."""
    return _blend(image, luma(image), factor_n)


def hue_turned(image: Tensor, turn_n: Tensor) -> Tensor:
    """Turn the hues of each image, from 0 to 1, on the colour wheel, in turns; lightness and saturation (HSV) stay."""
    value, least = image.amax(1, keepdim=True), image.amin(1, keepdim=True)
    chroma = value - least
    red, green, blue = image.split(1, 1)
    safe = torch.where(chroma > 0, chroma, 1)
    sixth = torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    sixth = torch.where(value == red, (green - blue) / safe, sixth) + 6 * _each(turn_n)
    places = torch.tensor([5.0, 3.0, 1.0], device=image.device).view(1, 3, 1, 1)
    far = (places + sixth).remainder(6)
    return value - chroma * torch.minimum(far, 4 - far).clamp(0, 1)


def luma(image: Tensor) -> Tensor:
    """The brightness that is seen, (n, 1, S, S)."""
    red, green, blue = image.split(1, 1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def blurred(image: Tensor, sigma_n: Tensor) -> Tensor:
    """Blur each image by a Gaussian of its own standard deviation, in pixels; 0 leaves it as it is."""
    reach = max(1, round(KERNEL_SHARE * image.shape[-1]) // 2)
    if image.shape[-1] <= reach:
        return image
    offsets = torch.arange(-reach, reach + 1, device=image.device, dtype=torch.float64)
    sharp = sigma_n[:, None] == 0
    weight = torch.exp(-0.5 * (offsets / torch.where(sharp, 1, sigma_n[:, None])) ** 2)
    weight = torch.where(sharp, (offsets == 0).double(), weight)
    weight_nk = (weight / weight.sum(1, keepdim=True)).float()
    for axis in (2, 3):
        margins = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        padded = functional.pad(image, margins, mode="reflect")
        taps = (padded.narrow(axis, tap, image.shape[axis]) * _each(weight_nk[:, tap]) for tap in range(len(offsets)))
        image = next(taps).clone()
        for tap in taps:
            image += tap
    return image


def _blend(image: Tensor, other: Tensor, factor_n: Tensor) -> Tensor:
    factor = _each(factor_n)
    return (image * factor + other * (1 - factor)).clamp(0, 1)


def _each(values_n: Tensor) -> Tensor:
    """A value an image, shaped to meet its pixels."""
    values = values_n.view(-1, 1, 1, 1)
    return values.float() if values.is_floating_point() else values
