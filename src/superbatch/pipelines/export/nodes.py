"""Nodes of the stage `export`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.places import places as places_of_outputs
from superbatch.artifacts.stamps import Staged, build_once, read_stamp
from superbatch.config import ReportSettings, Storage, read
from superbatch.options import TakeAwaySettings

FORMAT = 1  # raised when the same model and records give other files
CARDS_FORMAT = 1  # the same for the cards of data sets
log = logging.getLogger(__name__)


def export_model(
    run: str, checkpoint: Path, training: Path, evaluation: Path, pool: Path, curated: Path, settings: dict[str, Any],
    report: dict[str, Any], command: str, storage: dict[str, Any],
) -> Staged:  # fmt: skip
    """Write a run's model in the formats asked for, each with a card.

    Args:
        run: its name, bound by the pipeline.
        checkpoint, training, evaluation: of the run.
        pool, curated: the ingested sets, for what the card says of them.
        settings: `params:export` -> `options.TakeAwaySettings`. report: `params:report`, whose metric the card compares in.
        command: what makes the export again.
        storage: `params:storage`.

    Raises:
        UserError: packages that a format needs and that are missing; a graph whose embeddings are not the model's.
    """
    wanted, places = read(TakeAwaySettings, settings, "export"), read(Storage, storage, "storage")
    from superbatch.exporting.writing import write_formats
    from superbatch.models import read_metadata
    from superbatch.pipelines.export.facts import gather

    metric = read(ReportSettings, report, "report").metric
    facts = gather(run, training, checkpoint, pool, curated, wanted.licence, metric, command)

    def write(out: Path) -> None:
        write_formats(checkpoint, facts, wanted.formats, out)

    weights = read_metadata(checkpoint)["weights_sha256"]
    decides = ["export", FORMAT, weights, facts, wanted.formats]
    return build_once(f"{run} export", fingerprint(decides), Path(places.stages), write)


def describe_sets(
    pool: Path, curated: Path, evaluation_sets: Path, settings: dict[str, Any], storage: dict[str, Any], *subsets: Path
) -> Staged:
    """Write a card in Croissant's format for each of some sets, checked by mlcroissant where that is installed.

    Args:
        pool, curated, evaluation_sets: the ingested sets; their cards name manifest and shards where these lie.
        settings: `params:export`; `sets` says which.
        storage: `params:storage`.
        subsets: what the audit exported, if its set is among them; its shards get second names beside the card.
    """
    wanted, places = read(TakeAwaySettings, settings, "export"), read(Storage, storage, "storage")
    from superbatch.pipelines.export.sets import ingested_sets, write_cards

    described = ingested_sets(wanted.sets, pool, curated, evaluation_sets, places)
    stamps = [read_stamp(path) for path in subsets]
    folder = next(iter(places_of_outputs()), Path(places.stages) / "cards")

    def write(out: Path) -> None:
        write_cards(described, subsets, out, folder, wanted.data_licence)

    decides = ["data cards", CARDS_FORMAT, described, stamps, wanted.data_licence, str(folder)]
    return build_once("data cards", fingerprint(decides), Path(places.stages), write)
