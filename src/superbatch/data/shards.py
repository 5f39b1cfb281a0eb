"""One shard into rows of the manifest and rejects, in one pass; every member is counted in exactly one of them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa

from superbatch.data.decode import DecodeError, ImageFacts, check_image
from superbatch.data.manifest import MANIFEST_SCHEMA, REJECTS_SCHEMA
from superbatch.data.tar import BLOCK, Member, compression, may_begin, walk
from superbatch.data.texts import (
    CONTROL,
    MAX_JSON_BYTES,
    MAX_LABEL_BYTES,
    MAX_TEXT_BYTES,
    Unusable,
    captions_of,
    has_control,
    label_of,
    printable,
    source_of,
)
from superbatch.errors import UserError
from superbatch.options import MAX_PIXELS
from superbatch.stores.address import Place, place_named
from superbatch.stores.opening import opened

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "avif")
_UNREAD = ("bmp", "tif", "tiff", "heic", "heif", "jxl", "jp2", "psd", "ico", "pdf")
OTHER_EXTENSIONS = {"gif": "image_gif", "svg": "image_svg", "svgz": "image_svg"} | dict.fromkeys(
    _UNREAD, "image_unsupported"
)
NAMES_TOLD = 8  # extensions in a reject's detail
LFS = b"version https://git-lfs"
MAX_IMAGE_BYTES = 1 << 30  # read whole into memory


@dataclass(frozen=True)
class ScanSettings:
    """How samples are read.

    Attributes:
        captions_per_line: .txt holds several captions, one a line, as retrieval sets have; else the whole text is one
        caption.
        require_caption: a sample without .txt is rejected; off for classification sets, whose samples have a label
        only.
        max_pixels: images with more are rejected.
    """

    captions_per_line: bool = False
    require_caption: bool = True
    max_pixels: int = MAX_PIXELS


@dataclass
class ShardScan:
    """What one shard holds; `mark` is that of an object of a store."""

    shard: str
    size: int
    manifest: pa.Table
    rejects: pa.Table
    mark: str = ""


@dataclass
class _Sample:
    """A sample under way: what its members have given so far, and the first thing that is wrong with it."""

    key: str
    offset: int
    names: list[str] = field(default_factory=list)
    extensions: set[str] = field(default_factory=set)
    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def split_name(name: str) -> tuple[str, str] | None:
    """Split a member's name into key and extension at the first dot of its last part; None where that fails."""
    folder, _, last = name.rpartition("/")
    stem, dot, extension = last.partition(".")
    if not stem or not dot or not extension or _leads_out(name) or not _is_text(name):
        return None
    return (f"{folder}/{stem}" if folder else stem), extension.lower()


def scan_shard(path: Place, settings: ScanSettings = ScanSettings(), name: str | None = None) -> ShardScan:
    """Read one shard.

    Args:
        path: the tar, a file or an object of a store.
        settings: how samples are read.
        name: what the `shard` column says; the path by default.

    Returns:
        Manifest and rejects tables (MANIFEST_SCHEMA, REJECTS_SCHEMA), rows in the order of the shard. The members of
        both add up to those of the shard.

    Raises:
        UserError: the file can't be opened or read.
    """
    place = place_named(str(path))
    scan = _Scan(name if name is not None else place.as_posix(), settings)
    try:
        with opened(place) as shard, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about what is rejected or noted here anyway
            scan.run(shard.stream, shard.size)
    except OSError as error:
        raise UserError(
            str(path), f"can't be read ({error.strerror or error})", "check the file and the shards setting"
        ) from None
    return ShardScan(
        scan.shard,
        shard.size,
        pa.Table.from_pylist(scan.rows, MANIFEST_SCHEMA),
        pa.Table.from_pylist(scan.rejects, REJECTS_SCHEMA),
        shard.mark,
    )


class _Scan:
    """State of a pass over one shard."""

    def __init__(self, shard: str, settings: ScanSettings) -> None:
        self.shard, self.settings = shard, settings
        self.rows: list[dict[str, Any]] = []
        self.rejects: list[dict[str, Any]] = []
        self.samples: dict[str, _Sample] = {}  # by key: the one that takes further members
        self.finished: list[_Sample] = []
        self.last: _Sample | None = None
        self.damage: str = ""  # set after damage until the next sample is met

    def run(self, stream: BinaryIO, size: int) -> None:
        """Walk the archive, then judge every sample."""
        head = stream.read(BLOCK)
        kind = compression(head)
        if kind is not None:
            detail = f"{kind}; unpack it first, images are read at random"
            return self.reject("shard_compressed", "", 0, 0, detail, unread=size)
        for member in walk(stream, size):
            self.take(member, stream)
        for sample in self.finished:
            self.judge(sample)
        self._name_the_hopeless(size, head)

    def take(self, member: Member, stream: BinaryIO) -> None:
        """Sort one member into its sample, or reject it."""
        if member.kind == "shard_truncated":
            self._take_cut(member)
        elif member.kind in ("header_corrupt", "archive_gap", "trailing_zeros"):
            self._mark_last("shard_damaged", member)  # the damage may have removed some of its members
            self.damage = f"{member.kind} at byte {member.offset:,}"
            self._reject_member(member, "")
        elif member.kind != "file":
            self._reject_member(member, member.name)
        else:
            parts = split_name(member.name)
            if parts is None:
                return self.reject("bad_name", member.name, member.offset, 1, "")
            self._read(self._sample(*parts, member), parts[1], member, stream)

    def _take_cut(self, member: Member) -> None:
        """Count the member that is cut: in its own sample if that is known, else separately."""
        parts = split_name(member.name)
        if parts is None:
            # The cut may be between two members of the last sample, so that sample can't be trusted either.
            self._mark_last("shard_truncated", member)
            return self._reject_member(member, member.name)
        self._sample(*parts, member).problems.setdefault("shard_truncated", member.detail)
        # A note on the shard, whatever happened to the sample.
        self.reject(member.kind, "", member.offset, 0, "no end-of-archive marker", unread=member.unread)

    def _mark_last(self, code: str, member: Member) -> None:
        if self.last is not None:
            self.last.problems.setdefault(code, f"{member.kind} at byte {member.offset:,}")

    def _sample(self, key: str, extension: str, member: Member) -> _Sample:
        """Find the sample that a member belongs to; a second member of one name starts a second sample of that key."""
        sample = self.samples.get(key)
        if sample is None or extension in sample.extensions:
            duplicate = sample is not None
            sample = self.samples[key] = _Sample(key, member.offset)
            self.finished.append(sample)
            if duplicate:
                sample.problems["duplicate_key"] = "an earlier sample of this shard has the key"
        if self.damage:
            sample.problems.setdefault("shard_damaged", self.damage)
            self.damage = ""
        sample.extensions.add(extension)
        sample.names.append(member.name)
        self.last = sample
        return sample

    def _read(self, sample: _Sample, extension: str, member: Member, stream: BinaryIO) -> None:
        """Take what one member gives to its sample; only named extensions are opened."""
        try:
            if extension in IMAGE_EXTENSIONS:
                self._read_image(sample, extension, member, stream)
            elif extension in _TEXTS:
                limit, parse = _TEXTS[extension]
                sample.values[extension] = parse(_text(stream, member, limit), self.settings)
        except (Unusable, DecodeError) as error:
            sample.problems.setdefault(*error.args)

    def _read_image(self, sample: _Sample, extension: str, member: Member, stream: BinaryIO) -> None:
        if member.size > MAX_IMAGE_BYTES:
            raise DecodeError("image_too_large", f"{member.size:,} bytes are over the limit of {MAX_IMAGE_BYTES:,}")
        stream.seek(member.data)
        data = stream.read(member.size)
        sample.values["image"] = check_image(data, extension, self.settings.max_pixels)
        sample.values |= {"offset": member.data, "length": member.size, "sha256": hashlib.sha256(data).digest()}

    def judge(self, sample: _Sample) -> None:
        """Turn a whole sample into a row or a reject."""
        images = len(sample.extensions.intersection(IMAGE_EXTENSIONS))
        if images != 1:
            code = "image_ambiguous" if images else _no_image(sample)
            sample.problems = {code: _missing(IMAGE_EXTENSIONS, sample)} | sample.problems
        if self.settings.require_caption and "txt" not in sample.extensions:
            sample.problems["caption_missing"] = _missing(("txt",), sample)
        if not self.settings.require_caption and sample.problems.pop("caption_empty", None) is not None:
            sample.values["txt"] = []
        if sample.problems:
            code = min(sample.problems, key=_severity)
            return self.reject(code, sample.key, sample.offset, len(sample.names), sample.problems[code], sample.names)
        self.rows.append(_row(sample, self.shard))

    def _reject_member(self, member: Member, name: str) -> None:
        self.reject(member.kind, name, member.offset, member.count, member.detail, unread=member.unread)

    def reject(
        self,
        code: str,
        name: str,
        offset: int,
        members: int,
        detail: str,
        names: list[str] | None = None,
        unread: int = 0,
    ) -> None:
        """Record something that is left out; `name` is the key of a sample, or a member's own name."""
        names = names if names is not None else [name] * bool(name)
        self.rejects.append(
            {
                "key": printable(name) or None,
                "shard": self.shard,
                "offset": offset,
                "members": members,
                "names": [printable(n) for n in names],
                "unread": unread,
                "code": code,
                "detail": printable(detail),
            }
        )

    def _name_the_hopeless(self, size: int, head: bytes) -> None:
        """Add a plain reason if a file has no member at all; `head` is its first block."""
        codes = {reject["code"] for reject in self.rejects}
        if self.finished or codes - {"header_corrupt", "shard_truncated", "trailing_data", "trailing_zeros"}:
            return
        no_header = "header_corrupt" in codes or (size < BLOCK and not may_begin(head))
        if size and no_header and all(reject["offset"] == 0 or not reject["members"] for reject in self.rejects):
            self.rejects = []
            detail = "a pointer of Git LFS, not the file itself" if head.startswith(LFS) else "no tar header in it"
            self.reject("shard_not_tar", "", 0, 0, detail, unread=size)
        elif not codes:
            self.reject("shard_empty", "", 0, 0, f"{size:,} bytes, no member")


_ARCHIVE_FIRST = ("shard_truncated", "shard_damaged", "duplicate_key", "image_missing", "image_ambiguous")


def _severity(code: str) -> int:
    """Order problems: those of the archive come before those of one file, which come as they were met."""
    return _ARCHIVE_FIRST.index(code) if code in _ARCHIVE_FIRST else len(_ARCHIVE_FIRST)


def _no_image(sample: _Sample) -> str:
    """Name the problem of a sample without an image in a supported format."""
    return next((code for name, code in OTHER_EXTENSIONS.items() if name in sample.extensions), "image_missing")


def _row(sample: _Sample, shard: str) -> dict[str, Any]:
    values = sample.values
    image: ImageFacts = values["image"]
    captions = values.get("txt", [])
    return {
        "key": sample.key,
        "shard": shard,
        "offset": values["offset"],
        "length": values["length"],
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "captions": captions,
        "label": values.get("cls"),
        "sha256": values["sha256"],
        "members": len(sample.names),
        "source": values.get("json"),
        "notes": [*image.notes, *[CONTROL] * has_control(captions)],
    }


def _text(stream: BinaryIO, member: Member, limit: int) -> bytes:
    stream.seek(member.data)
    return stream.read(min(member.size, limit + 1))


_TEXTS: dict[str, tuple[int, Callable[[bytes, ScanSettings], Any]]] = {
    "txt": (MAX_TEXT_BYTES, lambda data, settings: captions_of(data, settings.captions_per_line)),
    "cls": (MAX_LABEL_BYTES, lambda data, _: label_of(data)),
    "json": (MAX_JSON_BYTES, lambda data, _: source_of(data)),
}


def _missing(endings: tuple[str, ...], sample: _Sample) -> str:
    """Say which files a sample has instead of the missing one. A likely cause: a key ends at the first dot of a name."""
    names = sorted(sample.extensions)
    told = f"has {', '.join(names[:NAMES_TOLD])}{', ...' if len(names) > NAMES_TOLD else ''}"
    dotted = [name for name in names if name.rpartition(".")[0] and name.endswith(endings)]
    if not dotted:
        return told
    return f"{told}; a key ends at the first dot, so {dotted[0]!r} is taken for an extension: use keys without dots"


def _leads_out(name: str) -> bool:
    """Whether a file unpacked under this name might land outside its folder, on any system. (Nothing is unpacked here.)"""
    plain = name.replace("\\", "/")
    return plain.startswith("/") or plain[1:3] == ":/" or ".." in plain.split("/")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name
