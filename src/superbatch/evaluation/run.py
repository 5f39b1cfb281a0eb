"""The evaluator: measures a model on evaluation sets, during training and at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superbatch.errors import UserError
from superbatch.evaluation.encoder import SetEncoder, Tokenizer, has_texts, image_only
from superbatch.evaluation.features import Features
from superbatch.evaluation.fine_tune import Pictures, Tuner
from superbatch.evaluation.learned import Tuning, by_its_own_images, learn
from superbatch.evaluation.nearest import nearest_of_set
from superbatch.evaluation.retrieval import retrieval
from superbatch.evaluation.sets import EvaluationSet
from superbatch.evaluation.sharing import ALONE, Sharers
from superbatch.evaluation.store import load_evaluation_sets
from superbatch.evaluation.teaching import Teaching, unseen
from superbatch.evaluation.zero_shot import zero_shot_classification
from superbatch.models import ClipModel, pick_device
from superbatch.options import EvaluateSettings

log = logging.getLogger(__name__)
MAIN = ("top1", "linear_probe", "knn")  # of classification; an image tower alone has no zero-shot top1


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
        ranks: the processes of a training that all evaluate at the same time and share the embedding; each returns the same.

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
        ranks: Sharers = ALONE,
    ) -> None:
        _check_names(sets)
        self.sets, self.image_size = list(sets), image_size
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self.device, self.autocast = pick_device(device), precision == "bf16"
        self._left_out = set[str]()
        self.encoder = SetEncoder(
            tokenizer, image_size, self.mean, self.std, self.device,
            batch_size=batch_size, autocast=self.autocast, cache_bytes=cache_bytes, verbose=verbose,
            ranks=ranks,
        )  # fmt: skip

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
                normalize=True)`; it takes the tokenizer's full vocabulary and lives on the evaluator's device. Or a classifier
                (`models.classifier`), which has `class_weights` in the place of texts and is measured on sets of its classes. Or an image
                tower alone (`models.headed`), which is measured by k-NN: each image by the other images of its set.
            split: "validation", "test", ...

        Returns:
            `metrics`: flat, {"<set>/<metric>": value} and "headline" (see `headline`); `sets`: the details of each set
            by its name (see `evaluate_set`); `split`; `seconds`.
        """
        details = {s.name: self.evaluate_set(model, s) for s in self.fitting(model, split)}
        return summarise(split, details)

    def of_split(self, split: str) -> list[EvaluationSet]:
        """Return the sets of a split; none is a UserError."""
        found = [s for s in self.sets if s.split == split]
        if not found:
            splits = ", ".join(sorted({s.split for s in self.sets}))
            raise UserError("evaluation split", f"no set has a split {split!r}", f"there are {splits}")
        return found

    def fitting(self, model: nn.Module, split: str) -> list[EvaluationSet]:
        """Return the sets of a split that a model can be measured on; of the others a line says so, once.

        Raises:
            UserError: none is left: a classifier of other classes than those of any set.
        """
        sets = self.of_split(split)
        found = [s for s in sets if has_texts(model, s)]
        if not found and image_only(model):
            what = f"none of the split {split!r} has labels, and the model was trained on images alone"
            raise UserError("evaluation sets", what, "add a classification set")
        if not found:
            what = f"is measured on no set: none of the split {split!r} is of its classes"
            raise UserError("classifier", what, "name an evaluation set's classnames.txt as labels.classnames")
        left_out = {s.name for s in sets} - {s.name for s in found}
        if left_out - self._left_out:
            names = ", ".join(sorted(left_out))
            why = (
                "it was trained on images alone"
                if image_only(model)
                else "a classifier has no text tower and knows its own classes only"
            )
            log.info("not measured, because %s: %s", why, names)
            self._left_out |= left_out
        return found

    def evaluate_set(
        self,
        model: nn.Module,
        evaluation_set: EvaluationSet,
        settings: EvaluateSettings | None = None,
        teaching: Teaching | None = None,
        *,
        pictures: bool = False,
    ) -> dict[str, Any]:
        """Measure a model on one set, everything over the same embeddings.

        Args:
            model: as of `evaluate`.
            evaluation_set: the set.
            settings: what labelled images teach is measured too, as far as these ask for it.
            teaching: the labelled images (`teaching.teaching_of`).
            pictures: tell also which images are nearest to its texts.

        Returns:
            The details of its kind of metric, `main` and `seconds`; `nearest` if asked for (`nearest.nearest_of_set`);
            `learned` where labelled images taught something. Of an image tower alone all metrics are of that kind.
        """
        start = time.perf_counter()
        text_MD = None if image_only(model) else self.encoder.texts(model, evaluation_set)
        image_ND = self.encoder.images(model, evaluation_set)
        about = {"set": evaluation_set.name, "kind": evaluation_set.kind, "split": evaluation_set.split}
        details = _unmeasured(evaluation_set) if text_MD is None else _measure(evaluation_set, image_ND, text_MD)
        if pictures and text_MD is not None:
            details["nearest"] = nearest_of_set(evaluation_set, image_ND, text_MD)
        if settings is not None and teaching is not None:
            details = _merged(details, self._learn(model, evaluation_set, image_ND, settings, teaching))
        if not details["metrics"]:
            details = _merged(details, _by_its_own_images(evaluation_set, image_ND))
        return {**about, "main": main_metric(details["metrics"]), **details, "seconds": time.perf_counter() - start}

    def _learn(
        self,
        model: nn.Module,
        measured: EvaluationSet,
        image_ND: Tensor,
        settings: EvaluateSettings,
        teaching: Teaching,
    ) -> dict[str, Any]:
        """Measure what can be learned from labeled images, without those that are also tested on."""
        assert measured.labels is not None
        train, seen = self._unseen(model, teaching.train, measured)
        choose, seen_too = (None, 0) if teaching.choose is None else self._unseen(model, teaching.choose, measured)
        test, tuning = Features(image_ND, measured.labels), self._tuning(model, measured, settings, teaching)
        found = learn(test, train, choose, len(measured.classnames), settings, tuning)
        found["learned"] |= {"split": teaching.train.split, "also_measured": seen + seen_too}
        return found

    def _tuning(
        self, model: nn.Module, measured: EvaluationSet, settings: EvaluateSettings, teaching: Teaching
    ) -> Tuning | None:
        """The settings and images of fine-tuning, the same images as in `_learn`; None if it is off."""
        if settings.fine_tune is None:
            return None
        visual: Any = model.visual
        tuner = Tuner(
            visual, len(measured.classnames), settings.fine_tune, self.encoder.batch_size, self.encoder.precision
        )
        train = self._pictures(teaching.train).of(unseen(teaching.train, measured))
        choose = teaching.choose
        chooses = None if choose is None else self._pictures(choose).of(unseen(choose, measured))
        return Tuning(tuner, self._pictures(measured), train, chooses)

    def _pictures(self, labelled: EvaluationSet) -> Pictures:
        assert labelled.labels is not None
        return Pictures(partial(self.encoder.inputs, labelled), labelled.labels)

    def _unseen(self, model: nn.Module, labelled: EvaluationSet, measured: EvaluationSet) -> tuple[Features, int]:
        """Embed labelled images; returns those that are not measured, and how many are."""
        assert labelled.labels is not None
        rows = unseen(labelled, measured)
        return Features(self.encoder.images(model, labelled), labelled.labels).of(rows), int((~rows).sum())


def _check_names(sets: Sequence[EvaluationSet]) -> None:
    names = [f"{s.name} ({s.split})" for s in sets]
    if not names:
        raise UserError("evaluation sets", "none given", "name at least one set")
    if len(set(names)) < len(names):
        twice = max(names, key=names.count)
        raise UserError("evaluation sets", f"two are called {twice}", "give each its own name")


def _measure(evaluation_set: EvaluationSet, image_ND: Tensor, text_MD: Tensor) -> dict[str, Any]:
    if evaluation_set.labels is not None:
        names = evaluation_set.classnames
        return zero_shot_classification(image_ND, evaluation_set.labels, text_MD, classnames=names)
    assert evaluation_set.image_of_text is not None
    return retrieval(image_ND, text_MD, evaluation_set.image_of_text)


def _unmeasured(evaluation_set: EvaluationSet) -> dict[str, Any]:
    """Facts about a set that need no measurement."""
    sizes = {"num_images": evaluation_set.num_images, "num_classes": len(evaluation_set.classnames)}
    return {"metrics": {}, "confidence": {}, "hits": {}, **sizes}


def _by_its_own_images(evaluation_set: EvaluationSet, image_ND: Tensor) -> dict[str, Any]:
    assert evaluation_set.labels is not None
    return by_its_own_images(Features(image_ND, evaluation_set.labels), len(evaluation_set.classnames))


def _merged(details: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Add metrics to those of a set, with their intervals and hits."""
    shared = {name: {**details[name], **more[name]} for name in ("metrics", "confidence", "hits")}
    return {**details, **shared, "learned": more["learned"]}


def main_metric(metrics: dict[str, float]) -> float:
    """Return the one number of a set: for classification the first of `MAIN` that it has, for retrieval the mean of both R@1."""
    if "image_to_text_r1" not in metrics:
        return next((metrics[name] for name in MAIN if name in metrics), next(iter(metrics.values())))
    return (metrics["image_to_text_r1"] + metrics["text_to_image_r1"]) / 2


def headline(mains: Sequence[float]) -> float:
    """Return the one number of a model on a split: the mean of its sets' main metrics."""
    return sum(mains) / len(mains)


def summarise(split: str, details: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Put the details of a split's sets together: flat metric names for curves, and the headline."""
    metrics = {f"{name}/{metric}": value for name, d in details.items() for metric, value in d["metrics"].items()}
    metrics["headline"] = headline([d["main"] for d in details.values()])
    return {"split": split, "metrics": metrics, "sets": details, "seconds": sum(d["seconds"] for d in details.values())}
