"""One model's embeddings of a super-batch, with its temperature and bias."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from superbatch.errors import UserError


@dataclass(frozen=True, eq=False)
class PairEmbeddings:
    """Image and text embeddings of N samples under one model, checked when made.

    Attributes:
        image_ND: floating point [N, D], any device; usually of unit length (not required).
        text_ND: the same samples' texts, same shape, type and device.
        scale: the model's own temperature as a factor (already exponentiated), above zero; a tensor of one number will
            do.
        bias: the model's own bias, likewise; None of a model without one, such as CLIP: the sigmoid loss refuses it. The
            softmax loss does not change with it.
        name: how errors call it, such as "learner".
        lengths: of the longest image and the longest text embedding; found when made.

    Raises:
        UserError: no tensors; another shape, type or device on the two sides; NaN or infinity, naming side and row; a bad
            scale or bias.
    """

    image_ND: Tensor
    text_ND: Tensor
    scale: float
    bias: float | None = None
    name: str = "embeddings"
    lengths: tuple[float, float] = field(init=False, repr=False, default=(0.0, 0.0))

    def __post_init__(self) -> None:
        for key in ("image_ND", "text_ND"):
            object.__setattr__(self, key, self._tensor(key).detach())
        for key in ("scale", "bias"):
            value = getattr(self, key)
            if value is not None:
                object.__setattr__(self, key, float(value.detach() if isinstance(value, Tensor) else value))
        self._check_layout()
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise UserError(f"{self.name}.scale", f"is {self.scale}", "give the exponentiated temperature, above zero")
        if self.bias is not None and not math.isfinite(self.bias):
            raise UserError(f"{self.name}.bias", f"is {self.bias}", "give a finite number")
        object.__setattr__(self, "lengths", self._lengths())

    def holding(self, image_ND: Tensor, text_ND: Tensor, lengths: tuple[float, float]) -> PairEmbeddings:
        """Return the same model's embeddings of other samples, already checked; there may be none."""
        other = copy.copy(self)
        for key, value in (("image_ND", image_ND), ("text_ND", text_ND), ("lengths", lengths)):
            object.__setattr__(other, key, value)
        return other

    @property
    def reach(self) -> float:
        """No scale * z_i . t_j is larger in magnitude than this (Cauchy-Schwarz)."""
        image, text = self.lengths
        return self.scale * image * text

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.image_ND.shape[0]

    @property
    def compute_dtype(self) -> torch.dtype:
        """In what products are summed: float64 for float64 embeddings, else float32."""
        return torch.float64 if self.image_ND.dtype == torch.float64 else torch.float32

    def _tensor(self, key: str) -> Tensor:
        """Refuse the keys of a dictionary, as a model with `output_dict` returns one, and anything else that is no tensor."""
        value = getattr(self, key)
        if isinstance(value, Tensor):
            return value
        if isinstance(value, str):
            what = f"is the text {value!r}: a model made with output_dict=True returns a dictionary"
            remedy = 'make it with output_dict=False, or give out["image_features"], out["text_features"], out["logit_scale"]'
            raise UserError(f"{self.name}.{key}", what, f"{remedy} and, where it has one, the bias")
        raise UserError(f"{self.name}.{key}", f"is a {type(value).__name__}", "give a tensor")

    def _check_layout(self) -> None:
        image, text = self.image_ND, self.text_ND
        if image.ndim != 2 or image.shape != text.shape or 0 in image.shape:
            shapes = f"image {list(image.shape)}, text {list(text.shape)}"
            raise UserError(self.name, f"has shapes {shapes}", "give both as [samples, dimensions] of the same samples")
        if not image.is_floating_point() or image.dtype != text.dtype:
            raise UserError(
                self.name, f"has types {image.dtype} and {text.dtype}", "give both in one floating point type"
            )
        if image.device != text.device:
            raise UserError(self.name, f"lies on {image.device} and {text.device}", "give both on one device")

    def _lengths(self) -> tuple[float, float]:
        """Lengths of the longest image and text embeddings; one host synchronization, which also reveals NaN and infinity."""
        norms = [
            torch.linalg.vector_norm(side, dim=-1, dtype=self.compute_dtype) for side in (self.image_ND, self.text_ND)
        ]
        image, text = torch.stack([norm.max() for norm in norms]).tolist()
        reach = self.scale * image * text
        ceiling = 1e100 if self.compute_dtype == torch.float64 else 1e37
        if not (math.isfinite(reach) and reach + abs(self.bias or 0.0) < ceiling):
            self._complain(norms)
        return image, text

    def _complain(self, norms: list[Tensor]) -> None:
        for side, _ in zip(("image_ND", "text_ND"), norms, strict=True):
            bad = (~getattr(self, side).isfinite().all(-1)).nonzero().flatten()
            if len(bad):
                remedy = "find out why the model gave it, such as a learning rate too high"
                raise UserError(
                    f"{self.name}.{side}", f"row {int(bad[0])} has NaN or infinity ({len(bad)} such rows)", remedy
                )
        lengths = " and ".join(f"{float(norm.max()):.3g}" for norm in norms)
        raise UserError(self.name, f"has rows of length {lengths}: their products overflow", "normalise the embeddings")
