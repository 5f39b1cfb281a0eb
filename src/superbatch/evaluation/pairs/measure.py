"""All measures of the reference check at once, from embeddings: on held-out pairs, training pairs and a sample of the pool.

Letters in names: n pairs, D embedding width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superbatch.evaluation.pairs.auc import Scored, auc_estimate
from superbatch.evaluation.pairs.batches import Pairs, conditional_trials, easy_reference_purity
from superbatch.evaluation.pairs.exchange import exchange
from superbatch.evaluation.pairs.mixture import Mixture, bad_share, mixture, purity_of_best
from superbatch.evaluation.pairs.recall import recall_in
from superbatch.evaluation.pairs.resampling import Estimate, mean_estimate
from superbatch.evaluation.pairs.verdict import Evidence, judge
from superbatch.losses import fit_scale_and_bias, mean_loss
from superbatch.selection import few_texts, gathered, p_values, say_few_things

BATCH = 64  # pairs in a batch, for recall, conditional scores and losses
KEPT = (0.1, 0.3, 0.5)  # best shares of the pool whose purity is estimated
FEWEST = 4  # pairs below which nothing is computed
UNKNOWN_BAD = 0.5  # the share that is exchanged where the pool's could not be estimated
NO_TELLING = 0.5  # AUC by chance: if the interval contains it, the pool's share of bad pairs can't be estimated either
SEED = 0
HISTOGRAM = 30  # bins of the figure


@dataclass(frozen=True)
class Seen:
    """The pairs that a reference is measured on.

    Attributes:
        held_out, trained, pool: as the reference embeds them; `trained` is None for an imported one, `held_out` None where there are none.
        rare: which of the held-out pairs are of rare concepts, bool; None where concepts were not told apart.
        curated: pairs that it was trained on, sampled here or not.
    """

    held_out: Pairs | None
    trained: Pairs | None
    pool: Pairs
    rare: np.ndarray | None
    curated: int


def measure(seen: Seen) -> dict[str, Any]:
    """Measure a reference and judge it.

    Returns:
        JSON by name: `verdict`, `line`, `remedy`, `sentence`; `auc` (`pair` and `conditional`, each `all`, `rare`, `frequent`), `recall`, `loss` (each
        `held_out`, `training`), `pool_above`, `of_labels`, `gathered`, `bad_share`, `purity`, `scores` (histograms for the figure), `pairs` (how many of each). Null where a
        measure is missing.
    """
    held, pool = seen.held_out, seen.pool
    scores = {"pool": pair_scores(pool)}
    found: dict[str, Any] = {
        "pairs": {"held_out": 0 if held is None else len(held), "training": seen.curated, "pool": len(pool)}
    }
    of = min(BATCH, 0 if held is None else len(held)) or BATCH
    trained = None if seen.trained is None else _recall(seen.trained, of)
    recall, auc, above = _nothing(), _nothing(), None
    if held is not None and len(held) >= FEWEST and len(pool) >= FEWEST:
        recall, scored = _recall(held, of), _pair_trial(held)
        auc = auc_estimate([scored], len(held), SEED)
        scores |= {"true": scored.score[scored.true], "exchanged": scored.score[~scored.true]}
        _, bad_scores = exchanged_scores(pool)
        told = auc.low > NO_TELLING and len(bad_scores) > 0
        mixed = mixture(scores["pool"], scores["true"], bad_scores, SEED) if told else None
        bad = UNKNOWN_BAD if mixed is None else bad_share(mixed).value
        above = pool_above(scores["pool"], scores["true"])
        found |= {"auc": _aucs(scored, bad, seen), **_of_pool(mixed, bad, held)}
    found["recall"] = {"held_out": recall.as_json(), "training": trained and trained.as_json(), "of": of}
    found["loss"] = {"held_out": losses(held), "training": losses(seen.trained)}
    found["pool_above"] = above and above.as_json()
    few, spread = _said(pool)
    of_labels = few or (spread is not None and say_few_things(spread))
    verdict = judge(Evidence(auc, recall, trained, found["pairs"]["held_out"], seen.curated, of, above, of_labels))
    found |= {"of_labels": of_labels, "gathered": None if spread is None else gathered(spread)}
    words = {"verdict": verdict.name, "line": verdict.line, "remedy": verdict.remedy, "sentence": verdict.sentence}
    return words | found | {"scores": histograms(scores)}


def _said(pool: Pairs) -> tuple[bool, Tensor | None]:
    """Return whether few captions are told from each other, and where not, the p-values that tell whether they say few things."""
    few = len(pool) >= FEWEST and few_texts(pool.text_nD)
    return few, None if few or len(pool) < FEWEST else p_values(pool.image_nD, pool.text_nD)


def pair_scores(pairs: Pairs) -> np.ndarray:
    """Return the cosine of each image with its caption, float64 (n,)."""
    found: np.ndarray = torch.linalg.vecdot(pairs.image_nD.double(), pairs.text_nD.double()).cpu().numpy()
    return found


def exchanged_scores(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return images, int64 (m,), and the cosine of each with another pair's caption, float64 (m,) (`exchange`)."""
    images, others = exchange(pairs.captions, np.random.default_rng(SEED))
    found = torch.linalg.vecdot(
        pairs.image_nD[torch.from_numpy(images)].double(), pairs.text_nD[torch.from_numpy(others)].double()
    )
    return images, found.cpu().numpy()


def _pair_trial(pairs: Pairs) -> Scored:
    images, exchanged = exchanged_scores(pairs)
    score = np.concatenate([pair_scores(pairs), exchanged])
    return Scored(score, np.arange(len(score)) < len(pairs), np.concatenate([np.arange(len(pairs)), images]))


def pool_above(pool_n: np.ndarray, held_n: np.ndarray) -> Estimate:
    """Return how often a pair of the pool scores above a held-out one, ties half: near 1 where a reference was trained on the pool."""
    score = np.concatenate([pool_n, held_n])
    return auc_estimate([Scored(score, np.arange(len(score)) < len(pool_n), np.arange(len(score)))], len(score), SEED)


def _recall(pairs: Pairs, of: int) -> Estimate:
    chance_n = recall_in(pairs.image_nD, pairs.text_nD, pairs.captions, of)
    return mean_estimate(chance_n[~np.isnan(chance_n)], SEED)


def _aucs(scored: Scored, bad: float, seen: Seen) -> dict[str, Any]:
    """AUC by pair score and by conditional score, of all held-out pairs and of those of rare and of frequent concepts."""
    held = seen.held_out
    assert held is not None
    trials = {"pair": [scored], "conditional": conditional_trials(held, bad, BATCH, SEED)}
    return {name: _by_concept(some, seen.rare, len(held)) for name, some in trials.items()}


def _by_concept(trials: Sequence[Scored], rare: np.ndarray | None, pairs: int) -> dict[str, Any]:
    groups = {"all": np.ones(pairs, bool)} | ({} if rare is None else {"rare": rare, "frequent": ~rare})
    of_group = {name: [trial.of(kept) for trial in trials] for name, kept in groups.items()}
    return {name: auc_estimate(some, pairs, SEED).as_json() for name, some in of_group.items()}


def _of_pool(mixed: Mixture | None, bad: float, held: Pairs) -> dict[str, Any]:
    """The share of bad pairs, and what a filter and easy_reference would leave of it; null if it can't be estimated."""
    if mixed is None:
        return {"bad_share": None, "purity": None}
    best = [
        {"kept": kept, "cut": float(mixed.edge[mixed.cut(kept)]), **purity_of_best(mixed, kept).as_json()}
        for kept in KEPT
    ]
    picked = easy_reference_purity(held, bad, SEED)
    return {
        "bad_share": bad_share(mixed).as_json(),
        "purity": {"filter": best, "easy_reference": picked and picked.as_json()},
    }


def losses(pairs: Pairs | None) -> dict[str, float] | None:
    """Return the reference's loss in batches, with its scale and bias as they are and fitted to these pairs; None without pairs."""
    if pairs is None or len(pairs) < FEWEST:
        return None
    size = min(BATCH, len(pairs))
    whole = len(pairs) // size * size
    sides = (side[:whole].double().cpu().split(size) for side in (pairs.image_nD, pairs.text_nD))
    batches = list(zip(*sides, strict=True))
    start = (torch.tensor(math.log(pairs.scale), dtype=torch.float64), torch.tensor(pairs.bias, dtype=torch.float64))
    as_it_is = float(mean_loss(batches, pairs.scale, pairs.bias, pairs.loss))
    return {"as_it_is": as_it_is, "fitted": fit_scale_and_bias(batches, *start, pairs.loss).loss_after}


def histograms(scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return counts of scores by name in common bins, and the bins' edges."""
    edges = np.histogram_bin_edges(np.concatenate(list(scores.values())), HISTOGRAM)
    counts = {name: np.histogram(values, edges)[0].tolist() for name, values in scores.items()}
    return {"edges": edges.tolist(), **counts}


def _nothing() -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, 0)
