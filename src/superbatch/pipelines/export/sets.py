"""The sets that get a data card: those that were ingested, where they lie, and what the audit exported, beside its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import file_sha256
from superbatch.artifacts.shelf import link_into
from superbatch.artifacts.stamps import STAMP
from superbatch.config import Storage
from superbatch.curation.subset import SHARDS, SUMMARY
from superbatch.data.manifest import MANIFEST_FILE, Manifest, read_manifest
from superbatch.data.scans import shard_digests
from superbatch.errors import UserError
from superbatch.exporting.croissant import CARD_FILE, DescribedSet, check_card, croissant, write_manifest_of
from superbatch.files import read_json
from superbatch.pipelines.ingest.nodes import scans_of
from superbatch.stores.address import Place

AUDIT = "audit"


def ingested_sets(
    names: Sequence[str], pool: Path, curated: Path, evaluation_sets: Path, places: Storage
) -> list[DescribedSet]:
    """Describe the ingested sets among some names; of evaluation sets every split.

    Args:
        names: `export.sets`. pool, curated, evaluation_sets: the ingested sets.
        places: where checksums of shards are remembered.

    Raises:
        UserError: a shard that can't be read.
    """
    found = []
    for name, folder in (("pool", pool), ("curated", curated)):
        if name in names:
            found.append(_described(name, f"The {name} set", read_manifest(folder), name, places))
    if "evaluation" in names:
        from superbatch.evaluation import load_evaluation_sets

        for one in load_evaluation_sets(evaluation_sets):
            what = f"The {one.split} split of the evaluation set {one.name}"
            found.append(_described(f"{one.name}-{one.split}", what, one.manifest, "evaluation", places))
    return found


def _described(name: str, what: str, manifest: Manifest, ingested_as: str, places: Storage) -> DescribedSet:
    shards = [manifest.shard_path(shard) for shard in manifest.shard_sizes]
    files = [shard for shard in shards if isinstance(shard, Path)]
    sums: dict[Place, str] = dict(zip(files, shard_digests(files, scans_of(ingested_as, places)), strict=True))
    sums |= {known.address: known.mark for known in manifest.objects.values()}
    description = f"{what}: {_counted(len(manifest), len(shards))}, as ingested by Superbatch."
    if manifest.objects:
        description += " Shards lie in an object store: the card has their sizes, and no checksums."
    return DescribedSet(name, description, manifest.path, tuple((shard, sums[shard]) for shard in shards))


def _counted(samples: int, shards: int) -> str:
    return f"{samples:,} samples in {shards:,} WebDataset shard{'' if shards == 1 else 's'}"


def write_cards(
    described: Sequence[DescribedSet], subsets: Sequence[Path], out: Path, folder: Path, licence: str | None
) -> None:
    """Write the cards, a folder a set.

    Args:
        described: the ingested sets.
        subsets: what the audit exported.
        out: the folder to fill. folder: where it will stand, since a card names files from its own place.
        licence: of the data.

    Raises:
        UserError: a card that mlcroissant refuses.
    """
    for one in described:
        (out / one.name).mkdir()
        write_json(out / one.name / CARD_FILE, croissant(one, folder / one.name, licence))
        check_card(out / one.name / CARD_FILE)
    for subset in subsets:
        _write_subset(subset, out / AUDIT, licence)


def _write_subset(subset: Path, out: Path, licence: str | None) -> None:
    """Lay out an exported set whole: shards under second names, their manifest, the card."""
    link_into(subset, out)
    (out / STAMP).unlink()
    shards = sorted((out / SHARDS).glob("*.tar"))
    if not shards:
        raise UserError("export.sets", "the audit exported no row", "leave audit out of it, or export other verdicts")
    write_manifest_of(shards, out / MANIFEST_FILE)
    about = read_json(out / SUMMARY)
    verdicts = " or ".join(about["verdicts"]).replace("_", " ")
    what = f"Rows of the pool that the audit of {about['run']} found {verdicts}"
    description = f"{what}: {_counted(about['rows'], len(shards))}, as exported by Superbatch."
    digests = [(shard, file_sha256(shard)) for shard in shards]
    one = DescribedSet(AUDIT, description, out / MANIFEST_FILE, digests)
    write_json(out / CARD_FILE, croissant(one, out, licence))
    check_card(out / CARD_FILE)
