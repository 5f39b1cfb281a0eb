"""Why something was left out: the reason codes of the rejects, each with what it means."""

from __future__ import annotations

REASONS = {
    # the image
    "image_missing": "a sample without an image (.jpg, .jpeg, .png, .webp)",
    "image_ambiguous": "a sample with several images",
    "image_empty": "an image of zero bytes",
    "image_unsupported": "an image in a format that is not read",
    "image_corrupt": "an image that can't be decoded",
    "image_truncated": "an image whose data ends early",
    "image_too_large": "more pixels than the limit allows: perhaps a decompression bomb",
    # the texts
    "caption_missing": "a sample without .txt",
    "caption_empty": "a .txt with nothing but white space",
    "caption_not_utf8": "a .txt that is not UTF-8",
    "caption_too_long": "a .txt over the size limit",
    "json_invalid": "a .json that is not a JSON object in UTF-8",
    "label_invalid": "a .cls that is not a whole number from 0 up",
    # names
    "duplicate_key": "a key that an earlier sample has; the earlier one is kept",
    "bad_name": "a name without an extension, hidden, not UTF-8, absolute, or with ..",
    # members that are no plain files
    "directory": "a folder; harmless",
    "link": "a hard or symbolic link: its data lies elsewhere",
    "sparse": "a sparse file: its bytes don't lie in one piece",
    "special": "a device, a pipe, or a type that is not known",
    # the archive
    "header_corrupt": "a damaged header; what it described is lost",
    "shard_damaged": "a sample beside damage in the archive: parts of it may be lost",
    "shard_truncated": "the archive ends early: the sample at the cut can't be trusted",
    "archive_gap": "zero blocks inside the archive: joined archives, or a hole with members in it",
    "trailing_data": "data after the end of the archive",
    "shard_compressed": "a compressed archive, which can't be read at random",
    "shard_not_tar": "not a tar archive",
    "shard_empty": "an archive without members",
}
