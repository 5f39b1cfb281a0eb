"""Nodes of the stage `audit`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged, build_once, read_stamp
from superbatch.config import Storage, read
from superbatch.files import read_json
from superbatch.options import AuditSettings

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1  # raised when the same verdicts give another export
THUMBNAIL = 64  # pixels a side of the examples' images
log = logging.getLogger(__name__)


def judge_rows(
    pool: Path, features: Path, training: Path, settings: dict[str, Any], decisions: Path | None = None
) -> pd.DataFrame:
    """Judge every row of the pool by what a run did with it.

    Args:
        pool: the ingested pool.
        features: its features, for the reference's scores.
        training: the run's records.
        settings: `params:audit` -> `options.AuditSettings`.
        decisions: what `curate` decided of the pool, where the run or `audit.decision` goes by one.

    Returns:
        One row a row, `reporting.audit.COLUMNS`: as `audit_rows`, with key and shard, and the reason of `audit.decision` where one is named.

    Raises:
        UserError: a run that kept no picks, or one of another pool, reference or clusters.
    """
    from superbatch.curation.decide import read_reasons
    from superbatch.data.manifest import read_manifest
    from superbatch.pipelines.audit.inputs import open_draw, open_embeddings, open_run, rows_in_use
    from superbatch.reporting.audit import COLUMNS, LEFT_OUT, audit_rows

    wanted, run, manifest = read(AuditSettings, settings, "audit"), open_run(training), read_manifest(pool)
    cache = open_embeddings(run, features, manifest)
    draw = open_draw(run, manifest, rows_in_use(run, cache, manifest, decisions))
    frame = audit_rows(run.picks, draw, cache.pair_scores(), wanted)
    log.info("audit of %s: %s", run.name, ", ".join(f"{n:,} {v}" for v, n in frame["verdict"].value_counts().items()))
    judged = frame.join(manifest.frame(["key", "shard"]))[list(COLUMNS)]
    if wanted.decision is None:
        return judged
    reasons = read_reasons(decisions, wanted.decision, manifest, "audit.decision")
    judged[LEFT_OUT] = reasons.to_pandas()
    crossed = judged.groupby("verdict", sort=False)[LEFT_OUT].agg(["count", "size"])
    told = (f"{row['count']:,} of {row['size']:,} {verdict}" for verdict, row in crossed.iterrows())
    log.info("audit: the decision %s leaves out %s", wanted.decision, ", ".join(told))
    return judged


def export_subset(pool: Path, rows: pd.DataFrame, settings: dict[str, Any], storage: dict[str, Any]) -> Staged:
    """Write the rows of some verdicts as a list of uids and as shards.

    Args:
        pool: the ingested pool; its shards are read.
        rows: what `judge_rows` returned.
        settings: `params:audit`; `export.verdicts` says which.
        storage: `params:storage`.
    """
    from superbatch.curation.subset import write_subset
    from superbatch.data.manifest import read_manifest

    wanted, places = read(AuditSettings, settings, "audit"), read(Storage, storage, "storage")
    manifest, export = read_manifest(pool), wanted.export
    chosen = rows.loc[rows["verdict"].isin(export.verdicts), "row"].to_numpy()
    if not len(chosen):
        log.warning("audit: no row is %s, so the export is empty", " or ".join(export.verdicts) or "wanted")
    about = {"run": wanted.run, "verdicts": list(export.verdicts)}

    def write(out: Path) -> None:
        write_subset(manifest, chosen, out, export.shard_size, about)

    # The stamp is of all bytes of the shards: the manifest's fingerprint leaves out the JSON, which is copied too.
    decides = [
        "audit subset",
        FORMAT,
        manifest.fingerprint,
        chosen.tolist(),
        about,
        export.shard_size,
        read_stamp(pool),
    ]
    return build_once("audit subset", fingerprint(decides), Path(places.stages), write)


def show_audit(
    pool: Path, training: Path, rows: pd.DataFrame, subset: Path, settings: dict[str, Any], *sources: Path
) -> dict[str, Any]:
    """Make the page and the metrics of an audit.

    Args:
        pool: the ingested pool; where the maker of its shards left the truth about them, verdicts are checked against it.
        training: the run's records.
        rows: what `judge_rows` returned.
        subset: what was exported.
        settings: `params:audit`.
        sources: what the pool's shards were rendered to; edges only.

    Returns:
        `page` (HTML) and `metrics` (flat dictionary).
    """
    from superbatch.curation.subset import SUMMARY
    from superbatch.data.manifest import read_manifest
    from superbatch.data.reader import ImageReader
    from superbatch.pipelines.audit.inputs import open_draw, open_run
    from superbatch.reporting.audit_page import Audit, render
    from superbatch.reporting.gallery import first_captions
    from superbatch.reporting.purity import kinds_of_rows
    from superbatch.simweb.truth import find_truth

    manifest, run = read_manifest(pool), open_run(training)
    truth = find_truth(manifest)
    made = Audit(
        run.name,
        rows,
        open_draw(run, manifest),
        read(AuditSettings, settings, "audit"),
        ImageReader(manifest, THUMBNAIL).read,
        first_captions(pool),
        None if truth is None else kinds_of_rows(truth, pool),
        read_json(subset / SUMMARY),
    )
    return {"page": render(made), "metrics": made.metrics()}
