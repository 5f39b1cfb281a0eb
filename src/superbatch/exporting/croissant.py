"""Data cards as Croissant describes data sets (mlcommons.org/croissant, 1.0): which files, their checksums, what a record holds."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.data.manifest import MANIFEST_SCHEMA, Manifest, write_manifest
from superbatch.data.shards import ScanSettings, scan_shard
from superbatch.errors import UserError
from superbatch.stores.address import Address, Place
from superbatch.stores.objects import Known

CARD_FILE, RECORDS = "croissant.json", "samples"
TAR = "application/x-tar"
ANY_SIZE = ScanSettings(max_pixels=2**62)  # ingestion has already checked it
# The context that Croissant 1.0 asks for, word for word.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {
    name: f"cr:{name}"
    for name in (
        "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
        "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
        "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
    )
}  # fmt: skip
FIELDS = {
    "key": ("sc:Text", "name of the sample: its files in the shard are called by it"),
    "captions": ("sc:Text", "its captions"),
    "label": ("sc:Integer", "its class"),
    "format": ("sc:Text", "of the image, by content"),
    "width": ("sc:Integer", "of the image in pixels, as seen"),
    "height": ("sc:Integer", "the same"),
    "shard": ("sc:Text", "the archive that holds it"),
    "offset": ("sc:Integer", "of the image's first byte inside the shard"),
    "length": ("sc:Integer", "of the image, in bytes"),
}


@dataclass(frozen=True)
class DescribedSet:
    """A set that gets a card.

    Attributes:
        name, description: of it.
        manifest: its Parquet file.
        shards: its archives, each with its SHA-256; an object of a store with its mark there, since for the other it would have to be read whole.
    """

    name: str
    description: str
    manifest: Path
    shards: Sequence[tuple[Place, str]]


def croissant(one: DescribedSet, folder: Path, licence: str | None = None) -> dict[str, Any]:
    """Return a set's card as JSON-LD.

    Args:
        one: the set.
        folder: where the card will lie: files are named from there, objects of a store by their address.
        licence: of the data; None: the card says nothing of it.
    """
    manifest = Manifest(one.manifest)
    files = [_file("manifest", one.manifest, file_sha256(one.manifest), "application/x-parquet", folder)]
    files += [
        _object(f"shard-{n}", manifest.objects[str(shard)])
        if isinstance(shard, Address)
        else _file(f"shard-{n}", shard, digest, TAR, folder)
        for n, (shard, digest) in enumerate(one.shards)
    ]
    stated: dict[str, Any] = {"license": licence} if licence else {}
    # Croissant wants a checksum of every file, except of a set marked as live, whose files may change.
    stated |= {"isLiveDataset": True} if manifest.objects else {}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": one.name,
        "description": one.description,
        **stated,
        "distribution": files,
        "recordSet": [_records(manifest)],
    }


def _object(name: str, known: Known) -> dict[str, Any]:
    """Describe an object by what its store said of it at ingestion: size, and mark (of S3 its ETag)."""
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": known.address.url.rpartition("/")[2],
        "description": f"As ingested, its store's mark of it was {known.mark}." if known.mark else "As ingested.",
        "contentUrl": known.address.url,
        "contentSize": f"{known.size} B",
        "encodingFormat": TAR,
    }


def _file(name: str, path: Path, digest: str, kind: str, folder: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": path.name,
        "contentUrl": Path(os.path.relpath(path, folder)).as_posix(),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": kind,
        "sha256": digest,
    }


def _records(manifest: Manifest) -> dict[str, Any]:
    """Describe a record, a row of the manifest; labels only where every row has one."""
    labelled = manifest.num_rows > 0 and manifest.column("label").null_count == 0
    names = [name for name in FIELDS if name != "label" or labelled]
    return {
        "@type": "cr:RecordSet",
        "@id": RECORDS,
        "name": RECORDS,
        "description": "One record a sample, in the manifest's order.",
        "key": {"@id": f"{RECORDS}/key"},
        "field": [_field(name, *FIELDS[name]) for name in names],
    }


def _field(name: str, kind: str, description: str) -> dict[str, Any]:
    source = {"fileObject": {"@id": "manifest"}, "extract": {"column": name}}
    field = {
        "@type": "cr:Field",
        "@id": f"{RECORDS}/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
    }
    return field | ({"repeated": True} if name == "captions" else {}) | {"source": source}


def check_card(file: Path) -> None:
    """Let mlcroissant check a card, where it is installed; it does not look for the files that the card names.

    Raises:
        UserError: the first mistake that it finds.
    """
    if find_spec("mlcroissant") is None:
        return
    import mlcroissant

    logging.getLogger("absl").setLevel(logging.ERROR)  # what is recommended and was not stated, such as a licence
    try:
        mlcroissant.Dataset(jsonld=str(file))
    except mlcroissant.ValidationError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        first = next((line.lstrip("- ") for line in lines if line.startswith("-")), lines[0])
        raise UserError(str(file), f"is not a valid Croissant card ({first})", "report this as a bug") from None


def write_manifest_of(shards: Sequence[Path], file: Path) -> None:
    """Write the manifest of shards that lie in a folder beside it, each named from there.

    Args:
        shards: archives without a mistake, as `curation.subset` writes them.
        file: of the manifest, to be made.
    """
    tables, sizes = [], {}
    for shard in shards:
        scan, name = scan_shard(shard, ANY_SIZE), shard.relative_to(file.parent).as_posix()
        place = scan.manifest.schema.get_field_index("shard")
        named = pa.array([name] * len(scan.manifest), pa.string())
        tables.append(scan.manifest.set_column(place, MANIFEST_SCHEMA.field("shard"), named))
        sizes[name] = scan.size
    write_manifest(file, pa.concat_tables([MANIFEST_SCHEMA.empty_table(), *tables]), sizes)
