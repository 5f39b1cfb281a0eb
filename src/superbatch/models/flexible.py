"""A low view of a ViT's image tower by its own weights: larger patches (FlexiViT), a smaller image, or fewer patches.

The full view is the model as open_clip made it, and its patch kernel and position embeddings are the master. Each forward pass of the
low view makes its own from these and never changes them. So gradients reach the master, a checkpoint is open_clip's as ever, and any
pretrained ViT may have a low view without losing anything at full.

Shapes: n images, S image side, p patch side, g patches a side, w width, P rows of the position table, K patches kept, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from superbatch.errors import UserError
from superbatch.models.build import ClipModel
from superbatch.options import LowSettings


@dataclass(frozen=True)
class _Places:
    """Where an image tower keeps what a view changes, by dotted name.

    Attributes:
        kernel: the convolution that makes tokens of patches.
        positions: the table of position embeddings.
        dropping: the module between embedding and transformer.
        extra: rows of the table that are no patch's, at its front.
        tokens: tokens that are no patch's, at the front.
    """

    kernel: str
    positions: str
    dropping: str
    extra: int
    tokens: int


def _places(visual: nn.Module) -> _Places | None:
    """Find the places in an image tower; None where it is no ViT with a table of positions."""
    from open_clip.transformer import VisionTransformer
    from timm.models.vision_transformer import VisionTransformer as TimmTransformer

    if isinstance(visual, VisionTransformer):
        return _Places("conv1", "positional_embedding", "patch_dropout", 1, 1)
    trunk = getattr(visual, "trunk", None)
    if isinstance(trunk, TimmTransformer) and trunk.pos_embed is not None:
        extra = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
        tokens = trunk.num_prefix_tokens
        return _Places("trunk.patch_embed.proj", "trunk.pos_embed", "trunk.patch_drop", extra, tokens)
    return None


def _has_row_a_patch(visual: nn.Module, places: _Places, image_size: int) -> bool:
    """Whether the table of positions is of the kernel's own patches: behind other layers, as in a hybrid ViT, it is not."""
    kernel: Any = visual.get_submodule(places.kernel)
    rows = visual.get_parameter(places.positions).shape[-2]
    return bool(rows == places.extra + (image_size // kernel.weight.shape[-1]) ** 2)


class _AnyPatch(nn.Conv2d):
    """A convolution over patches whose stride is the size of the kernel in use, its own or a resampled one."""

    @classmethod
    def of(cls, own: nn.Conv2d) -> _AnyPatch:
        """Take over the weights of a patch embedding."""
        made = cls(own.in_channels, own.out_channels, 1, bias=own.bias is not None, device="meta")
        made.kernel_size, made.stride, made.weight, made.bias = own.kernel_size, own.stride, own.weight, own.bias
        return made

    def forward(self, images: Tensor) -> Tensor:
        """Return a token a patch, (n, w, g, g)."""
        return functional.conv2d(images, self.weight, self.bias, stride=self.weight.shape[-2:])


class _SomePatches(nn.Module):
    """Keeps the chosen patches of each image, or all tokens if none are chosen."""

    kept: Tensor | None

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.register_buffer("kept", None, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens of the patches `kept`, int64 (n, K), behind those that are no patch's."""
        if self.kept is None:
            return tokens
        patches = tokens[:, self.tokens :].gather(1, self.kept[..., None].expand(-1, -1, tokens.shape[-1]))
        return torch.cat([tokens[:, : self.tokens], patches], 1)


class LowView:
    """A model's image tower in a low view; `encode_image` is open_clip's, for images of `image_size`.

    Making it exchanges two modules of the tower for others that do the same at full view, bit for bit, under the same names.

    Args:
        clip: the model.
        low: the view.
        where: the setting's key, for messages.

    Raises:
        UserError: the tower is no ViT that can have this view, or the view is not lower.
    """

    def __init__(self, clip: ClipModel, low: LowSettings, where: str = "flexi.low") -> None:
        self.visual: nn.Module = clip.model.visual  # type: ignore[assignment]
        places = _places(self.visual)
        if places is None or not _has_row_a_patch(self.visual, places, clip.image_size):
            what = "the image tower is not a ViT with a position embedding for each patch"
            raise UserError(where, what, "use an open_clip ViT or a timm ViT, or leave flexi out")
        self.places = places
        _prepare(self.visual, places, low, where)
        kernel: Any = self.visual.get_submodule(places.kernel)
        own = int(kernel.weight.shape[-1])
        check_low(low, clip.image_size, own, where)
        self.image_size, self.patch_size = low.image_size or clip.image_size, low.patch_size or own
        self.grid = clip.image_size // own, self.image_size // self.patch_size
        self.kept = kept_patches(low, self.grid[0] ** 2)
        device = kernel.weight.device
        self._kernel = torch.linalg.pinv(resize_matrix(own, self.patch_size)).float().to(device)
        self._positions = resize_matrix(*self.grid).float().to(device)

    def encode_image(self, images: Tensor, kept: Tensor | None = None, normalize: bool = False) -> Tensor:
        """Embed images in this view.

        Args:
            images: float (n, 3, S, S), of this view's S.
            kept: the patches that are looked at, int64 (n, K); None: all.
            normalize: to length 1.

        Returns:
            Embeddings (n, D).
        """
        with torch.autocast(images.device.type, enabled=False):
            stand_ins = self.weights()
        if kept is not None:
            stand_ins[f"{self.places.dropping}.kept"] = kept
        features: Tensor = functional_call(self.visual, stand_ins, (images,), tie_weights=False)
        return functional.normalize(features, dim=-1) if normalize else features

    def inputs(self, samples: int) -> tuple[Tensor, Tensor | None]:
        """Return images of nothing for `encode_image`, and the first patches of each where some are left out; to count by."""
        images = torch.zeros(samples, 3, self.image_size, self.image_size, device=self._kernel.device)
        kept = torch.arange(self.kept, device=images.device).expand(samples, -1) if self.kept else None
        return images, kept

    def weights(self) -> dict[str, Tensor]:
        """Return what stands in for weights of the tower in this view, made from them, by name."""
        found, names = {}, self.places
        kernel = self.visual.get_parameter(f"{names.kernel}.weight")
        if self.patch_size != kernel.shape[-1]:
            found[f"{names.kernel}.weight"] = resized(kernel, self._kernel)
        if self.grid[0] != self.grid[1]:
            found[names.positions] = self._moved(self.visual.get_parameter(names.positions))
        return found

    def _moved(self, table: Tensor) -> Tensor:
        """Resample the table of positions (..., P, w) to this view's grid."""
        (full, _), extra, width = self.grid, self.places.extra, table.shape[-1]
        front, patches = table[..., :extra, :], table[..., extra:, :]
        found = resized(patches.reshape(full, full, width).permute(2, 0, 1), self._positions.T)
        return torch.cat([front, found.flatten(1).T.reshape(*table.shape[:-2], -1, width)], -2)


def _prepare(visual: nn.Module, places: _Places, low: LowSettings, where: str) -> None:
    """Replace the modules that depend on the view, once per tower."""
    kernel: Any = visual.get_submodule(places.kernel)
    if not isinstance(kernel, _AnyPatch):
        visual.set_submodule(places.kernel, _AnyPatch.of(kernel))
    if hasattr(visual, "trunk"):
        trunk: Any = visual.trunk
        # timm would refuse another size, or resample the table itself: by a filter whose gradients a GPU does not repeat.
        trunk.patch_embed.strict_img_size, trunk.patch_embed.flatten, trunk.dynamic_img_size = False, True, False
    dropping = visual.get_submodule(places.dropping)
    if isinstance(dropping, nn.Identity):
        visual.set_submodule(places.dropping, _SomePatches(places.tokens))
    elif low.patch_drop is not None and not isinstance(dropping, _SomePatches):
        what = "the model drops patches itself (patch_dropout in its configuration)"
        raise UserError(f"{where}.patch_drop", what, "leave one of the two out")


def check_low(low: LowSettings, image_size: int, patch_size: int, where: str = "flexi.low") -> None:
    """Refuse a view whose patches do not cover its image, and one that is not lower than the full view.

    Args:
        low: the view. image_size, patch_size: of the full view, pixels. where: the setting's key.

    Raises:
        UserError: just that.
    """
    if low.patch_size is not None:
        _check_size(f"{where}.patch_size", low.patch_size > patch_size, f"patches of {low.patch_size}", patch_size)
        _check_cover(f"{where}.patch_size", image_size, low.patch_size)
    if low.image_size is not None:
        _check_size(f"{where}.image_size", low.image_size < image_size, f"images of {low.image_size}", image_size)
        _check_cover(f"{where}.image_size", low.image_size, patch_size)


def _check_size(where: str, lower: bool, what: str, own: int) -> None:
    if not lower:
        side = "larger" if "patches" in what else "smaller"
        raise UserError(where, f"{what} pixels give no fewer tokens than the model's own {own}", f"use a {side} size")


def _check_cover(where: str, image_size: int, patch_size: int) -> None:
    if image_size % patch_size:
        what = f"patches of {patch_size} pixels do not divide an image of {image_size}"
        raise UserError(where, what, "use a size that does")


def kept_patches(low: LowSettings, patches: int) -> int:
    """Return how many of an image's patches a view looks at where it leaves some out; 0 where it looks at all."""
    return 0 if low.patch_drop is None else max(1, round(patches * (1 - low.patch_drop)))


def resize_matrix(old: int, new: int) -> Tensor:
    """Return the matrix (new, old) that resizes a column of pixels just as our images are resized; float64 on the CPU.

    A square is resized by it on either side, for the filter (bicubic, antialiased) is separable.
    """
    unit = Image.fromarray(np.eye(old, dtype=np.float32))
    found = np.asarray(unit.resize((old, new), Image.Resampling.BICUBIC))
    return torch.from_numpy(found.astype(np.float64))


def resized(squares: Tensor, matrix: Tensor) -> Tensor:
    """Turn squares (..., old, old) into others (..., new, new) by a matrix (old, new) on either side.

    With the pseudo-inverse of `resize_matrix` this is FlexiViT's PI-resize (arXiv 2212.08013, section 3.4): <x, w> = <resize(x), resized(w)>
    for any patch x that is enlarged. As products of matrices its gradients are the same each time on a GPU too, unlike interpolation's.
    """
    return matrix.T @ squares @ matrix


class AtLow(nn.Module):
    """A model that sees images in a low view, for evaluation; texts are unchanged."""

    def __init__(self, model: nn.Module, view: LowView) -> None:
        super().__init__()
        self.model, self._view = model, view

    def encode_image(self, images: Tensor, normalize: bool = False) -> Tensor:
        """Return embeddings (n, D) of images (n, 3, S, S), S that of the view."""
        return self._view.encode_image(images, normalize=normalize)

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Return embeddings (n, D) of token ids (n, L)."""
        found: Tensor = self.model.encode_text(ids, normalize=normalize)
        return found


def at_low(clip: ClipModel, low: LowSettings) -> ClipModel:
    """Return a model whose images are looked at in a low view, as evaluation takes it; its weights are those of the other."""
    view, model_cfg = LowView(clip, low), clip.config["model_cfg"]
    smaller = {**model_cfg, "vision_cfg": {**model_cfg["vision_cfg"], "image_size": view.image_size}}
    return replace(clip, model=AtLow(clip.model, view), config={**clip.config, "model_cfg": smaller})
