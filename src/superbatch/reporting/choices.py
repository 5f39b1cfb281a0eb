"""What a run trained on, along the run: how pure, how easy for the reference, over how many concepts, and the same rows how often.

Concepts are clusters of captions, which any pool may have; where a pool is simulated the true ones stand beside them. Whatever is counted has the
same of uniform sampling beside it, over the whole pool and for as many samples (`by_chance`).

Legend: R rows of the pool, C concepts, b batch size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from superbatch.curation.clusters import effective_number
from superbatch.reporting.spans import spans
from superbatch.reporting.uniform_draws import expected_distinct, expected_effective, expected_in_batch

PARTS = 10  # of a run
COLUMNS = (
    "steps", "picks", "purity", "reference", "percentile", "score", "passed_score", "concepts", "in_batch", "true_concepts",
    "true_in_batch", "distinct", "repeats", "never",
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What is known of each row of a pool, by row number.

    Attributes:
        reference_R: the reference's score, float; none of them NaN.
        concept_R: cluster of the caption, int, from 0; None where none were made.
        good_R: whether the caption says what the image shows, bool; None where nobody knows.
        true_concept_R: concept of the image, int, -1 for none; likewise.
    """

    reference_R: np.ndarray
    concept_R: np.ndarray | None
    good_R: np.ndarray | None = None
    true_concept_R: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.reference_R)

    def concepts(self) -> dict[str, np.ndarray]:
        """Labels by the beginning of their columns' names: `concepts` and `true_concepts`, where they are known; all from 0."""
        found = {} if self.concept_R is None else {"": self.concept_R}
        return found if self.true_concept_R is None else found | {"true_": self.true_concept_R + 1}


def percentiles(scores_R: np.ndarray) -> np.ndarray:
    """Return the share of the pool that scores below each row, equals counted half, float64 (R,): 0.5 on average."""
    ordered = np.sort(scores_R)
    below, through = (np.searchsorted(ordered, scores_R, side) for side in ("left", "right"))
    return (below + through) / (2 * len(scores_R))


def told_apart(scores_R: np.ndarray, good_R: np.ndarray) -> float:
    """Return how often a good pair scores higher than a bad one, equals counted half (the area under the ROC curve); NaN without either."""
    good, bad = int(good_R.sum()), int((~good_R).sum())
    if not good or not bad:
        return float("nan")
    ranks = percentiles(scores_R) * len(scores_R) + 0.5
    return float((ranks[good_R].sum() - good * (good + 1) / 2) / (good * bad))


def along(picks: pd.DataFrame, known: Known, parts: int = PARTS) -> pd.DataFrame:
    """Measure what was trained on in each part of a run.

    Args:
        picks: step, row, score, chosen. Rows that are not the pool's (curated ones) are left out.
        parts: equal ones, by steps; fewer where there are fewer steps. One gives the run as a whole.

    Returns:
        One row a part. Of its own picks: `picks`, their number; `purity`, share of good pairs; `reference`, mean reference score, and
        `percentile`, where in the pool that is; `score`, mean of what the choice went by, and `passed_score`, of the rows passed over;
        `concepts`, their effective number, and `in_batch`, how many of them a batch holds; `true_*` likewise. From the start on:
        `steps` done; `distinct` rows; `repeats`, how often each was taken; `never`, share of the pool that was not. NaN: not known.
    """
    picks = picks[picks["row"] < len(known)].sort_values("step", kind="stable")
    taken = picks["chosen"].to_numpy(bool)
    if not taken.any():
        return pd.DataFrame(columns=COLUMNS)
    part, middles = spans(picks["step"].to_numpy(), parts)
    groups = [picks[part == number] for number in range(len(middles))]
    place_R = percentiles(known.reference_R)
    frame = pd.DataFrame([_of_part(group, known, place_R) for group in groups])
    first = ~picks["row"].where(taken).duplicated().to_numpy() & taken  # the first time that a row was chosen
    new = np.bincount(part, weights=first, minlength=len(middles))
    return pd.concat([frame, _so_far(frame["picks"].to_numpy(), np.cumsum(new), len(known))], axis=1)[list(COLUMNS)]


def _of_part(picks: pd.DataFrame, known: Known, place_R: np.ndarray) -> dict[str, float]:
    taken = picks["chosen"].to_numpy(bool)
    chosen = picks[taken]
    return {
        "steps": int(picks["step"].max()) + 1,
        "picks": len(chosen),
        "score": float(chosen["score"].mean()),
        "passed_score": float(picks.loc[~taken, "score"].mean()),
        **described(chosen, known, place_R),
    }


def described(chosen: pd.DataFrame, known: Known, place_R: np.ndarray) -> dict[str, float]:
    """Measure rows that were chosen: purity, reference, percentile, concepts, in_batch, true_concepts, true_in_batch (as `along` has them).

    Args:
        chosen: step, row. place_R: `percentiles` of the reference's scores.
    """
    rows = chosen["row"].to_numpy()
    found = {
        "purity": np.nan if known.good_R is None else float(known.good_R[rows].mean()),
        "reference": float(known.reference_R[rows].mean(dtype=np.float64)),
        "percentile": float(place_R[rows].mean()),
        **dict.fromkeys(("concepts", "in_batch", "true_concepts", "true_in_batch"), np.nan),
    }
    for name, concept_R in known.concepts().items():
        found[f"{name}concepts"] = effective_number(np.bincount(concept_R[rows]))
        found[f"{name}in_batch"] = different_in_a_batch(chosen["step"].to_numpy(), concept_R[rows])
    return found


def different_in_a_batch(steps: np.ndarray, concepts: np.ndarray) -> float:
    """Return how many different concepts a step's picks hold on average; step and concept of each pick."""
    pairs = np.unique(np.stack([steps, concepts]), axis=1)
    return pairs.shape[1] / len(np.unique(steps))


def _so_far(picks: np.ndarray, distinct: np.ndarray, rows: int) -> pd.DataFrame:
    return pd.DataFrame({"distinct": distinct, "repeats": np.cumsum(picks) / distinct, "never": 1 - distinct / rows})


def by_chance(known: Known, batch_size: int, steps: int, parts: int = PARTS) -> pd.DataFrame:
    """Give what `along` would show on average of uniform sampling over the whole pool.

    Args:
        batch_size: b. steps: of the run. parts: as for `along`.
    """
    part, _ = spans(np.arange(steps), parts)
    lengths = np.bincount(part)
    ends = np.cumsum(lengths)
    frame = pd.DataFrame(index=range(len(ends)), columns=list(COLUMNS), dtype=float)
    frame["steps"], frame["picks"] = ends, lengths * batch_size
    frame["purity"] = np.nan if known.good_R is None else known.good_R.mean()
    frame["reference"], frame["percentile"] = known.reference_R.mean(dtype=np.float64), 0.5
    for name, concept_R in known.concepts().items():
        sizes_C = np.bincount(concept_R)
        effective = {length: expected_effective(sizes_C, int(length) * batch_size) for length in np.unique(lengths)}
        frame[f"{name}concepts"] = [effective[length] for length in lengths]
        frame[f"{name}in_batch"] = expected_in_batch(sizes_C, batch_size)
    distinct = np.array([expected_distinct(len(known), batch_size, int(end)) for end in ends])
    frame[["distinct", "repeats", "never"]] = _so_far(frame["picks"].to_numpy(), distinct, len(known))
    return frame
