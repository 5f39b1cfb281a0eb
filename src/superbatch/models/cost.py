"""The cost of a model's forward pass in floating-point operations, counted and in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from superbatch.models.build import ClipModel
from superbatch.models.flexible import LowView
from superbatch.models.modes import evaluating
from superbatch.models.short import encode_short

TOWERS = ("image", "text")


@dataclass(frozen=True)
class ForwardFlops:
    """Operations of one sample's forward pass; a multiplication and an addition count as two."""

    image: float
    text: float

    @property
    def total(self) -> float:
        """F: image and text."""
        return self.image + self.text

    def mixed(self, other: ForwardFlops, share: float) -> ForwardFlops:
        """Return the mean of samples of which a share costs as another says."""
        return ForwardFlops(*((1 - share) * getattr(self, t) + share * getattr(other, t) for t in TOWERS))


def count_forward(clip: ClipModel, samples: int = 2) -> ForwardFlops:
    """Count a forward pass with torch's FlopCounterMode."""
    images, ids = _inputs(clip, samples)
    with evaluating(clip.model), torch.no_grad():
        image = count(lambda: clip.model.encode_image(images))
        text = count(lambda: clip.model.encode_text(ids))
    return ForwardFlops(image / samples, text / samples)


def count_low(clip: ClipModel, view: LowView, tokens: int | None = None) -> ForwardFlops:
    """Count a forward pass in a low view, and of captions that are cut to so many tokens.

    What is done once a pass, however many samples it has, stays out: the view's kernel and positions are made from the master.
    """
    ids = _inputs(clip, 1)[1]
    short = ids if tokens is None else ids[:, :tokens]
    with evaluating(clip.model), torch.no_grad():
        one, two = (count(partial(view.encode_image, *view.inputs(samples))) for samples in (1, 2))
        text = count(lambda: encode_short(clip.model, short) if tokens else clip.model.encode_text(ids))
    return ForwardFlops(two - one, text)


def count_recomputed(clip: ClipModel, samples: int = 2, view: LowView | None = None) -> ForwardFlops:
    """Count what `checkpoint_activations` computes a second time in a sample's backward pass, of images at full or in a low view.

    Gradients that the parameters hold are left alone; checkpointing is on afterwards.
    """
    images, ids = _inputs(clip, samples)

    def image() -> Tensor:
        found: Tensor = clip.model.encode_image(images) if view is None else view.encode_image(*view.inputs(samples))
        return found

    def text() -> Tensor:
        found: Tensor = clip.model.encode_text(ids)
        return found

    with evaluating(clip.model):
        return ForwardFlops(_recomputed(clip, image) / samples, _recomputed(clip, text) / samples)


def _recomputed(clip: ClipModel, tower: Callable[[], Tensor]) -> float:
    """Count what a forward and backward pass takes more with checkpointing than without."""
    weights = [p for p in clip.model.parameters() if p.requires_grad]
    both_ways = lambda: torch.autograd.grad(tower().sum(), weights, allow_unused=True)  # noqa: E731
    clip.model.set_grad_checkpointing(False)
    kept = count(both_ways)
    clip.model.set_grad_checkpointing(True)
    return count(both_ways) - kept


def _inputs(clip: ClipModel, samples: int) -> tuple[Tensor, Tensor]:
    device = next(clip.model.parameters()).device
    images = torch.zeros(samples, 3, clip.image_size, clip.image_size, device=device)
    return images, torch.zeros(samples, clip.context_length, dtype=torch.int64, device=device)


def count(work: Callable[[], Any]) -> float:
    """Return the operations of some work, of its matrix products and attention."""
    from torch.utils.flop_counter import FlopCounterMode

    with without_fastpath(), FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


@contextmanager
def without_fastpath() -> Iterator[None]:
    """The attention fast path is one fused kernel that the counter does not see: it would hide a third of a scoring pass."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def transformer_flops(tokens: int, width: int, layers: int, mlp_ratio: float = 4.0) -> float:
    """Closed form of a transformer's matrix products on one sequence: projections 8w², MLP 4rw² a token, attention 4tw."""
    return float(layers * tokens * ((8 + 4 * mlp_ratio) * width**2 + 4 * tokens * width))


def closed_form(config: dict[str, Any]) -> ForwardFlops:
    """Return F of an open_clip ViT with a text transformer from its configuration alone."""
    model, vision, text = config["model_cfg"], config["model_cfg"]["vision_cfg"], config["model_cfg"]["text_cfg"]
    patch, width = vision["patch_size"], vision["width"]
    patches = (vision["image_size"] // patch) ** 2
    image = transformer_flops(patches + 1, width, vision["layers"], vision.get("mlp_ratio", 4.0))
    image += 2 * patches * width * 3 * patch**2 + 2 * width * model["embed_dim"]
    words = transformer_flops(text["context_length"], text["width"], text["layers"], text.get("mlp_ratio", 4.0))
    return ForwardFlops(image, words + 2 * text["width"] * model["embed_dim"])
