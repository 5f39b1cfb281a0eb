"""The reference check: is a reference good enough to choose batches by? It asks the reference, the curated set and a sample of the pool.

Nothing here knows the truth about the pool's pairs, and nothing long is needed for it: some thousand forward passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.curation.clusters import text_clusters
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.sampling import sampled_rows
from superbatch.evaluation.pairs.batches import Pairs
from superbatch.evaluation.pairs.measure import Seen, measure
from superbatch.evaluation.pairs.verdict import FEW_CURATED, FEWEST_PAIRS, FITS_POOL, OVERFIT, THRESHOLDS
from superbatch.files import read_json
from superbatch.models import ClipModel, load_checkpoint, pick_device, read_metadata
from superbatch.models.towers import Towers
from superbatch.tasks.embed import reference_loss
from superbatch.tasks.sample import embed_rows
from superbatch.tasks.trusted import Trusted
from superbatch.tasks.view import preprocessing, shell

FORMAT = 4  # raised when the same inputs give another check
CHECK = "check.json"
SAMPLE = 2_000  # rows of the pool, and training pairs, that are examined
SEED = 0  # of these samples
SAID = ("verdict", "line", "remedy")  # what is copied into a learner's record


@dataclass(frozen=True)
class Checked(Trusted):
    """A reference with the sets that it is checked on.

    Attributes:
        pool: the ingested set that it is to choose from.
    """

    pool: Manifest

    @classmethod
    def of(cls, model: Path, training: Path, curated: Path, pool: Path) -> Checked:
        """Open the sets.

        Raises:
            UserError: the reference was trained on another curated set.
        """
        checked = cls(model, training, read_manifest(curated), read_manifest(pool))
        checked.check_curated()
        return checked

    @property
    def fingerprint(self) -> str:
        """Names all that decides the outcome: the reference, the sets, what was held out, the lines of the verdict."""
        weights, view = read_metadata(self.model)["weights_sha256"], preprocessing(shell(self.model))
        lines = [THRESHOLDS, FEWEST_PAIRS, OVERFIT, FEW_CURATED, FITS_POOL]
        sets = [self.curated.fingerprint, self.pool.fingerprint]
        return fingerprint(["check", FORMAT, weights, view, *sets, self.imported, self.held_out, lines])


def check(checked: Checked, device: str = "auto") -> dict[str, Any]:
    """Measure a reference and judge it.

    Args:
        checked: what, and on what.
        device: where the reference embeds.

    Returns:
        `evaluation.pairs.measure.measure`'s JSON, with `reference` (SHA-256 of its weights) and `imported`.
    """
    clip = load_checkpoint(checked.model)
    place = pick_device(device)
    clip.model.to(place).eval()
    look = _Look(clip, Towers.of(clip, place, "auto"))
    held_rows, seen_rows = checked.split()
    held = look(checked.curated, held_rows) if len(held_rows) else None
    trained = look(checked.curated, seen_rows[sampled_rows(len(seen_rows), SAMPLE, SEED)]) if len(seen_rows) else None
    pool = look(checked.pool, sampled_rows(len(checked.pool), SAMPLE, SEED))
    rare = None if held is None else rare_concepts(pool, held)
    found = measure(Seen(held, trained, pool, rare, len(seen_rows)))
    weights = read_metadata(checked.model)["weights_sha256"]
    return {"format": FORMAT, "reference": weights, "imported": checked.imported} | found


def said(directory: Path, reference: Path) -> dict[str, str] | None:
    """Return the result of a reference's check in words, for the record of a run that uses it; None where it is about another one."""
    found = read_json(directory / CHECK)
    ours = found["reference"] == read_metadata(reference)["weights_sha256"]
    return {name: found[name] for name in SAID} if ours else None


@dataclass(frozen=True)
class _Look:
    """Rows of a set as a reference sees them."""

    clip: ClipModel
    towers: Towers

    def __call__(self, manifest: Manifest, rows: np.ndarray) -> Pairs:
        images, texts, captions = embed_rows(self.clip, self.towers, manifest, rows)
        return Pairs(images.cpu(), texts.cpu(), captions, *self.clip.scale_and_bias(), reference_loss(self.clip))


@dataclass(frozen=True)
class _Texts:
    """Texts in memory, as `text_clusters` reads them."""

    text_ND: np.ndarray

    def __len__(self) -> int:
        return len(self.text_ND)

    def texts(self, rows: np.ndarray) -> np.ndarray:
        """Return some rows' embeddings."""
        found: np.ndarray = self.text_ND[rows]
        return found


def rare_concepts(pool: Pairs, held_out: Pairs) -> np.ndarray:
    """Tell which held-out pairs are of concepts that are rare in the pool, bool (n,).

    Captions of both are clustered by their embeddings, into about as many clusters as each has of the pool's pairs. Rare are the held-out
    pairs whose clusters hold the fewest of the pool's: half of them, as nearly as clusters of equal size allow; none where all are equal.
    """
    texts = np.concatenate([pool.text_nD.numpy(), held_out.text_nD.numpy()])
    cluster = text_clusters(_Texts(texts), max(1, round(len(pool) ** 0.5)))
    size_n = np.bincount(cluster[: len(pool)], minlength=int(cluster.max()) + 1)[cluster[len(pool) :]]
    cuts = np.unique(size_n)[:-1]
    if not len(cuts):
        return np.zeros(len(size_n), bool)
    halves = [abs(float((size_n <= cut).mean()) - 0.5) for cut in cuts]
    found: np.ndarray = size_n <= cuts[int(np.argmin(halves))]
    return found
