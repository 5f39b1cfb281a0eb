"""Embeds evaluation sets with a model; decoded pixels and token ids are kept between calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superbatch.data.kept import KeptPixels
from superbatch.data.reader import ImageReader
from superbatch.evaluation.sets import CLASSIFICATION, EvaluationSet
from superbatch.evaluation.sharing import ALONE, Dealt, Sharers
from superbatch.evaluation.zero_shot import distinct, ensemble
from superbatch.progress import progress

Tokenizer = Callable[[list[str]], Tensor]


class SetEncoder:
    """Embeds images and texts of evaluation sets; the arguments are those of `Evaluator`.

    Letters in names: N images, M texts, C classes, D embedding width, S side of an image, L tokens of a text.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        *,
        batch_size: int,
        autocast: bool,
        cache_bytes: int,
        verbose: bool,
        ranks: Sharers = ALONE,
    ) -> None:
        self.tokenizer, self.image_size, self.mean, self.std = tokenizer, image_size, mean, std
        self.device, self.batch_size, self.autocast, self.verbose = device, batch_size, autocast, verbose
        self._free_bytes, self.ranks = cache_bytes, ranks
        self._pixels: dict[tuple[str, str], KeptPixels] = {}
        self._ids: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}

    def texts(self, model: nn.Module, evaluation_set: EvaluationSet) -> Tensor:
        """Return class weights (C, D) or caption embeddings (M, D), float32; each distinct row of ids is encoded once.

        A classifier has class weights of its own: no prompt is read.
        """
        own = own_weights(model, evaluation_set)
        if own is not None:
            return own.float()
        ids, which = self._distinct_ids(evaluation_set)
        dealt = Dealt.of(len(ids), self.batch_size, self.ranks)
        batches = self._watch((ids[some] for some in dealt.mine), len(dealt.mine), f"{evaluation_set.name} texts")
        with undisturbed(model):
            found = [self._encode(model.encode_text, part.to(self.device).long()) for part in batches]
        embeddings = dealt.gather(found, self.device)
        if evaluation_set.kind == CLASSIFICATION:
            return ensemble(embeddings, which.split([len(prompts) for prompts in evaluation_set.prompts]))
        return embeddings[which.to(self.device)]

    def images(self, model: nn.Module, evaluation_set: EvaluationSet) -> Tensor:
        """Return image embeddings (N, D), float32, of norm 1."""
        dealt = Dealt.of(evaluation_set.num_images, self.batch_size, self.ranks)
        batches = self._pixel_batches(evaluation_set, dealt)
        pixels = self._watch(batches, len(dealt.mine), f"{evaluation_set.name} images")
        with undisturbed(model):
            found = [self._encode(model.encode_image, self._inputs(part)) for part in pixels]
        return dealt.gather(found, self.device)

    def inputs(self, evaluation_set: EvaluationSet, rows: np.ndarray) -> Tensor:
        """Return some of a set's images as a tower takes them, float32 (n, 3, S, S); for one process, which keeps them all."""
        dealt = Dealt.of(evaluation_set.num_images, self.batch_size)
        return self._inputs(torch.from_numpy(self._kept(evaluation_set, dealt).read(rows)))

    def precision(self) -> AbstractContextManager[None]:
        """Autocast to bfloat16, or nothing."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast)

    def _inputs(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) * 255 for v in (self.mean, self.std))
        return (pixels.to(self.device).float() - mean) / std

    def _distinct_ids(self, evaluation_set: EvaluationSet) -> tuple[Tensor, Tensor]:
        """Tokenize a set's texts on first use and keep the result: distinct ids (int32), and for each text which of them it has."""
        key = (evaluation_set.split, evaluation_set.name)
        if key not in self._ids:
            prompts = [text for of_class in evaluation_set.prompts for text in of_class]
            unique, which_text = distinct(prompts or evaluation_set.captions)
            ids, which_ids = torch.unique(self.tokenizer(unique), dim=0, return_inverse=True)
            self._ids[key] = ids.to(torch.int32), which_ids[which_text]
        return self._ids[key]

    def _watch(self, batches: Iterable[Tensor], num_batches: int, description: str) -> Iterable[Tensor]:
        """Show a progress bar over batches, if asked for."""
        if not self.verbose:
            return batches
        return progress(batches, total=num_batches, description=description, unit="batch")

    def _pixel_batches(self, evaluation_set: EvaluationSet, dealt: Dealt) -> Iterator[Tensor]:
        """Yield uint8 images (n, 3, S, S) of this rank's batches."""
        for some in dealt.mine:
            places = np.arange(some.start, some.stop) - dealt.mine[0].start
            yield torch.from_numpy(self._kept(evaluation_set, dealt).read(places))

    def _kept(self, evaluation_set: EvaluationSet, dealt: Dealt) -> KeptPixels:
        """Images of a set that this rank embeds: decoded on first use, and kept if they fit into the rest of the cache."""
        key, rows = (evaluation_set.split, evaluation_set.name), np.arange(dealt.mine[0].start, dealt.mine[-1].stop)
        if key not in self._pixels:
            reader = ImageReader(evaluation_set.manifest, self.image_size)
            self._pixels[key] = KeptPixels(reader, rows, self._free_bytes)
            self._free_bytes -= self._pixels[key].num_bytes
        return self._pixels[key]

    def _encode(self, encode: Any, batch: Tensor) -> Tensor:
        with torch.no_grad(), self.precision():
            return encode(batch, normalize=True).float()


def own_weights(model: nn.Module, evaluation_set: EvaluationSet) -> Tensor | None:
    """Return a classifier's weights of a set's classes (C, D); None where it does not know them, and of a model that is none."""
    find: Any = getattr(model, "class_weights", None)
    if find is None or evaluation_set.kind != CLASSIFICATION:
        return None
    found: Tensor | None = find(evaluation_set.classnames)
    return found


def image_only(model: nn.Module) -> bool:
    """Whether a model was trained on images alone (`models.headed`): it is measured by what labelled images teach."""
    return bool(getattr(model, "image_only", False))


def has_texts(model: nn.Module, evaluation_set: EvaluationSet) -> bool:
    """Whether a model can be measured on a set: with its text tower, with class weights (a classifier), or with labelled images."""
    if image_only(model):
        return evaluation_set.kind == CLASSIFICATION
    return not hasattr(model, "class_weights") or own_weights(model, evaluation_set) is not None


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Switch every module to evaluation and each back to the mode it was in (a frozen tower stays frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
