"""Nodes of the stage `divide`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged, build_once
from superbatch.config import Storage, dnc_learner, read
from superbatch.options import DncSettings, EmbedSettings
from superbatch.pipelines.learner.nodes import use_project_logging

FORMAT = 1  # raised when the same inputs give other clusters


def check_settings(pool: Path, settings: dict[str, Any], template: dict[str, Any], override: dict[str, Any]) -> str:
    """Refuse more clusters than batches in the pool, before anything is trained for them.

    Args:
        pool: the ingested set.
        settings: `params:dnc` -> `options.DncSettings`.
        template: `params:learner`. override: the base method's block `learner`.

    Returns:
        A line; it puts dividing behind the check.
    """
    from superbatch.dnc.divide import check_numbers
    from superbatch.tasks.sets import SetFiles

    batch = dnc_learner(template, override, settings, "experts").training.batch_size
    check_numbers(read(DncSettings, settings, "dnc").clusters, len(SetFiles(pool).manifest()), batch)
    dnc_learner(template, override, settings, "student")
    return "dnc: the settings fit the pool"


def divide_pool(
    pool: Path,
    pool_features: Path,
    base: Path,
    settings: dict[str, Any],
    template: dict[str, Any],
    override: dict[str, Any],
    embed: dict[str, Any],
    storage: dict[str, Any],
    checked: str = "",
) -> Staged:
    """Divide the pool into clusters of the base's image embeddings.

    Args:
        pool, pool_features: the ingested set and its packed pixels.
        base: the base's checkpoint.
        settings, template, override: as of `check_settings`.
        embed: `params:embed`, for batch and device.
        storage: `params:storage`.
        checked: that the settings were checked: an edge.

    Returns:
        A directory with each row's cluster, what is to be said of them, and a gallery.
    """
    from superbatch.dnc.clusters import clusters_fingerprint, write_clusters
    from superbatch.tasks.sets import SetFiles

    wanted, how = read(DncSettings, settings, "dnc"), read(EmbedSettings, embed, "embed")
    least = dnc_learner(template, override, settings, "experts").training.batch_size
    files = SetFiles(pool, pool_features)
    decides = [FORMAT, clusters_fingerprint(base, files.manifest()), wanted.clusters, least]

    def write(out: Path) -> None:
        write_clusters(base, files, wanted.clusters, least, out, batch=how.batch, device=how.device)

    stages = Path(read(Storage, storage, "storage").stages)
    return build_once("dnc clusters", fingerprint(decides), stages, write)


def train_all(
    pool: Path,
    pool_features: Path,
    base: Path,
    clusters: Path,
    settings: dict[str, Any],
    template: dict[str, Any],
    override: dict[str, Any],
    storage: dict[str, Any],
) -> Staged:
    """Train an expert on each cluster, steps in proportion to clusters.

    Args:
        pool, pool_features, base: as of `divide_pool`. clusters: what it made.
        settings, template, override, storage: as of `divide_pool`.

    Returns:
        A directory with each expert's checkpoint and records.
    """
    from superbatch.dnc.experts import Divided, expert_jobs, train_experts
    from superbatch.tasks.sets import SetFiles

    wanted, places = read(DncSettings, settings, "dnc"), read(Storage, storage, "storage")
    steps = round(wanted.share * dnc_learner(template, override, settings).training.steps)
    given = Divided(SetFiles(pool, pool_features), base, clusters, Path(places.state))
    own = dnc_learner(template, override, settings, "experts")
    jobs = expert_jobs(own, steps, wanted.start == "base", given)
    return train_experts(jobs, Path(places.stages), use_project_logging)


def train_student(
    pool: Path,
    pool_features: Path,
    base: Path,
    clusters: Path,
    base_training: Path,
    experts: Path,
    evaluation_sets: Path,
    settings: dict[str, Any],
    template: dict[str, Any],
    override: dict[str, Any],
    storage: dict[str, Any],
) -> tuple[Staged, Staged]:
    """Train the student, or find that this very run is finished.

    Args:
        pool, pool_features, base, clusters: as of `train_all`. experts: what it made.
        base_training: the base's records, for what was spent.
        evaluation_sets: looked at during training (validation).
        settings, template, override, storage: as of `divide_pool`.

    Returns:
        The checkpoint and the run's records.
    """
    from superbatch.dnc.experts import Divided
    from superbatch.dnc.student import build_student
    from superbatch.tasks.sets import SetFiles
    from superbatch.training import train_once

    places = read(Storage, storage, "storage")
    given = Divided(SetFiles(pool, pool_features), base, clusters, Path(places.state))
    own = dnc_learner(template, override, settings, "student")
    job = build_student("dnc", own, given, base_training, experts, evaluation_sets)
    return train_once(job, Path(places.stages), prepare=use_project_logging)
