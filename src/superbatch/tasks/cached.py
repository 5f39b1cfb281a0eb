"""The reference's cached embeddings as a learner's run opens them.

A cache of another reference, set, configuration or view is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from superbatch.data.embeddings import EmbeddingCache, embeddings_file
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.models import read_metadata
from superbatch.models.classifier import is_classifier
from superbatch.models.headed import is_image_only
from superbatch.options import LearnerSettings, LowSettings
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.view import embedding_fingerprint, preprocessing, shell

T = TypeVar("T")


def reference_cache(
    settings: LearnerSettings, manifests: Sequence[Manifest], files: Sequence[SetFiles], reference_dir: Path | None
) -> EmbeddingCache | None:
    """Open the reference's cached embeddings where a run scores, filters or is taught by them; those of the low view, if it asks for them.

    Raises:
        UserError: there are none, or they are of another reference, set or preprocessing, or not comparable with the learner's loss.
    """
    if not settings.uses_embeddings:
        return None
    if files[0].features is None:
        raise UserError("embed", "the pool has no embeddings", "run `kedro run --pipelines embed` first")
    reference_dir = given(reference_dir, "reference_dir", "selection")
    require_pairs(reference_dir)
    cache = open_cache(files[0].features, reference_dir, manifests[0], settings.reference_view)
    check_loss(cache, settings)
    return cache


def require_pairs(reference_dir: Path, key: str = "learner.reference") -> None:
    """Refuse a reference of labels, or of images alone, where one of pairs is needed. `key`: the setting that names it.

    Raises:
        UserError: just that.
    """
    if is_classifier(reference_dir):
        what = "was trained on labels, which say nothing about pairs"
        raise UserError(key, what, "name one trained on pairs, such as reference, or set learner.labels")
    if is_image_only(reference_dir):
        what = "was trained on images alone, which say nothing about pairs"
        raise UserError(key, what, "name one trained on pairs, such as reference")


def open_cache(
    features: Path, reference_dir: Path, manifest: Manifest, low: LowSettings | None = None
) -> EmbeddingCache:
    """Open a reference's embeddings of a set, at full view or at low.

    Raises:
        UserError: they are of another reference or set, or were made with other preprocessing.
    """
    weights = read_metadata(reference_dir)["weights_sha256"]
    path = features / embeddings_file(low)
    if low is not None and not path.exists():
        what, remedy = (
            f"the reference did not embed this set in the low view ({low.name})",
            "set embed.low to flexi.low",
        )
        raise UserError(str(features), what, remedy)
    cache = EmbeddingCache(path)
    if (cache.metadata.get("reference"), cache.metadata.get("manifest")) != (weights, manifest.fingerprint):
        raise UserError(
            str(features),
            f"embeddings of another reference or set ({str(cache.metadata.get('reference'))[:12]}, not {weights[:12]})",
            "run `kedro run --pipelines embed` again",
        )
    if cache.fingerprint != embedding_fingerprint(weights, manifest, shell(reference_dir), low):
        what = "embeddings that the reference made with another configuration (size, mean, std, tokenizer, quick_gelu)"
        raise UserError(str(features), what, "run `kedro run --pipelines embed` again")
    return cache


def check_loss(cache: EmbeddingCache, settings: LearnerSettings) -> None:
    """Refuse a softmax reference under a sigmoid learner: it has no bias, so the sigmoid loss of its pairs means nothing.

    Raises:
        UserError: just that.
    """
    if settings.selection.uses_reference and (cache.loss, settings.training.loss) == ("softmax", "sigmoid"):
        raise UserError(
            "learner.training.loss",
            "sigmoid, but the reference was trained with softmax: their losses cannot be subtracted",
            "train both with one loss, or name the reference's checkpoint as reference.import_from, which fits scale and bias to it",
        )


def reference_identity(reference_dir: Path) -> dict[str, str]:
    """Name the reference; of an imported one its configuration too, which may be another one with the same weights."""
    metadata = read_metadata(reference_dir)
    identity = {"reference": metadata["weights_sha256"]}
    if "imported_from" in metadata:
        identity["reference_preprocessing"] = preprocessing(shell(reference_dir))
    return identity


def given(path: T | None, argument: str, setting: str) -> T:
    """Return what a setting needs, which a caller may leave out where it doesn't.

    Raises:
        UserError: it was left out.
    """
    if path is None:
        raise UserError(setting, f"needs `{argument}`, which was not given", f"pass {argument} to learner_job")
    return path
