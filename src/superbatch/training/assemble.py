"""From files and settings to a `Job`: open the sets, build the model, shrink its vocabulary, pick the rows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.order import Order
from superbatch.errors import UserError
from superbatch.files import file_sha256, fingerprint, write_json
from superbatch.models import (
    ClipModel,
    Vocabulary,
    build_model,
    find_weights,
    load_checkpoint,
    pick_device,
    read_config,
    read_metadata,
    save_checkpoint,
)
from superbatch.models.build import tokenizer_name
from superbatch.options import (
    LearnerSettings,
    ModelSettings,
    PoolSettings,
    ReferenceSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.stages import Staged, build_once
from superbatch.training.calibrate import calibrate
from superbatch.training.embed import View, open_pixels, open_tokens
from superbatch.training.job import STATE_FORMAT, Job, Reference
from superbatch.training.source import CachedTokenIds, Concatenated, Source
from superbatch.training.summary import import_summary

log = logging.getLogger(__name__)
VOCABULARY = 49_408  # open_clip's where a configuration names none
Evaluate = Callable[[ClipModel], dict[str, float]]


@dataclass(frozen=True)
class SetFiles:
    """Where a set's files are: its ingested directory and, once embedded, its features."""

    directory: Path
    features: Path | None = None

    def manifest(self) -> Manifest:
        """Open the set's manifest."""
        return read_manifest(self.directory)


@dataclass(frozen=True)
class Sources:
    """Pixels and original token ids of one or several sets as one source, and what names them."""

    source: Source
    fingerprints: list[str]
    manifests: list[Manifest]

    def names(self, rows: np.ndarray) -> tuple[list[str], list[str]]:
        """Return shard and key of each row, as the manifests have them."""
        starts = np.cumsum([0, *map(len, self.manifests)])
        which = np.searchsorted(starts, rows, side="right") - 1
        shards, keys = (
            [
                str(self.manifests[one].column(name)[int(row - starts[one])])
                for row, one in zip(rows, which, strict=True)
            ]
            for name in ("shard", "key")
        )
        return shards, keys


def open_sources(clip: ClipModel, sets: list[SetFiles], scratch: Path) -> Sources:
    """Open sets in the model's view; rows of later sets follow those of the first."""
    manifests = [files.manifest() for files in sets]
    view = View.of(clip)
    pixels = [open_pixels(view, m, files.features) for m, files in zip(manifests, sets, strict=True)]
    tokens = [open_tokens(clip, m, files.features, scratch) for m, files in zip(manifests, sets, strict=True)]
    for cache in tokens:
        cache.require_captions()
    joined = pixels[0] if len(pixels) == 1 else Concatenated(pixels, [len(m) for m in manifests])
    return Sources(Source(joined, CachedTokenIds(tuple(tokens))), [m.fingerprint for m in manifests], manifests)


def compact(clip: ClipModel, source: Source, wanted: bool) -> tuple[Source, Vocabulary | None]:
    """Shrink model and token ids to the vocabulary in use, where wanted and where the text tower is open_clip's own."""
    if not wanted or not hasattr(clip.model, "token_embedding"):
        return source, None
    ids = source.token_ids_NL
    vocabulary = Vocabulary.of(clip.model, ids.numpy() if isinstance(ids, Tensor) else ids.distinct())
    vocabulary.shrink(clip.model)
    shrunk = vocabulary.to_compact(ids) if isinstance(ids, Tensor) else replace(ids, vocabulary=vocabulary)
    return replace(source, token_ids_NL=shrunk), vocabulary


def share_vocabulary(proxy: ClipModel, vocabulary: Vocabulary | None, named: str) -> None:
    """Shrink a proxy to the learner's compact vocabulary, where the learner has one.

    Raises:
        UserError: the proxy's text tower is not open_clip's own.
    """
    if vocabulary is None:
        return
    if not hasattr(proxy.model, "token_embedding"):
        what = "its text tower does not know the learner's compact vocabulary"
        raise UserError(f"selection.proxy: {named}", what, "set compact_vocabulary to false for both")
    vocabulary.shrink(proxy.model)


def model_identity(model: ModelSettings, clip: ClipModel) -> dict[str, Any]:
    """What the starting weights depend on: the configuration's content and the pretrained file's."""
    pretrained = Path(model.pretrained) if model.pretrained else None
    weights = None
    if pretrained is not None:
        weights = read_metadata(pretrained)["weights_sha256"] if pretrained.is_dir() else file_sha256(pretrained)
    return {"config": clip.config, "pretrained": weights, "compact_vocabulary": model.compact_vocabulary}


def build_proxy(settings: ModelSettings, learner: ClipModel, training: TrainingSettings, named: str) -> ClipModel:
    """Build the model that scores in the learner's place; it must see what the learner sees.

    Args:
        settings: of the proxy.
        learner: built already; `named` is its configuration's name.
        training: the learner's; the proxy is trained by the same rules.

    Raises:
        UserError: another view than the learner's.
    """
    proxy = build_model(settings, loss=training.loss, batch_size=training.batch_size, seed=training.seed)
    check_view(proxy, settings.config, learner, named)
    return proxy


def check_view(proxy: ClipModel, proxy_file: str, learner: ClipModel, learner_file: str) -> None:
    """Refuse a proxy that wants other pixels or token ids than the learner's, which it is given.

    Raises:
        UserError: the first difference, by file and key.
    """
    for key, ours, theirs in zip(VIEW_KEYS, _view(proxy), _view(learner), strict=True):
        if ours != theirs:
            raise UserError(
                f"selection.proxy: {proxy_file}",
                f"{key} is {ours}, and {theirs} in the learner's {learner_file}",
                "give the proxy the learner's: it scores the same pixels and token ids",
            )


VIEW_KEYS = (
    "vision_cfg.image_size",
    "preprocess_cfg.mean and std",
    "text_cfg.context_length",
    "text_cfg.vocab_size",
    "text_cfg's tokenizer",
)


def _view(clip: ClipModel) -> tuple[Any, ...]:
    words = clip.config["model_cfg"]["text_cfg"].get("vocab_size", VOCABULARY)
    return clip.image_size, clip.mean_std, clip.context_length, words, clip.tokenizer_id


def reference_job(settings: ReferenceSettings, curated: SetFiles, state_root: Path, evaluate: Evaluate | None) -> Job:
    """Make the job that trains the reference on the curated set, uniformly."""
    return _job("reference", settings.model, settings.training, SelectionSettings(), [curated], state_root, evaluate)


def import_reference(
    settings: ReferenceSettings, curated: SetFiles, stages_root: Path, evaluate: Evaluate
) -> tuple[Staged, Staged]:
    """Make any open_clip checkpoint the reference: its weights, with a scale and bias that fit the loss.

    A checkpoint trained with the softmax loss has no bias, so the sigmoid loss of its pairs means nothing; scale and bias are then
    fitted to the curated set (see `calibrate`).

    Returns:
        The checkpoint and a record without steps, as `train` would leave them.
    """
    source = Path(str(settings.import_from))
    weights = read_metadata(source)["weights_sha256"]
    manifest = curated.manifest()
    name = fingerprint(["import", STATE_FORMAT, weights, settings.training.loss, manifest.fingerprint])

    def write_model(out: Path) -> None:
        clip = load_checkpoint(source)
        metadata: dict[str, Any] = {"run": "reference", "run_hash": name, "imported_from": str(source)}
        if settings.training.loss == "sigmoid" and getattr(clip.model, "logit_bias", None) is None:
            metadata["calibrated"] = calibrate(clip, manifest, settings.training)
        save_checkpoint(out, clip, metadata)

    model = build_once("reference", f"{name}-model", stages_root, write_model)

    def write_record(out: Path) -> None:
        clip = load_checkpoint(model.path)
        clip.model.to(pick_device(settings.training.device))
        write_json(out / "run.json", import_summary(clip, name, weights, source, evaluate(clip)))

    return model, build_once("reference record", f"{name}-training", stages_root, write_record)


def learner_job(
    name: str,
    settings: LearnerSettings,
    pool: SetFiles,
    curated: SetFiles,
    reference_dir: Path,
    state_root: Path,
    evaluate: Evaluate | None,
    charges: dict[str, float] | None = None,
) -> Job:
    """Make a learner's job.

    Args:
        name: of the run.
        settings: of the method.
        pool, curated: the ingested sets, with features where reference scores are needed.
        reference_dir: the reference's checkpoint; a cache of another one is refused.
        state_root: folder of the runs' states.
        evaluate: called at intervals.
        charges: FLOPs that a full account adds.
    """
    model = replace(settings.model, pretrained=str(reference_dir)) if settings.warm_start else settings.model
    sets = [pool, curated] if settings.pool.add_curated else [pool]
    job = _job(name, model, settings.training, settings.selection, sets, state_root, evaluate)
    job.super_batch_size = settings.super_batch_size
    job.identity |= {"pool": settings.pool, "warm_start": settings.warm_start}
    if settings.selection.method != "uniform" or settings.pool.keep_share < 1:
        _attach_reference(job, sets, reference_dir, settings.pool)
        job.charges = dict(charges or {})
    elif settings.warm_start:
        job.charges = {k: v for k, v in (charges or {}).items() if k == "reference_training"}
    return job


def check_sizes(settings: LearnerSettings, pool: SetFiles, curated: SetFiles) -> None:
    """Refuse a super-batch that is larger than the rows it is drawn from, and a model whose files are missing.

    Raises:
        UserError: as `learner_job` and `train` would say it, without features and without a reference.
    """
    shells = [_shell(model) for model in (settings.model, settings.selection.proxy) if model is not None]
    if settings.selection.proxy is not None:
        check_view(shells[1], settings.selection.proxy.config, shells[0], settings.model.config)
    rows = kept_rows(len(pool.manifest()), settings.pool.keep_share)
    rows += len(curated.manifest()) if settings.pool.add_curated else 0
    Order(settings.training.seed, rows, settings.super_batch_size, settings.training.shuffle_window)


def _shell(model: ModelSettings) -> ClipModel:
    """Return what a model is without building it: its configuration, after a look for its weights."""
    config = read_config(model.config)
    if model.pretrained:
        find_weights(Path(model.pretrained))
    return ClipModel(nn.Identity(), config, tokenizer_name(model.config, config))


def _job(
    name: str,
    model: ModelSettings,
    training: TrainingSettings,
    selection: SelectionSettings,
    sets: list[SetFiles],
    state_root: Path,
    evaluate: Evaluate | None,
) -> Job:
    clip = build_model(model, loss=training.loss, batch_size=training.batch_size, seed=training.seed)
    identity: dict[str, Any] = {"model": model_identity(model, clip)}
    sources = open_sources(clip, sets, state_root / "tokens")
    source, vocabulary = compact(clip, sources.source, model.compact_vocabulary)
    identity["sets"] = sources.fingerprints
    proxy = None
    if selection.proxy is not None:
        proxy = build_proxy(selection.proxy, clip, training, model.config)
        identity["proxy"] = model_identity(selection.proxy, proxy)
        share_vocabulary(proxy, vocabulary, selection.proxy.config)
    return Job(
        name,
        clip,
        source,
        training,
        selection,
        training.batch_size,
        identity,
        state_root,
        vocabulary,
        evaluate=evaluate,
        names=sources.names,
        proxy=proxy,
    )


def _attach_reference(job: Job, sets: list[SetFiles], reference_dir: Path, pool: PoolSettings) -> None:
    """Open the reference's cached embeddings; keep the best share of the rows by its score where asked."""
    weights = read_metadata(reference_dir)["weights_sha256"]
    if len(sets) > 1:
        raise UserError(
            "pool.add_curated",
            "cannot be combined with selection or keep_share",
            "add the curated shards to the pool's list instead",
        )
    if sets[0].features is None:
        raise UserError("embed", "the pool has no embeddings", "run `kedro run --pipelines embed` first")
    cache = EmbeddingCache(sets[0].features / EMBEDDINGS)
    if cache.metadata.get("reference") != weights or [cache.metadata.get("manifest")] != job.identity["sets"]:
        raise UserError(
            str(sets[0].features),
            f"embeddings of another reference or set ({str(cache.metadata.get('reference'))[:12]}, not {weights[:12]})",
            "run `kedro run --pipelines embed` again",
        )
    job.identity["reference"] = weights
    job.reference = Reference(cache, cache.scale, cache.bias)
    if pool.keep_share < 1:
        job.source = replace(job.source, rows=best_rows(cache.pair_scores(), pool.keep_share))
        log.info("%s: keeps the best %d of %d rows by reference score", job.name, job.source.num_rows, len(cache))


def best_rows(scores_N: np.ndarray, share: float) -> np.ndarray:
    """Return the rows of the best share by score, ascending; ties break by row."""
    return np.sort(np.argsort(-scores_N, kind="stable")[: kept_rows(len(scores_N), share)])


def kept_rows(rows: int, share: float) -> int:
    """Return how many of the rows a share is."""
    return max(1, round(share * rows))
