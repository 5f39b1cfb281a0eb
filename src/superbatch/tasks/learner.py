"""From files and settings to a learner's `Job`: build the models, open the sets, pick the rows, name it all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.curation.clusters import check_clusters
from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache
from superbatch.data.fields import Field, Source
from superbatch.data.manifest import Manifest
from superbatch.data.sampling import rows_aside
from superbatch.errors import UserError
from superbatch.models import ClipModel, Vocabulary, build_model, read_metadata
from superbatch.options import LearnerSettings, ModelSettings, PoolSettings, SelectionSettings, TrainingSettings
from superbatch.tasks.contrastive import Contrastive, Reference, cached_fields
from superbatch.tasks.filtering import Kept, kept, kept_count, with_share
from superbatch.tasks.proxy import build_proxy, check_view, share_vocabulary
from superbatch.tasks.sets import OpenSets, SetFiles, open_sets
from superbatch.tasks.view import embedding_fingerprint, preprocessing, shell, shell_of
from superbatch.training.job import Job, deciding, order_of

log = logging.getLogger(__name__)
T = TypeVar("T")
Evaluate = Callable[[ClipModel], dict[str, float]]


@dataclass(frozen=True)
class Built:
    """Models and sets of a job.

    Attributes:
        clip, proxy: with their starting weights, on the vocabulary in use where there is one.
        sets: opened in their view.
        vocabulary: in use; None where the models train on the tokenizer's own.
        identity: what of all this decides the outcome.
    """

    clip: ClipModel
    proxy: ClipModel | None
    sets: OpenSets
    vocabulary: Vocabulary | None
    identity: dict[str, Any]

    @property
    def fields(self) -> dict[str, Field]:
        """What can be read of the sets."""
        return self.sets.fields(self.vocabulary)


def build(
    model: ModelSettings,
    training: TrainingSettings,
    selection: SelectionSettings,
    files: list[SetFiles],
    state_root: Path,
) -> Built:
    """Build the models of a job and open its sets.

    Raises:
        UserError: a proxy that does not see what the learner sees; a row without a caption.
    """
    clip = build_model(model, loss=training.loss, batch_size=training.batch_size, seed=training.seed)
    identity: dict[str, Any] = {"model": model_identity(model, clip)}
    sets = open_sets(clip, files, state_root / "tokens")
    identity["sets"] = sets.fingerprints
    vocabulary = sets.vocabulary(clip) if can_shrink(clip, model) else None
    if vocabulary is not None:
        vocabulary.shrink(clip.model)
    proxy = None
    if selection.proxy is not None:
        proxy = build_proxy(selection.proxy, clip, training, model.config)
        identity["proxy"] = model_identity(selection.proxy, proxy)
        share_vocabulary(proxy, vocabulary, selection.proxy.config)
    return Built(clip, proxy, sets, vocabulary, identity)


def can_shrink(clip: ClipModel, model: ModelSettings) -> bool:
    """Whether a model trains on the vocabulary in use: where wanted, and where the text tower is open_clip's own."""
    return model.compact_vocabulary and hasattr(clip.model, "token_embedding")


def model_identity(model: ModelSettings, clip: ClipModel) -> dict[str, Any]:
    """What the starting weights depend on: the configuration's content and the pretrained file's."""
    pretrained = Path(model.pretrained) if model.pretrained else None
    weights = None
    if pretrained is not None:
        weights = read_metadata(pretrained)["weights_sha256"] if pretrained.is_dir() else file_sha256(pretrained)
    return {"config": clip.config, "pretrained": weights, "compact_vocabulary": model.compact_vocabulary}


def learner_job(
    name: str,
    settings: LearnerSettings,
    pool: SetFiles,
    state_root: Path,
    *,
    reference_dir: Path | None = None,
    curated: SetFiles | None = None,
    evaluate: Evaluate | None = None,
    charges: dict[str, float] | None = None,
    remarks: dict[str, Any] | None = None,
    recipe: Callable[[], Job] | None = None,
    known: Callable[[], np.ndarray] | None = None,
) -> Job:
    """Make a learner's job.

    Args:
        name: of the run.
        settings: of the method.
        pool: the ingested set, with features where reference scores are needed.
        state_root: folder of the runs' states.
        reference_dir: the reference's checkpoint, for whoever needs one; a cache of another one is refused.
        curated: the ingested curated set, for `pool.add_curated`.
        evaluate: called at intervals.
        charges: FLOPs that a full account adds.
        remarks: what else its record says, by name; it decides nothing.
        recipe: makes the job anew in another process.
        known: gives the scores of curated pairs that the reference was not trained on (`trusted.held_out_scores`), for `pool.like_curated`.

    Raises:
        UserError: what does not fit: sets, features, reference, proxy.
    """
    training, selection = settings.training, settings.selection
    model = settings.model
    if settings.warm_start:
        model = replace(model, pretrained=str(_given(reference_dir, "reference_dir", "learner.warm_start")))
    files = [pool, _given(curated, "curated", "pool.add_curated")] if settings.pool.add_curated else [pool]
    built = build(model, training, selection, files, state_root)
    cache = _reference_cache(settings, built, files, reference_dir)
    rows = settings.pool if cache is None else _settled(name, settings.pool, cache, known)
    identity = built.identity | {"pool": deciding(rows, PoolSettings()), "warm_start": settings.warm_start}
    fields, filtered, reference = built.fields, Kept(), None
    if cache is not None:
        identity |= _reference_identity(_given(reference_dir, "reference_dir", "selection"))
        fields |= cached_fields(cache)
        filtered = _kept(name, cache, rows)
        identity |= filtered.identity
        reference = Reference(cache.scale, cache.bias)
    source = Source(fields, filtered.rows)
    return Job(
        name,
        Contrastive(built.clip, training, selection, reference, built.proxy, built.vocabulary),
        replace(source, aside=rows_aside(selection, source.num_rows, training.seed)),
        training,
        selection,
        settings.super_batch_size,
        identity,
        state_root,
        evaluate,
        _charged(settings, cache is not None, charges or {}),
        built.sets.names,
        recipe,
        remarks or {},
    )


def _given(path: T | None, argument: str, setting: str) -> T:
    if path is None:
        raise UserError(setting, f"needs `{argument}`, which was not given", f"pass {argument} to learner_job")
    return path


def _charged(settings: LearnerSettings, uses_cache: bool, charges: dict[str, float]) -> dict[str, float]:
    """What an honest account adds to a run: all of the reference's cost, its training alone, or nothing."""
    if uses_cache:
        return dict(charges)
    return {name: spent for name, spent in charges.items() if settings.warm_start and name == "reference_training"}


def _reference_cache(
    settings: LearnerSettings, built: Built, files: list[SetFiles], reference_dir: Path | None
) -> EmbeddingCache | None:
    """Open the reference's cached embeddings where a run scores or filters by them.

    Raises:
        UserError: there are none, or they are of another reference, set or preprocessing, or not to be held against the learner's loss.
    """
    if settings.selection.method == "uniform" and not settings.pool.filters:
        return None
    if len(files) > 1:
        raise UserError(
            "pool.add_curated",
            "cannot be combined with selection or a filter",
            "add the curated shards to the pool's list instead",
        )
    if files[0].features is None:
        raise UserError("embed", "the pool has no embeddings", "run `kedro run --pipelines embed` first")
    reference_dir = _given(reference_dir, "reference_dir", "selection")
    cache = open_cache(files[0].features, reference_dir, built.sets.manifests[0])
    check_loss(cache, settings)
    return cache


def open_cache(features: Path, reference_dir: Path, manifest: Manifest) -> EmbeddingCache:
    """Open a reference's embeddings of a set.

    Raises:
        UserError: they are of another reference or set, or were made with other preprocessing.
    """
    weights = read_metadata(reference_dir)["weights_sha256"]
    cache = EmbeddingCache(features / EMBEDDINGS)
    if (cache.metadata.get("reference"), cache.metadata.get("manifest")) != (weights, manifest.fingerprint):
        raise UserError(
            str(features),
            f"embeddings of another reference or set ({str(cache.metadata.get('reference'))[:12]}, not {weights[:12]})",
            "run `kedro run --pipelines embed` again",
        )
    if cache.fingerprint != embedding_fingerprint(weights, manifest, shell(reference_dir)):
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
            "sigmoid, and the reference was trained by softmax: their losses cannot be subtracted",
            "train both by one loss, or name the reference's checkpoint as reference.import_from, which fits scale and bias to it",
        )


def _reference_identity(reference_dir: Path) -> dict[str, str]:
    """Name the reference; of an imported one its configuration too, which may be another one with the same weights."""
    metadata = read_metadata(reference_dir)
    identity = {"reference": metadata["weights_sha256"]}
    if "imported_from" in metadata:
        identity["reference_preprocessing"] = preprocessing(shell(reference_dir))
    return identity


def _settled(
    name: str, pool: PoolSettings, cache: EmbeddingCache, known: Callable[[], np.ndarray] | None
) -> PoolSettings:
    """Find the share of the pool that is kept, where curated pairs decide it."""
    if not pool.like_curated:
        return pool
    known_H = _given(known, "known", "pool.like_curated")()
    found = with_share(pool, cache, known_H)
    pairs = f"{100 * pool.like_curated:g} % of the {len(known_H):,} curated pairs that the reference was not trained on"
    log.info("%s: %.2f %% of the pool score like %s", name, 100 * found.keep_share, pairs)
    return found


def _kept(name: str, cache: EmbeddingCache, pool: PoolSettings) -> Kept:
    found = kept(cache, pool)
    if found.words:
        log.info("%s: keeps %s", name, found.words)
    return found


def check_sizes(settings: LearnerSettings, pool: SetFiles, curated: SetFiles) -> None:
    """Refuse a super-batch or clusters that are more than the rows, and a model whose files are missing.

    Raises:
        UserError: as `learner_job` and `train` would say it, without features and without a reference.
    """
    learner, proxy = shell_of(settings.model), settings.selection.proxy
    if proxy is not None:
        check_view(shell_of(proxy), proxy.config, learner, settings.model.config)
    rows = len(pool.manifest())
    check_clusters(settings.pool.clusters, rows, "pool.clusters")
    rows = kept_count(rows, settings.pool.keep_share)
    rows += len(curated.manifest()) if settings.pool.add_curated else 0
    aside = rows_aside(settings.selection, rows, settings.training.seed)
    rows -= 0 if aside is None else len(aside)
    order_of(settings.training, settings.selection, rows, settings.super_batch_size)
