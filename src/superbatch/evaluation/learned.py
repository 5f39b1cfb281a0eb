"""Metrics from labelled images: few-shot, linear probe and k-NN on frozen image embeddings, and fine-tuning of the tower.

Letters in names: N test images, S draws of few-shot images.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from superbatch.evaluation.features import Features
from superbatch.evaluation.few_shot import few_shot_hits
from superbatch.evaluation.fine_tune import Pictures, Tuner
from superbatch.evaluation.intervals import clustered_wilson, packed
from superbatch.evaluation.knn import knn_hits
from superbatch.evaluation.probe import divide, linear_probe, thinned
from superbatch.options import EvaluateSettings, FewShotSettings, KnnSettings, LinearProbeSettings

FEW_SHOT, PROBE, KNN, FINE_TUNE = "few_shot", "linear_probe", "knn", "fine_tune"


@dataclass(frozen=True)
class Tuning:
    """What is fine-tuned, and on which images.

    Attributes:
        tuner: of the tower.
        test, train, choose: as of `learn`, as images.
    """

    tuner: Tuner
    test: Pictures
    train: Pictures
    choose: Pictures | None


def learned_metrics(settings: EvaluateSettings) -> tuple[str, ...]:
    """Name the metrics that these settings add to a classification set, as far as its labelled images allow."""
    shots = settings.few_shot.shots if settings.few_shot else ()
    every = ((PROBE, settings.linear_probe), (KNN, settings.knn), (FINE_TUNE, settings.fine_tune))
    others = [name for name, wanted in every if wanted]
    return (*(f"{FEW_SHOT}_{k}" for k in shots), *others)


def learn(
    test: Features,
    train: Features,
    choose: Features | None,
    num_classes: int,
    settings: EvaluateSettings,
    tuning: Tuning | None = None,
) -> dict[str, Any]:
    """Measure what the settings ask for; each is the share of test images that are classified right.

    Args:
        test: what is measured.
        train: labelled images. choose: others, for the strength of the probe; None where a part of `train` does.
        num_classes: C.
        settings: few_shot, linear_probe, knn, fine_tune.
        tuning: the tower and the same images, for fine_tune.

    Returns:
        `metrics`, `confidence` (95 %) and `hits` by name, few-shot over all draws; `learned`: how each came about, and
        `left_out`, the reason by name of what was not measured.
    """
    found: dict[str, Any] = {"metrics": {}, "confidence": {}, "hits": {}, "learned": {"left_out": {}}}
    found["learned"] |= {"train_images": len(train), "choose_images": len(choose) if choose else 0}
    if not len(train) or len(np.unique(train.labels_N)) < 2:
        reason = f"{len(train)} labelled images of {len(np.unique(train.labels_N))} classes are too few"
        found["learned"]["left_out"] = dict.fromkeys(learned_metrics(settings), reason)
        return found
    if settings.few_shot:
        _few_shot(found, test, train, num_classes, settings.few_shot)
    if settings.linear_probe:
        _probe(found, test, train, choose, settings.linear_probe)
    if settings.knn:
        _knn(found, test, train, num_classes, settings.knn)
    if settings.fine_tune and tuning is not None:
        _fine_tune(found, tuning)
    return found


def by_its_own_images(images: Features, num_classes: int, settings: KnnSettings | None = None) -> dict[str, Any]:
    """Measure k-NN within one labelled set: each image by the votes of the others; as `learn` returns it."""
    settings = settings or KnnSettings()
    found: dict[str, Any] = {"metrics": {}, "confidence": {}, "hits": {}, "learned": {"left_out": {}}}
    hits = knn_hits(images, images, num_classes, settings.k, settings.temperature, but_own=True)
    about = {"k": min(settings.k, len(images) - 1), "temperature": settings.temperature, "within": True}
    _add(found, KNN, hits[None], about)
    return found


def _few_shot(
    found: dict[str, Any], test: Features, train: Features, num_classes: int, settings: FewShotSettings
) -> None:
    """Add few-shot if most classes have enough labeled images. The others use all they have; a class without any is never predicted."""
    count_C = np.bincount(train.labels_N, minlength=num_classes)
    count_C = count_C[np.unique(np.concatenate([test.labels_N, train.labels_N]))]
    for shots in settings.shots:
        name, enough = f"{FEW_SHOT}_{shots}", int((count_C >= shots).sum())
        if enough < len(count_C) / 2:
            reason = f"{enough} of {len(count_C)} classes have {shots} labelled image{'s' if shots > 1 else ''}"
            found["learned"]["left_out"][name] = reason
            continue
        hits_SN = few_shot_hits(train, test, num_classes, shots, settings.seeds, settings.l2)
        values = hits_SN.mean(1)
        spread = float(values.std(ddof=1)) if len(values) > 1 else None
        about = {"values": values.tolist(), "spread": spread, "l2": settings.l2}
        _add(found, name, hits_SN, about | {"classes": enough, "of_classes": len(count_C)})


def _probe(
    found: dict[str, Any], test: Features, train: Features, choose: Features | None, settings: LinearProbeSettings
) -> None:
    """Add the linear probe if there are images to choose its regularization on."""
    fit = train.of(thinned(train.labels_N, settings.max_images))
    if choose is None or not len(choose):
        chosen = divide(fit.labels_N, settings.held_out)
        fit, choose = fit.of(~chosen), fit.of(chosen)
    if not len(choose):
        found["learned"]["left_out"][PROBE] = "one labelled image a class leaves none to choose its strength on"
        return
    probe = linear_probe(fit, choose, test, settings.iterations)
    about = {"l2": probe.l2, "chosen_at": probe.accuracy, "chosen_on": len(choose)}
    about |= {"fitted_on": len(fit) + len(choose), "converged": probe.converged}
    _add(found, PROBE, probe.hits[None], about)


def _knn(found: dict[str, Any], test: Features, train: Features, num_classes: int, settings: KnnSettings) -> None:
    """Add k-NN."""
    hits = knn_hits(train, test, num_classes, settings.k, settings.temperature)
    _add(found, KNN, hits[None], {"k": min(settings.k, len(train)), "temperature": settings.temperature})


def _fine_tune(found: dict[str, Any], tuning: Tuning) -> None:
    """Add fine-tuning, with what it cost."""
    settings, fit, choose = tuning.tuner.settings, tuning.train, tuning.choose
    if choose is None or not len(choose):
        chosen = divide(fit.labels_N, settings.held_out)
        fit, choose = fit.of(~chosen), fit.of(chosen)
    if not len(choose) and len(settings.learning_rates) > 1:
        found["learned"]["left_out"][FINE_TUNE] = (
            "one labelled image a class leaves none to choose its learning rate on"
        )
        return
    start = time.perf_counter()
    tuned = tuning.tuner.measured(fit, choose, tuning.test)
    about: dict[str, Any] = {"learning_rate": tuned.learning_rate, "chosen_at": tuned.accuracies}
    about |= {"chosen_on": len(choose) if tuned.accuracies else 0, "fitted_on": len(fit) + len(choose)}
    about |= {"steps": settings.steps, "batch_size": settings.batch_size, "flops": tuned.flops}
    _add(found, FINE_TUNE, tuned.hits[None], about | {"seconds": time.perf_counter() - start})


def _add(found: dict[str, Any], name: str, hits_SN: np.ndarray, about: dict[str, Any]) -> None:
    """Add one metric: the mean over several draws, with an interval over the images."""
    draws, images = hits_SN.shape
    found["metrics"][name] = float(hits_SN.mean())
    found["confidence"][name] = clustered_wilson(hits_SN.T.ravel(), np.repeat(np.arange(images), draws))
    found["hits"][name] = [packed(hits) for hits in hits_SN] if draws > 1 else packed(hits_SN[0])
    found["learned"][name] = about
