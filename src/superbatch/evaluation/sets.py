"""Evaluation sets: an ingested split beside its root in the layout that CLIP_benchmark and DataComp read.

root/dataset_type.txt                            "classification" or "retrieval"
root/classnames.txt                              one name a line; line i is class i of the samples' .cls
root/zeroshot_classification_templates.txt       one prompt a line, {c} where the class name goes (other forms: `prompts`)
root/<split>/nshards.txt                         how many shards: 0.tar, 1.tar, ...
root/<split>/0.tar                               key.png|jpg|webp with key.cls, or with key.txt (several captions, one a
line)

Shards that lie beside each other are named instead: the split is then a pattern below the root, such as val-*.tar.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.bounds import require
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.errors import UserError
from superbatch.evaluation.prompts import (
    CLASSNAMES_FILE,
    Prompts,
    Templates,
    classnames_file,
    fill_template,
    read_classnames,
    read_templates,
)
from superbatch.files import expand_shards
from superbatch.stores.address import Place, is_address
from superbatch.stores.objects import content_of

CLASSIFICATION, RETRIEVAL = "classification", "retrieval"
TYPE_FILE = "dataset_type.txt"
COUNT_FILE, SHARD_ENDING = "nshards.txt", ".tar"
PATTERN = "evaluation set"  # where a split by pattern is at fault


@dataclass(frozen=True)
class EvaluationSet:
    """One split of one set, checked and ready to be embedded.

    Attributes:
        name: the prefix of its metrics ("classification/top1").
        kind: "classification" or "retrieval".
        split: "validation", "test", ...: written into every result.
        manifest: the ingested samples.
        labels: (N,) int64 class numbers; None for retrieval.
        classnames, templates: the prompts' parts; empty for retrieval.
        own_prompts: whole prompts, class by class, in the place of templates; mostly empty.
        captions: all captions, image by image; empty for classification.
        image_of_text: (M,) int64, the row of each caption; None for classification.
    """

    name: str
    kind: str
    split: str
    manifest: Manifest
    labels: np.ndarray | None = None
    classnames: tuple[str, ...] = ()
    templates: Templates = ()
    own_prompts: Prompts = ()
    captions: tuple[str, ...] = ()
    image_of_text: np.ndarray | None = None

    @property
    def image_captions(self) -> list[str]:
        """What an image of the set shows: the name of its class, or its first caption."""
        if self.labels is None:
            return self.manifest.first_captions()
        return [self.classnames[label] for label in self.labels]

    @property
    def num_images(self) -> int:
        """N, the rows of the manifest."""
        return len(self.manifest)

    @property
    def prompts(self) -> list[list[str]]:
        """The prompts of each class; empty for retrieval."""
        if self.own_prompts:
            return [list(prompts) for prompts in self.own_prompts]
        return [[fill_template(template, name) for template in self.templates] for name in self.classnames]

    @property
    def fingerprint(self) -> str:
        """Name everything in the set that decides a result: samples, labels, captions, class names, prompts."""
        parts = [self.kind, self.split, self.manifest.fingerprint, self.classnames, self.templates]
        return fingerprint([*parts, self.own_prompts] if self.own_prompts else parts)


def load_evaluation_set(
    directory: str | Path,
    root: str | Path | None = None,
    *,
    name: str | None = None,
    split: str = "test",
    folder: str | None = None,
    kind: str = "auto",
) -> EvaluationSet:
    """Open an ingested split as an evaluation set.

    Args:
        directory: what ingest wrote for this split (`manifest.parquet`).
        root: the set's folder in CLIP_benchmark's layout; needed for classification (class names), optional for
            retrieval.
        name: prefix of the metrics; the root's (or the directory's) name by default.
        split: recorded in every result.
        folder: the split's folder below root, by default of the same name, or its shards by pattern; where it holds
            shards, the manifest must come from them, complete.
        kind: "classification", "retrieval", or "auto": `dataset_type.txt`; without one, classification if samples have
            labels.

    Raises:
        UserError: an empty set, missing class names, a label without a class name, a sample without label or caption, a
            template without a place for the name, a manifest of another split or of fewer shards than the split has.
    """
    directory, root = Path(directory), Path(root) if root else None
    manifest = read_manifest(directory)
    if not len(manifest):
        raise UserError(str(directory), "the evaluation set is empty", "see rejects.parquet beside it")
    place = directory if root is None else root / (folder or split)  # what a user knows the samples by
    if root is not None:
        _check_split(manifest, directory, place)
    kind = _kind(kind, root, manifest)
    name = name or (root or directory).name
    if kind == CLASSIFICATION:
        classnames = read_classnames(root, directory, name)
        labels = _labels(manifest, place, root, len(classnames))
        templates, prompts = read_templates(root, classnames, name)
        return EvaluationSet(name, kind, split, manifest, labels, classnames, templates, prompts)
    captions, image_of_text = _captions(manifest, place)
    return EvaluationSet(name, kind, split, manifest, captions=captions, image_of_text=image_of_text)


def split_shards(root: str | Path, split: str) -> list[Place]:
    """List the shards of a split, as `nshards.txt` counts them (without it: every .tar there, by name).

    Args:
        root: the set's folder, or its address.
        split: a folder below it, or shards below it by name (`val-*.tar`, `val-{00..03}.tar`).

    Raises:
        UserError: no such split, an unreadable count, a shard that is missing; a store that can't be read.
    """
    require(not is_address(split), split, "is an address, but splits lie below the set's root", "name that by address")
    if is_address(str(root)):
        return _far_shards(str(root).rstrip("/"), split)
    return [*_shards_here(Path(root), split)]


def _far_shards(root: str, split: str) -> list[Place]:
    """List the shards of a split of a store."""
    folder = f"{root}/{split}"
    if split.endswith(SHARD_ENDING):
        return expand_shards(split, PATTERN, root)
    from superbatch.stores.copies import objects_in

    there = {known.address.name: known.address for known in objects_in(folder)}
    found = sorted(name for name in there if name.endswith(SHARD_ENDING))
    if COUNT_FILE in there:
        count = _count_in(content_of(there[COUNT_FILE]).decode(), f"{folder}/{COUNT_FILE}")
        found = [f"{i}{SHARD_ENDING}" for i in range(count)]
    require(bool(found), folder, "has no .tar file", "put the split's shards there")
    for name in found:
        _require_counted(name in there, f"{folder}/{name}", len(found))
    return [there[name] for name in found]


def _shards_here(root: Path, split: str) -> list[Path]:
    """List the shards of a split on this machine."""
    folder = root / split
    if split.endswith(SHARD_ENDING):
        return [Path(str(shard)) for shard in expand_shards(split, PATTERN, str(root))]
    if not folder.is_dir():
        there = "its shards lie beside each other: name them, as in" if any(root.glob("*.tar")) else "give"
        remedy = f"{there} splits: {{validation: 'val-*.tar', test: 'test-*.tar'}}, or folders of .tar files"
        raise UserError(str(folder), "no such split", remedy)
    count = _shard_count(folder)
    found = [folder / f"{i}.tar" for i in range(count)] if count is not None else sorted(folder.glob("*.tar"))
    for path in found:
        _require_counted(path.is_file(), str(path), len(found))
    require(bool(found), str(folder), "has no .tar file", "put the split's shards there")
    return found


def _require_counted(there: bool, shard: str, count: int) -> None:
    what = f"missing, though {COUNT_FILE} counts {count} shards"
    require(there, shard, what, f"copy the shard, or correct {COUNT_FILE}")


def _kind(kind: str, root: Path | None, manifest: Manifest) -> str:
    """Decide what the set measures: classification or retrieval."""
    where, path = "kind", (root or Path()) / TYPE_FILE
    if kind == "auto" and root is not None and path.is_file():
        where, kind = str(path), path.read_text(encoding="utf-8-sig").strip().lower()
    if kind == "auto":
        return CLASSIFICATION if bool((manifest.labels >= 0).any()) else RETRIEVAL
    if kind not in (CLASSIFICATION, RETRIEVAL):
        raise UserError(where, f"{kind!r} is not a known kind of set", f"use {CLASSIFICATION} or {RETRIEVAL}")
    return kind


def _labels(manifest: Manifest, place: Path, root: Path | None, num_classes: int) -> np.ndarray:
    """Return the labels, every one of which has a class name."""
    labels = manifest.labels
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if not len(bad):
        return labels
    where, label = f"{place}: {manifest.keys[int(bad[0])]}", int(labels[bad[0]])
    if label < 0:
        raise UserError(
            where, f"one of {(labels < 0).sum()} samples without a label", "add their .cls and ingest again"
        )
    names = root and classnames_file(root)
    what = f"label {label}, but {names or CLASSNAMES_FILE} names classes 0..{num_classes - 1}"
    raise UserError(where, what, "add the missing names or correct the .cls")


def _captions(manifest: Manifest, place: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Return all captions image by image, and the row of each; a line is a caption, however the set was ingested."""
    of_row = [
        [line.strip() for text in texts for line in text.splitlines() if line.strip()] for texts in manifest.captions()
    ]
    counts = np.array([len(captions) for captions in of_row])
    if not counts.all():
        first = int(np.flatnonzero(counts == 0)[0])
        what = f"one of {(counts == 0).sum()} samples without a caption"
        raise UserError(f"{place}: {manifest.keys[first]}", what, "add their .txt and ingest again")
    return tuple(caption for captions in of_row for caption in captions), np.repeat(np.arange(len(manifest)), counts)


def _check_split(manifest: Manifest, directory: Path, folder: Path) -> None:
    """Check that the manifest was made from all shards of this split: results on a wrong split would mislead."""
    if not any(folder.glob("*.tar")):
        return
    # A shard may itself be a link, into DVC's cache: what counts is the folder that has it.
    paths = [Path(str(manifest.shard_path(shard))) for shard in manifest.shard_sizes]
    shards = {path.parent.resolve() / path.name for path in paths}
    strange = sorted(shard for shard in shards if shard.parent != folder.resolve())
    if strange:
        what = f"was ingested from {strange[0]}, not from the split's folder {folder}"
        raise UserError(str(directory), what, "ingest that split")
    count = _shard_count(folder)
    if count is not None and len(shards) != count:
        what = f"has samples of {len(shards)} of the {count} shards of {folder}"
        raise UserError(str(directory), what, "ingest all of them (rejects.parquet lists what was refused)")


def _shard_count(folder: Path) -> int | None:
    path = folder / COUNT_FILE
    return _count_in(path.read_text(), str(path)) if path.is_file() else None


def _count_in(text: str, where: str) -> int:
    text = text.strip()
    if not text.isdigit():
        raise UserError(where, f"{text!r} is not a number of shards", "write one whole number")
    return int(text)
