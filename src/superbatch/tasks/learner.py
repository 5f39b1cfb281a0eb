"""Make a learner's `Job` from files and settings: build the models, open the sets, choose the rows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.bounds import require
from superbatch.curation.clusters import check_clusters
from superbatch.curation.groups import kept_count
from superbatch.data.embeddings import EmbeddingCache
from superbatch.data.fields import Field, Source
from superbatch.data.joining import arranged, rarity
from superbatch.data.row_set import RowSet
from superbatch.data.sampling import count_aside, rows_aside
from superbatch.models import ClipModel, Vocabulary, build_model, located, read_metadata
from superbatch.options import (
    ONLINE,
    PROXY,
    SECOND,
    DistillSettings,
    FlexiSettings,
    LearnerSettings,
    ModelSettings,
    PoolSettings,
    SelectionSettings,
    TrainingSettings,
    check_added,
    check_shard,
)
from superbatch.tasks.cached import given, reference_cache, reference_identity
from superbatch.tasks.charges import charged
from superbatch.tasks.contrastive import Contrastive, Reference, cached_fields
from superbatch.tasks.distilled import Distilled, separate_fields
from superbatch.tasks.filtering import Kept, decided, kept, with_share
from superbatch.tasks.flexi import Flexi, check_flexi, flexi_fields, opener
from superbatch.tasks.labels import drawn_rows
from superbatch.tasks.proxy import build_proxy, check_view, share_vocabulary
from superbatch.tasks.sets import OpenSets, SetFiles, open_sets
from superbatch.tasks.teacher import Teacher, open_teacher
from superbatch.tasks.view import shell_of
from superbatch.training.flops import Spent
from superbatch.training.job import Job, deciding, order_of

log = logging.getLogger(__name__)
# Settings of a learner that count in its hash by another way than their own name and value, or by none: a reference by its content.
COUNTED = {
    "model",
    "pool",
    "selection",
    "training",
    "warm_start",
    "flexi",
    "reference",
    "distill",
    "labels",
    "moclr",
}
Evaluate = Callable[[ClipModel], dict[str, float]]


@dataclass(frozen=True)
class Built:
    """Models and sets of a job.

    Attributes:
        clip, proxy, along: with their starting weights, on the vocabulary in use where there is one.
        sets: opened in their view.
        vocabulary: in use; None where the models train on the tokenizer's own.
        identity: what of all this decides the outcome.
    """

    clip: ClipModel
    proxy: ClipModel | None
    sets: OpenSets
    vocabulary: Vocabulary | None
    identity: dict[str, Any]
    along: ClipModel | None = None

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
    sets.check_ids(clip, model.config)
    vocabulary = sets.vocabulary(clip) if can_shrink(clip, model) else None
    if vocabulary is not None:
        vocabulary.shrink(clip.model)
    beside: dict[str, ClipModel] = {}
    for where, settings in selection.along.items():
        beside[where] = build_proxy(settings, clip, training, model.config, where)
        identity |= along_identity(selection, where, model_identity(settings, beside[where]))
        share_vocabulary(beside[where], vocabulary, settings.config, where)
    return Built(clip, beside.get(PROXY), sets, vocabulary, identity, beside.get(ONLINE))


def along_identity(selection: SelectionSettings, where: str, model: dict[str, Any]) -> dict[str, Any]:
    """What a model that is trained along adds to a run's identity: its own, and the rate of a reference."""
    online = selection.online_reference
    if where == PROXY or online is None:
        return {"proxy": model}
    return {"online_reference": {"model": model, "rate": online.rate}}


def can_shrink(clip: ClipModel, model: ModelSettings) -> bool:
    """Whether a model trains on the vocabulary in use: where wanted, and where the text tower is open_clip's own."""
    return model.compact_vocabulary and hasattr(clip.model, "token_embedding")


def model_identity(model: ModelSettings, clip: ClipModel) -> dict[str, Any]:
    """What the starting weights depend on: the configuration's content and the pretrained file's."""
    place = located(model).pretrained
    pretrained = Path(place) if place else None
    weights = None
    if pretrained is not None:
        weights = read_metadata(pretrained)["weights_sha256"] if pretrained.is_dir() else file_sha256(pretrained)
    bias = {"kept_bias": True} if clip.kept_bias else {}  # it was 0 before
    return {"config": clip.config, "pretrained": weights, "compact_vocabulary": model.compact_vocabulary} | bias


def learner_job(
    name: str,
    settings: LearnerSettings,
    pool: SetFiles,
    state_root: Path,
    *,
    reference_dir: Path | None = None,
    curated: SetFiles | None = None,
    evaluate: Evaluate | None = None,
    charges: dict[str, Spent] | None = None,
    remarks: dict[str, Any] | None = None,
    recipe: Callable[[], Job] | None = None,
    known: Callable[[], np.ndarray] | None = None,
    decisions: Path | None = None,
    teacher: Teacher | None = None,
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
        charges: what was spent before, by name (`charges.charges`); what of it the run owes is charged.
        remarks: what else its record says, by name; it decides nothing.
        recipe: makes the job anew in another process.
        known: gives the scores of curated pairs that the reference was not trained on (`trusted.held_out_scores`), for `pool.like_curated`.
        decisions: what the stage `curate` decided, for `pool.curated_by`.
        teacher: teaches in the reference's place, for `distill.teacher`.

    Raises:
        UserError: what does not fit: sets, features, reference, proxy; labels, which are for `label_jobs.label_job`.
    """
    what = "are set, and this job is of image-text pairs"
    require(settings.labels is None, "learner.labels", what, "make it with label_job")
    check_added(settings)
    training, selection = settings.training, settings.selection
    files = [pool, given(curated, "curated", "pool.add_curated")] if settings.pool.add_curated else [pool]
    built = build(_start(settings, reference_dir), training, selection, files, state_root)
    cache = reference_cache(settings, built.sets.manifests, files, reference_dir)
    rows = settings.pool if cache is None else _settled(name, settings.pool, cache, known)
    filtered = _kept(name, cache, rows, built.sets, decisions)
    identity, fields, reference = _identity(settings, built, rows, filtered), built.fields, None
    if cache is not None:
        reference = Reference(cache.scale, cache.bias)
        identity |= reference_identity(given(reference_dir, "reference_dir", "selection"))
        fields |= cached_fields(cache)
    taught = open_teacher(settings, built.sets.manifests, teacher)
    identity |= taught.identity
    fields |= taught.fields
    task = contrastive_task(built, training, selection, settings.flexi, reference, settings.distill, taught.temperature)
    fields |= added_fields(task, built, files, fields, training.seed, filtered.rows)
    return Job(
        name,
        task,
        _source(fields, filtered.rows, built.sets, settings),
        training,
        selection,
        settings.super_batch_size,
        identity,
        state_root,
        evaluate,
        charged(settings, cache is not None, charges or {}),
        built.sets.names,
        recipe,
        (remarks or {}) | taught.remarks,
    )


def _identity(settings: LearnerSettings, built: Built, rows: PoolSettings, filtered: Kept) -> dict[str, Any]:
    """What decides a run's outcome, but for the reference."""
    later: dict[str, Any] = {} if settings.flexi is None else {"flexi": settings.flexi}
    later |= {"bootstrapped": True} if settings.goes_by == SECOND else {}
    if settings.distill is not None:
        later["distill"] = deciding(settings.distill, DistillSettings())
        if settings.distill.batch == "separate" and filtered.rows is not None:
            later["companions"] = "in use"  # they were of all rows before
    later |= filtered.identity | further(settings)
    return built.identity | {"pool": deciding(rows, PoolSettings()), "warm_start": settings.warm_start} | later


def further(settings: LearnerSettings) -> dict[str, Any]:
    """What else a learner's settings say, by name: blocks of a method of one's own, where they are not as usual."""
    usual = type(settings)()
    return {
        name: value for name, value in vars(settings).items() if name not in COUNTED and value != getattr(usual, name)
    }


def _source(fields: dict[str, Field], rows: RowSet | None, sets: OpenSets, settings: LearnerSettings) -> Source:
    """What a run draws from, less the rows that it measures by; in the order in which they join, where captions decide it."""
    source, seed = Source(fields, rows), settings.training.seed
    source = replace(source, aside=rows_aside(settings.selection, source.num_rows, seed))
    return source if settings.training.first_by == "chance" else arranged(source, rarity(sets.manifests), seed)


def _start(settings: LearnerSettings, reference_dir: Path | None) -> ModelSettings:
    """The model with its starting weights: the reference's, where a run starts from them."""
    if not settings.warm_start:
        return settings.model
    weights = given(reference_dir, "reference_dir", "learner.warm_start")
    return replace(settings.model, pretrained=str(weights))


def contrastive_task(
    built: Built,
    training: TrainingSettings,
    selection: SelectionSettings,
    flexi: FlexiSettings | None,
    reference: Reference | None = None,
    distill: DistillSettings | None = None,
    teacher: Reference | None = None,
) -> Contrastive:
    """Make the task of a job: with a low view, taught by its reference or by another teacher, or with neither."""
    if distill is not None:
        if teacher is None:
            given(reference, "reference", "distill")
        own = (built.proxy, built.vocabulary, teacher)
        return Distilled(built.clip, training, selection, distill, reference, *own)
    if flexi is None:
        return Contrastive(built.clip, training, selection, reference, built.proxy, built.vocabulary, built.along)
    return Flexi(built.clip, training, selection, flexi, reference, built.vocabulary)


def added_fields(
    task: Contrastive,
    built: Built,
    files: list[SetFiles],
    fields: dict[str, Field],
    seed: int,
    rows: RowSet | None = None,
) -> dict[str, Field]:
    """Return the fields that a low view or a teacher's own samples read besides; none without them."""
    if isinstance(task, Distilled) and task.distill.batch == "separate":
        return separate_fields(fields, seed, task.taught, rows)
    if not isinstance(task, Flexi):
        return {}
    return flexi_fields(task, built.fields, opener(built.clip, built.sets.manifests, files), seed)


def _settled(
    name: str, pool: PoolSettings, cache: EmbeddingCache, known: Callable[[], np.ndarray] | None
) -> PoolSettings:
    """Find the share of the pool that is kept, where curated pairs decide it."""
    if not pool.like_curated:
        return pool
    known_H = given(known, "known", "pool.like_curated")()
    found = with_share(pool, cache, known_H)
    pairs = f"{100 * pool.like_curated:g} % of the {len(known_H):,} curated pairs that the reference was not trained on"
    log.info("%s: %.2f %% of the pool scores like %s", name, 100 * found.keep_share, pairs)
    return found


def _kept(name: str, cache: EmbeddingCache | None, pool: PoolSettings, sets: OpenSets, decisions: Path | None) -> Kept:
    if pool.curated_by is not None:
        found = decided(pool.curated_by, decisions, sets.manifests)
    else:
        found = Kept() if cache is None else kept(cache, pool)
    if found.words:
        log.info("%s: keeps %s", name, found.words)
    return found


def check_sizes(settings: LearnerSettings, pool: SetFiles, curated: SetFiles) -> None:
    """Refuse a super-batch or clusters that are more than the rows, a curated set that is added to a pool that is scored, labels that no row has, a low view that is none, models that can't be cut, and missing files.

    Raises:
        UserError: as `learner_job` and `train` would say it, without features and without a reference.
    """
    check_shard(settings)
    check_added(settings)
    learner = shell_of(settings.model)
    for where, along in settings.selection.along.items():
        check_view(shell_of(along), along.config, learner, settings.model.config, where)
    check_flexi(settings.flexi, learner)
    sets = [pool, curated] if settings.pool.add_curated else [pool]
    if settings.labels is not None:
        order_of(settings.training, settings.selection, drawn_rows(settings.labels, sets), settings.super_batch_size)
        return
    rows = len(pool.manifest())
    check_clusters(settings.pool.clusters, rows, "pool.clusters")
    rows = kept_count(rows, settings.pool.keep_share)
    rows += sum(len(one.manifest()) for one in sets[1:])
    rows -= count_aside(settings.selection, rows)
    order_of(settings.training, settings.selection, rows, settings.super_batch_size)
