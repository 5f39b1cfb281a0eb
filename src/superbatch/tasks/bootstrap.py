"""Quality bootstrapping (JEST++): the reference enlarges its own curated set, and a second one is trained on it, as often as that helps.

A round: the last reference scores the pool, its best pairs join the *first* curated set (`enlarging`), and another reference is trained on
both. The pairs held out from the first reference's training are held out from every one's, so all are judged by the same. A further round
is taken only where the last reference was better on validation than the one before, by more than chance.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.shelf import link_into
from superbatch.artifacts.stamps import Staged, build_once, find_stage, read_stamp
from superbatch.curation.held_out import held_out_count
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.evaluation.store import load_evaluation_sets
from superbatch.models import read_metadata
from superbatch.options import BootstrapSettings, ReferenceSettings, TrainingSettings
from superbatch.tasks.cached import open_cache
from superbatch.tasks.captioner import find_captioner
from superbatch.tasks.enlarging import Scored, clusters_fit, deciding_settings, enlarge, most_added
from superbatch.tasks.jobs import Directories, build_reference
from superbatch.tasks.learner import model_identity
from superbatch.tasks.rounds import Features, Round, best_round, is_better, write_records
from superbatch.tasks.trusted import held_out_scores
from superbatch.tasks.view import preprocessing, shell, shell_of
from superbatch.training.job import deciding
from superbatch.training.once import train_once

log = logging.getLogger(__name__)
FORMAT = 1  # raised when the same inputs give another enlarged set or another second reference
PARTS = ("set", "model", "training")  # what is made
Embed = Callable[[str, Path, Path], Staged]  # (name of a set, its directory, a reference's checkpoint) -> its features
Made = tuple[Staged, Staged, Staged]


@dataclass(frozen=True)
class Bootstrapping:
    """The inputs of bootstrapping.

    Attributes:
        settings: `bootstrap`. reference: of the second reference.
        given: the sets, the first reference with its features, and where states belong.
        stages: the staging folder.
        embed: embeds a set with a reference, or finds that it was done.
        prepare: called first in each process that is started.
    """

    settings: BootstrapSettings
    reference: ReferenceSettings
    given: Directories
    stages: Path
    embed: Embed
    prepare: Callable[[], None] | None = None

    @property
    def kept_out(self) -> list[Manifest]:
        """The evaluation sets, whose images must not be trained on."""
        return [one.manifest for one in load_evaluation_sets(self.given.evaluation_sets)]

    @property
    def packed(self) -> list[str | None]:
        """Names the shards of pool and curated set: an enlarged set says where in them its samples lie, which their manifests' fingerprints leave out."""
        return [read_stamp(self.given.pool), read_stamp(self.given.curated)]

    @property
    def fingerprint(self) -> str:
        """Names all that decides the outcome."""
        first, second, given = self.given.reference_model, self.reference, self.given
        sets = [given.pool_set.manifest(), given.curated_set.manifest(), *self.kept_out]
        return fingerprint(
            [
                ["bootstrap", FORMAT, vars(self.settings)],
                [read_metadata(first)["weights_sha256"], preprocessing(shell(first))],
                [manifest.fingerprint for manifest in sets],
                self.packed,
                [model_identity(second.model, shell_of(second.model)), second.held_out, second.flexi],
                deciding(second.training, TrainingSettings()),
            ]
        )


def bootstrap(made_from: Bootstrapping) -> Made:
    """Enlarge the curated set and train a second reference on it, or find that this was done.

    Returns:
        The enlarged set, the second reference's checkpoint, and its records with those of all rounds.

    Raises:
        UserError: what `enlarge` and the training refuse; a metric that validation does not have.
    """
    mark, fresh = made_from.fingerprint, made_from.reference.training.fresh
    found = [find_stage(f"{mark}-{part}", made_from.stages) for part in PARTS]
    enlarged, model, training = found
    if enlarged is not None and model is not None and training is not None and not fresh:
        log.info("bootstrap: up to date (%s)", mark)
        return enlarged, model, training
    return _publish(made_from, mark, run_rounds(made_from))


def run_rounds(made_from: Bootstrapping) -> list[Round]:
    """Take rounds while they help; returns the first reference, then each round's, of which only the last may be no better than before."""
    given, settings, metric = made_from.given, made_from.settings, made_from.settings.metric
    features = Features(given.pool_features, given.curated_features)
    rounds = [Round(given.reference_model, given.reference_training, features)]
    values = [rounds[0].value(metric)]
    for number in range(1, settings.rounds + 1):
        if number > 1 and not is_better(values[-1], values[-2], settings.least_gain):
            break
        rounds[-1] = _embedded(made_from, rounds[-1])
        rounds.append(_next(made_from, rounds[-1]))
        values.append(rounds[-1].value(metric))
        line = "bootstrap: round %d: %s on validation %.4f, of the reference before %.4f"
        log.info(line, number, metric, values[-1], values[-2])
    return rounds


def _publish(made_from: Bootstrapping, mark: str, rounds: list[Round]) -> Made:
    """Stage the set, the checkpoint and the records of the round that is kept."""
    metric, least, fresh = made_from.settings.metric, made_from.settings.least_gain, made_from.reference.training.fresh
    kept = best_round([one.value(metric) for one in rounds], least)
    best, enlarged = rounds[kept], rounds[kept].enlarged
    assert enlarged is not None, "every round has its set"
    if is_better(best.value(metric), rounds[0].value(metric), least):
        log.info("bootstrap: round %d of %d is kept", kept, len(rounds) - 1)
    else:
        log.warning("bootstrap: the second reference is no better than the first on validation (%s)", metric)
    writers = (
        partial(link_into, enlarged),
        partial(link_into, best.model),
        partial(write_records, rounds=rounds, kept=kept, metric=metric),
    )
    made = [
        build_once(f"bootstrap {part}", f"{mark}-{part}", made_from.stages, write, fresh=fresh)
        for part, write in zip(PARTS, writers, strict=True)
    ]
    return made[0], made[1], made[2]


def _embedded(made_from: Bootstrapping, last: Round) -> Round:
    """Embed pool and curated set with a round's reference, so that it can choose."""
    if last.features is not None:
        return last
    given = made_from.given
    pool = made_from.embed("pool", given.pool, last.model)
    return replace(last, features=Features(pool.path, made_from.embed("curated", given.curated, last.model).path))


def _next(made_from: Bootstrapping, last: Round) -> Round:
    """Take a round: a reference enlarges the curated set, and another one is trained on it."""
    given = made_from.given
    enlarged = _enlarged(made_from, last).path
    job = build_reference(made_from.reference, enlarged, given.evaluation_sets, given.state_root, given.curated)
    model, training = train_once(job, made_from.stages, made_from.prepare)
    return Round(model.path, training.path, None, enlarged)


def _enlarged(made_from: Bootstrapping, last: Round) -> Staged:
    """Write the set as a reference enlarges it, or find that it was done."""
    assert last.features is not None, "whoever chooses has embedded the pool"
    given = replace(made_from.given, pool_features=last.features.pool, curated_features=last.features.curated)
    pool, curated, kept_out = given.pool_set.manifest(), given.curated_set.manifest(), made_from.kept_out
    cache = open_cache(last.features.pool, last.model, pool)
    known = held_out_scores(given.curated_set, last.model, last.training)
    decides: list[Any] = ["enlarged", FORMAT, deciding_settings(made_from.settings), cache.fingerprint, known.tolist()]
    mark = fingerprint([*decides, *(one.fingerprint for one in (curated, *kept_out)), made_from.packed])

    def write(out: Path) -> None:
        enlarge(out, curated, Scored(pool, cache, known), made_from.settings, kept_out)

    fresh = made_from.reference.training.fresh
    return build_once("enlarged curated set", mark, made_from.stages, write, fresh=fresh)


def check_bootstrap(
    settings: BootstrapSettings, reference: ReferenceSettings, pool: Manifest, curated: Manifest
) -> None:
    """Refuse what bootstrapping would refuse, before anything is trained for it.

    Args:
        settings: `bootstrap`. reference: of the second reference. pool, curated: the ingested sets.

    Raises:
        UserError: more clusters than rows; nothing held out; a batch larger than the enlarged set can be; no such captioner or model.
    """
    clusters_fit(settings, len(pool))
    if settings.captioner is not None:
        find_captioner(settings.captioner, settings.captioner_options)
    held_out = held_out_count(len(curated), reference.held_out)
    if settings.aligned and not held_out:
        what = "needs held-out curated pairs, and reference.held_out leaves none"
        raise UserError("bootstrap.aligned", what, "set reference.held_out, such as 0.1, or aligned to 0")
    most = len(curated) - held_out + most_added(settings, len(pool))
    if reference.training.batch_size > most:
        what = (
            f"{reference.training.batch_size:,} pairs are more than the {most:,} that the enlarged curated set can have"
        )
        raise UserError("bootstrap.reference.training.batch_size", what, "lower it, or raise bootstrap.share")
    shell_of(reference.model)
