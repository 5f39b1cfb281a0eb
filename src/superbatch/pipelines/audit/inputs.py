"""Open the inputs of an audit, and refuse unsuitable ones: the run, its pool, its reference."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from superbatch.artifacts.stamps import STAMP
from superbatch.errors import UserError
from superbatch.files import shown

if TYPE_CHECKING:
    import numpy as np

    from superbatch.data.embeddings import EmbeddingCache
    from superbatch.data.manifest import Manifest
    from superbatch.data.row_set import RowSet
    from superbatch.reporting import Run
    from superbatch.reporting.audit import Draw

RUN = "audit.run"
OTHER_CLUSTERS = (
    "was trained on other rows of the pool: its clusters come out differently here (another processor or scikit-learn)",
    "audit it where it was trained, or train it again here",
)
OTHER_DECISION = (
    "was trained on other rows of the pool: the decision has changed since",
    "train the run again, or decide as before and run `kedro run --pipelines=curate`",
)
TRAIN_AGAIN = "train the run again, or audit one of this pool"


def check_run(name: str, training: Path) -> None:
    """Refuse a run that is not there.

    Args:
        name: as `audit.run` says. training: where its records would be, `<runs>/<name>/training`.

    Raises:
        UserError: no finished run of that name.
    """
    if (training / STAMP).is_file():
        return
    runs = sorted(path.parent.parent.name for path in training.parent.parent.glob(f"*/training/{STAMP}"))
    close = get_close_matches(name, runs, 1)
    there = f"did you mean {close[0]}?" if close else f"runs: {', '.join(runs)}" if runs else "no run is finished"
    raise UserError(RUN, f"no finished run is called {name!r} ({shown(training)})", f"{there}; or train it first")


def open_run(training: Path) -> Run:
    """Open a run's records.

    Raises:
        UserError: a run that trains on all it draws, or on labels, or without picks.
    """
    from superbatch.reporting import Run

    run = Run(training.parent)
    if run.role != "selecting" or run.super_batch_size <= run.batch_size:
        what = f"{run.name!r} trains on everything it draws ({shown(training / 'run.json')}), so it passed over no row"
        raise UserError(RUN, what, "name a run that selects, such as jest")
    if run.by_labels:
        what = f"{run.name!r} trains on labels, and an audit judges image-text pairs ({shown(training / 'run.json')})"
        raise UserError(RUN, what, "name a run of pairs, such as jest")
    if run.picks is None:
        raise UserError(str(shown(training / "picks.parquet")), "no picks were found", "train the run again")
    return run


def open_draw(run: Run, manifest: Manifest, rows: np.ndarray | RowSet | None = None) -> Draw:
    """Return what a run drew its batches from.

    Args:
        run: of `open_run`. manifest: the pool.
        rows: that its filter kept (`rows_in_use`); whoever asks for no super-batch needs none.

    Raises:
        UserError: the run was trained on another pool.
    """
    from superbatch.reporting.audit import Draw

    if run.settings.get("sets") != [manifest.fingerprint]:
        raise UserError(_record(run), f"was trained on other sets than {shown(manifest.path)}", TRAIN_AGAIN)
    drawn = _rows_drawn_from(run, manifest)
    aside = 0
    if run.fell is not None and rows is not None:  # then rows are those drawn from at first, and behind them all in use
        aside = len(rows) - 2 * drawn
    order = run.order(drawn, aside)
    assert run.picks is not None, "open_run refuses such runs"
    steps = int(run.picks["step"].max()) + 1
    learnability = run.own_score is None and all(rule.criterion == "learnability" for rule in run.selection.rules)
    return Draw(order, steps, run.batch_size, manifest.num_rows, rows, learnability, run.new_kind)


def _rows_drawn_from(run: Run, manifest: Manifest) -> int:
    """Return how many rows a run's order went over: what a filter kept, less what it held out to measure by."""
    from superbatch.curation.groups import kept_count
    from superbatch.data.sampling import count_aside

    if run.setting("pool", "curated_by") is not None:
        return int(run.plan["rows"])
    count = kept_count(manifest.num_rows, run.setting("pool", "keep_share", 1.0))
    return count - count_aside(run.selection, count)


def rows_in_use(
    run: Run, cache: EmbeddingCache, manifest: Manifest | None = None, decisions: Path | None = None
) -> np.ndarray | RowSet | None:
    """Filter the pool as a run did, less what it held out to measure by; returns the rows that it drew from, None for all; as they joined, where captions decided it.

    Where it took them in later, all rows in use come behind.

    Args:
        run: of `open_run`. cache: of `open_embeddings`.
        manifest, decisions: the pool, and what `curate` decided of it, for a run that drew from what a decision keeps.

    Raises:
        UserError: clusters or the decision came out otherwise than when the run was trained, or the decision is not there.
    """
    import numpy as np

    from superbatch.data.joining import joining, rarity
    from superbatch.data.row_set import RowSet
    from superbatch.data.sampling import rows_aside
    from superbatch.options import PoolSettings
    from superbatch.tasks.filtering import decided, kept

    pool = PoolSettings(**run.settings.get("pool", {}))
    if pool.curated_by is None:
        found = kept(cache, pool)
    elif decisions is None or manifest is None:
        what = f"{run.name!r} drew from what the decision {pool.curated_by} keeps"
        raise UserError(RUN, what, f"set audit.decision to {pool.curated_by} too, so that it is read")
    else:
        found = decided(pool.curated_by, decisions, [manifest])
    if any(run.settings.get(name) != digest for name, digest in found.identity.items()):
        raise UserError(_record(run), *(OTHER_CLUSTERS if pool.curated_by is None else OTHER_DECISION))
    in_use = RowSet([np.ones(len(cache), bool)]) if found.rows is None else found.rows
    aside = rows_aside(run.selection, len(in_use), run.seed)
    drawn: np.ndarray | RowSet | None = found.rows if aside is None else in_use.without(in_use[aside])
    everything: np.ndarray | RowSet = in_use
    if run.setting("training", "first_by", "chance") != "chance":
        assert manifest is not None, "its captions say in which order rows joined"
        rows = np.asarray(in_use if drawn is None else drawn)
        drawn = joining(rows, rarity([manifest])[rows], run.seed)
        everything = drawn if aside is None else np.concatenate([drawn, in_use[aside]])
    return np.concatenate([drawn, everything]) if run.fell is not None else drawn


def open_embeddings(run: Run, features: Path, manifest: Manifest) -> EmbeddingCache:
    """Open the reference's cached embeddings of the pool; any reference's will do for a run that used none.

    Raises:
        UserError: features of another reference or pool than the run's.
    """
    from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache

    cache = EmbeddingCache(features / EMBEDDINGS)
    wanted = run.settings.get("reference")
    if wanted is not None and cache.metadata.get("reference") != wanted:
        what = f"are from another reference than the one that {run.name!r} was trained with"
        raise UserError(str(shown(features)), what, "run the embed stage and train the run again")
    if cache.metadata.get("manifest") != manifest.fingerprint:
        what = f"are of another pool than {shown(manifest.path)}"
        raise UserError(str(shown(features)), what, "run the embed stage again")
    return cache


def _record(run: Run) -> str:
    return str(shown(run.path / "training" / "run.json"))
