"""Nodes of the stage `bootstrap`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.artifacts.stamps import Staged
from superbatch.config import IngestSettings, Storage, read, second_reference
from superbatch.errors import UserError
from superbatch.options import BootstrapSettings
from superbatch.pipelines.embed.nodes import embed_set
from superbatch.pipelines.learner.nodes import use_project_logging


def check_settings(settings: dict[str, Any], ingest: dict[str, Any]) -> None:
    """Refuse a metric that no evaluation set has and a captioner that is none, before any data is made.

    Args:
        settings, ingest: `params:bootstrap`, `params:ingest`.

    Raises:
        UserError: just that.
    """
    from superbatch.evaluation.metrics import metrics_of
    from superbatch.tasks.captioner import find_captioner

    wanted = read(BootstrapSettings, settings, "bootstrap")
    sets = read(IngestSettings, ingest, "ingest").evaluation
    known = metrics_of({name: Path(one.root) for name, one in sets.items()}, [])
    if wanted.metric not in known:
        raise UserError("bootstrap.metric", f"no evaluation set has {wanted.metric!r}", f"there are {', '.join(known)}")
    if wanted.captioner is not None:
        find_captioner(wanted.captioner, wanted.captioner_options)


def check_bootstrap(pool: Path, curated: Path, settings: dict[str, Any], reference: dict[str, Any]) -> str:
    """Refuse what bootstrapping would refuse, before the first reference is trained for it.

    Args:
        pool, curated: ingested sets.
        settings, reference: `params:bootstrap`, `params:reference`.

    Returns:
        A line; it puts bootstrapping behind the check.
    """
    from superbatch.data.manifest import read_manifest
    from superbatch.tasks import bootstrap

    wanted = read(BootstrapSettings, settings, "bootstrap")
    bootstrap.check_bootstrap(
        wanted, second_reference(reference, settings), read_manifest(pool), read_manifest(curated)
    )
    return "bootstrap: the settings fit the sets"


def bootstrap_reference(
    pool: Path,
    pool_features: Path,
    curated: Path,
    curated_features: Path,
    reference_model: Path,
    reference_training: Path,
    evaluation_sets: Path,
    settings: dict[str, Any],
    reference: dict[str, Any],
    embed: dict[str, Any],
    learner: dict[str, Any],
    storage: dict[str, Any],
    jobs: dict[str, Any] | None = None,
    checked: str = "",
) -> tuple[Staged, Staged, Staged]:
    """Enlarge the curated set by the reference's best pairs of the pool and train a second reference on it, as often as it helps.

    Args:
        pool, pool_features, curated, curated_features: ingested sets and the reference's features of them.
        reference_model, reference_training: the first reference's checkpoint and records.
        evaluation_sets: whose validation split judges the references.
        settings: `params:bootstrap` -> `options.BootstrapSettings`.
        reference: `params:reference`; `bootstrap.reference` is laid over it.
        embed, learner: `params:embed`, `params:learner`, to embed the sets anew for a further round.
        storage: `params:storage` -> `config.Storage`.
        jobs: `params:jobs`, to embed by.
        checked: that the settings were checked (`check_bootstrap`): an edge.

    Returns:
        The enlarged set, the second reference's checkpoint, and its records.
    """
    from superbatch.tasks.bootstrap import Bootstrapping, bootstrap
    from superbatch.tasks.jobs import Directories

    places = read(Storage, storage, "storage")
    given = Directories(
        pool,
        pool_features,
        curated,
        curated_features,
        reference_model,
        reference_training,
        evaluation_sets,
        Path(places.state),
    )
    views = {"pool": pool_features, "curated": curated_features}

    def embed_anew(name: str, directory: Path, model: Path) -> Staged:
        return embed_set(f"{name}_pp", directory, model, embed, learner, storage, jobs, views=views[name])

    wanted, second = read(BootstrapSettings, settings, "bootstrap"), second_reference(reference, settings)
    return bootstrap(Bootstrapping(wanted, second, given, Path(places.stages), embed_anew, use_project_logging))
