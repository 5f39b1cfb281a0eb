"""What an audit reads, and what it refuses: a run that selects, its pool, its reference."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from superbatch.artifacts.stamps import STAMP
from superbatch.errors import UserError
from superbatch.files import shown

if TYPE_CHECKING:
    import numpy as np

    from superbatch.data.manifest import Manifest
    from superbatch.reporting import Run
    from superbatch.reporting.audit import Draw

RUN = "audit.run"
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
        UserError: a run that trains on all it draws, or without picks.
    """
    from superbatch.reporting import Run

    run = Run(training.parent)
    if run.role != "selecting" or run.super_batch_size <= run.batch_size:
        what = f"{run.name!r} trains on all it draws ({shown(training / 'run.json')}): it passed nothing over"
        raise UserError(RUN, what, "name a run that selects, such as jest")
    if run.picks is None:
        raise UserError(str(shown(training / "picks.parquet")), "no picks are there", "train the run again")
    return run


def open_draw(run: Run, manifest: Manifest, scores: np.ndarray) -> Draw:
    """Return what a run drew its batches from.

    Args:
        run: of `open_run`. manifest: the pool. scores: the reference's by row, for runs over the best share of the pool.

    Raises:
        UserError: the run was trained on another pool.
    """
    from superbatch.data.order import Order
    from superbatch.reporting.audit import Draw
    from superbatch.tasks.learner import best_rows

    record = run.path / "training" / "run.json"
    if run.settings.get("sets") != [manifest.fingerprint]:
        raise UserError(str(shown(record)), f"was trained on other sets than {shown(manifest.path)}", TRAIN_AGAIN)
    share = run.setting("pool", "keep_share", 1.0)
    rows = best_rows(scores, share) if share < 1 else None
    count = manifest.num_rows if rows is None else len(rows)
    order = Order(run.seed, count, run.super_batch_size, run.setting("training", "shuffle_window", 0))
    assert run.picks is not None, "open_run refuses such runs"
    steps = int(run.picks["step"].max()) + 1
    learnability = run.setting("selection", "criterion", "learnability") == "learnability"
    return Draw(order, steps, run.batch_size, manifest.num_rows, rows, learnability)


def pair_scores(run: Run, features: Path, manifest: Manifest) -> np.ndarray:
    """Return the reference's cached score of each row, the cosine of image and caption, float32 (R,).

    Raises:
        UserError: features of another reference or pool than the run's.
    """
    from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache

    cache = EmbeddingCache(features / EMBEDDINGS)
    if cache.metadata.get("reference") != run.settings.get("reference"):
        what = f"are of another reference than {run.name!r} was trained with"
        raise UserError(str(shown(features)), what, "run the embed stage and train the run again")
    if cache.metadata.get("manifest") != manifest.fingerprint:
        what = f"are of another pool than {shown(manifest.path)}"
        raise UserError(str(shown(features)), what, "run the embed stage again")
    return cache.pair_scores()
