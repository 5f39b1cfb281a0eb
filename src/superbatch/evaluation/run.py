"""The evaluator: embeds evaluation sets with a model and measures it, during training and at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superbatch.data.reader import ImageReader
from superbatch.errors import UserError
from superbatch.evaluation.nearest import nearest_of_set
from superbatch.evaluation.retrieval import retrieval
from superbatch.evaluation.sets import CLASSIFICATION, EvaluationSet
from superbatch.evaluation.store import load_evaluation_sets
from superbatch.evaluation.zero_shot import distinct, ensemble, expand_prompts, zero_shot_classification
from superbatch.models import ClipModel, pick_device
from superbatch.progress import progress

Tokenizer = Callable[[list[str]], Tensor]


class Evaluator:
    """Measures open_clip models on evaluation sets; pixels and token ids are kept between calls.

    What it leaves behind is nothing: modes of the modules, random state and gradients are as before, so a training that
    is evaluated more often computes the same.

    Args:
        sets: the sets, of one split or several; names are unique within a split.
        tokenizer: list of n texts -> int64 token ids (n, L); open_clip's.
        image_size: side of the square input, pixels; images are resized as in training (see `data.reader`).
        mean, std: per channel, on pixels in [0, 1].
        device: where the model is; "auto" takes the GPU if there is one.
        batch_size: images or texts a forward pass.
        precision: "fp32" or "bf16" (autocast).
        cache_bytes: how much memory decoded images may take (uint8); a set that does not fit is read anew each time.
        verbose: show a progress bar.

    Raises:
        UserError: no sets, or two of one name and split.
    """

    def __init__(
        self,
        sets: Sequence[EvaluationSet],
        tokenizer: Tokenizer,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: str | torch.device = "auto",
        *,
        batch_size: int = 256,
        precision: str = "fp32",
        cache_bytes: int = 2 << 30,
        verbose: bool = False,
    ) -> None:
        _check_names(sets)
        self.sets, self.tokenizer, self.image_size = list(sets), tokenizer, image_size
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self.device = pick_device(device)
        self.batch_size, self.autocast, self.verbose = batch_size, precision == "bf16", verbose
        self._free_bytes = cache_bytes
        self._pixels: dict[tuple[str, str], Tensor] = {}
        self._ids: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}

    @classmethod
    def for_model(
        cls,
        sets: Sequence[EvaluationSet] | str | Path,
        clip: ClipModel,
        device: str | torch.device = "auto",
        *,
        split: str | None = None,
        **options: Any,
    ) -> Evaluator:
        """Make the evaluator that fits a model's input: its tokenizer, image size, mean and standard deviation.

        Args:
            sets: the sets, or the folder of ingested ones (see `store.load_evaluation_sets`).
            clip: the model, or another one that takes the same input.
            device: where the model will be; "auto" takes the GPU if there is one.
            split: of a folder, open this split only.
            options: as the constructor takes them.
        """
        mean, std = clip.mean_std
        sets = load_evaluation_sets(sets, split) if isinstance(sets, (str, Path)) else sets
        return cls(sets, clip.tokenizer(), clip.image_size, mean, std, device, **options)

    def evaluate(self, model: nn.Module, split: str) -> dict[str, Any]:
        """Measure a model on all sets of a split.

        Args:
            model: open_clip's: `encode_image(float [n, 3, S, S], normalize=True)`, `encode_text(ids [n, L],
                normalize=True)`; it takes the tokenizer's full vocabulary and lives on the evaluator's device.
            split: "validation", "test", ...

        Returns:
            `metrics`: flat, {"<set>/<metric>": value} and "headline" (see `headline`); `sets`: the details of each set
            by its name (see `evaluate_set`); `split`; `seconds`.
        """
        details = {s.name: self.evaluate_set(model, s) for s in self.of_split(split)}
        return summarise(split, details)

    def of_split(self, split: str) -> list[EvaluationSet]:
        """Return the sets of a split; none is a UserError."""
        found = [s for s in self.sets if s.split == split]
        if not found:
            splits = ", ".join(sorted({s.split for s in self.sets}))
            raise UserError("evaluation split", f"no set has a split {split!r}", f"there are {splits}")
        return found

    def evaluate_set(
        self, model: nn.Module, evaluation_set: EvaluationSet, *, pictures: bool = False
    ) -> dict[str, Any]:
        """Measure a model on one set.

        Args:
            model, evaluation_set: as in `evaluate`.
            pictures: tell also which images are nearest to its texts.

        Returns:
            The details of its kind of metric, `main`, `seconds`, and `nearest` if asked for (`nearest.nearest_of_set`).
        """
        start = time.perf_counter()
        with _undisturbed(model):
            text_MD = self._embed_texts(model, evaluation_set)
            image_ND = self._embed_images(model, evaluation_set)
        about = {"set": evaluation_set.name, "kind": evaluation_set.kind, "split": evaluation_set.split}
        details = _measure(evaluation_set, image_ND, text_MD)
        if pictures:
            details["nearest"] = nearest_of_set(evaluation_set, image_ND, text_MD)
        return {**about, "main": main_metric(details["metrics"]), **details, "seconds": time.perf_counter() - start}

    def _embed_texts(self, model: nn.Module, evaluation_set: EvaluationSet) -> Tensor:
        """Return class weights (C, D) or caption embeddings (M, D); each distinct row of token ids is encoded once."""
        ids, which = self._distinct_ids(evaluation_set)
        batches = self._watch(ids.split(self.batch_size), len(ids), f"{evaluation_set.name} texts")
        embeddings = torch.cat([self._encode(model.encode_text, part.to(self.device, torch.int64)) for part in batches])
        if evaluation_set.kind == CLASSIFICATION:
            return ensemble(embeddings, which.view(len(evaluation_set.classnames), -1))
        return embeddings[which.to(self.device)]

    def _distinct_ids(self, evaluation_set: EvaluationSet) -> tuple[Tensor, Tensor]:
        """Tokenise a set's texts on first use: distinct ids (int32), and the number of each text's; kept."""
        key = (evaluation_set.split, evaluation_set.name)
        if key not in self._ids:
            prompts = expand_prompts(evaluation_set.classnames, evaluation_set.templates)
            unique, which_text = distinct(prompts or evaluation_set.captions)
            ids, which_ids = torch.unique(self.tokenizer(unique), dim=0, return_inverse=True)
            self._ids[key] = ids.to(torch.int32), which_ids[which_text]
        return self._ids[key]

    def _embed_images(self, model: nn.Module, evaluation_set: EvaluationSet) -> Tensor:
        """Return image embeddings (N, D), float32."""
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) * 255 for v in (self.mean, self.std))
        batches = self._pixel_batches(evaluation_set)
        pixels = self._watch(batches, evaluation_set.num_images, f"{evaluation_set.name} images")
        inputs = ((part.to(self.device).float() - mean) / std for part in pixels)
        return torch.cat([self._encode(model.encode_image, part) for part in inputs])

    def _watch(self, batches: Iterable[Tensor], num_items: int, description: str) -> Iterable[Tensor]:
        """Show a bar over batches, if wanted."""
        if not self.verbose:
            return batches
        return progress(batches, total=-(-num_items // self.batch_size), description=description, unit="batch")

    def _pixel_batches(self, evaluation_set: EvaluationSet) -> Iterator[Tensor]:
        """Yield uint8 images (n, 3, S, S): decoded on first use, kept if they fit into what is left of the cache."""
        key = (evaluation_set.split, evaluation_set.name)
        if key in self._pixels:
            yield from self._pixels[key].split(self.batch_size)
            return
        reader = ImageReader(evaluation_set.manifest, self.image_size)
        size = evaluation_set.num_images * 3 * self.image_size**2
        kept: list[Tensor] | None = [] if size <= self._free_bytes else None
        for start in range(0, evaluation_set.num_images, self.batch_size):
            rows = np.arange(start, min(start + self.batch_size, evaluation_set.num_images))
            pixels = torch.as_tensor(reader.read(rows))
            if kept is not None:
                kept.append(pixels)
            yield pixels
        if kept is not None:
            self._pixels[key] = torch.cat(kept)
            self._free_bytes -= size

    def _encode(self, encode: Any, batch: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            return encode(batch, normalize=True).float()


def _check_names(sets: Sequence[EvaluationSet]) -> None:
    names = [f"{s.name} ({s.split})" for s in sets]
    if not names:
        raise UserError("evaluation sets", "none given", "name at least one set")
    if len(set(names)) < len(names):
        twice = max(names, key=names.count)
        raise UserError("evaluation sets", f"two are called {twice}", "give each a name of its own")


def _measure(evaluation_set: EvaluationSet, image_ND: Tensor, text_MD: Tensor) -> dict[str, Any]:
    if evaluation_set.labels is not None:
        names = evaluation_set.classnames
        return zero_shot_classification(image_ND, evaluation_set.labels, text_MD, classnames=names)
    assert evaluation_set.image_of_text is not None
    return retrieval(image_ND, text_MD, evaluation_set.image_of_text)


def main_metric(metrics: dict[str, float]) -> float:
    """Return the one number of a set: top1 for classification, the mean of both R@1 for retrieval."""
    if "top1" in metrics:
        return metrics["top1"]
    return (metrics["image_to_text_r1"] + metrics["text_to_image_r1"]) / 2


def headline(mains: Sequence[float]) -> float:
    """Return the one number of a model on a split: the mean of its sets' main metrics."""
    return sum(mains) / len(mains)


def summarise(split: str, details: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Put the details of a split's sets together: flat metric names for curves, and the headline."""
    metrics = {f"{name}/{metric}": value for name, d in details.items() for metric, value in d["metrics"].items()}
    metrics["headline"] = headline([d["main"] for d in details.values()])
    return {"split": split, "metrics": metrics, "sets": details, "seconds": sum(d["seconds"] for d in details.values())}


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Switch every module to evaluation and each back to the mode it was in (a frozen tower stays frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
