"""Why something was left out: the reason codes of the rejects, each with what it means and what to do about it."""

from __future__ import annotations

REASONS = {
    # the image
    "image_missing": "a sample without an image (.jpg, .jpeg, .png, .webp, .avif)",
    "image_ambiguous": "a sample with several images",
    "image_empty": "an image of zero bytes",
    "image_gif": "a GIF, which is not read: most are animations",
    "image_svg": "an SVG: a drawing, which has no pixels of its own",
    "image_unsupported": "an image in another format that is not read",
    "image_corrupt": "an image that can't be decoded",
    "image_truncated": "an image whose data ends early",
    "image_too_large": "more pixels (or bytes) than the limit allows: perhaps a decompression bomb",
    # the texts
    "caption_missing": "a sample without .txt",
    "caption_empty": "a .txt in which nothing can be seen: white space, control or zero-width characters",
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
    "trailing_zeros": "more zeros after the end than a writer of tars puts there",
    "shard_compressed": "a compressed archive, which can't be read at random",
    "shard_not_tar": "not a tar archive",
    "shard_empty": "an archive without members",
}

REMEDIES = {
    "image_missing": "pack each image under its caption's key, or leave the caption out too",
    "image_ambiguous": "give each image a key of its own",
    "image_empty": "fetch the image again",
    "image_gif": "convert the frame that the caption is about to PNG or WebP",
    "image_svg": "render it to PNG at the size that you want to train with, or larger",
    "image_unsupported": "convert it to JPEG, PNG, WebP or AVIF",
    "image_corrupt": "fetch the image again; the detail says what the decoder met",
    "image_truncated": "fetch the image again, whole",
    "image_too_large": "scale it down, or raise ingest.max_pixels if it is meant to be that large",
    "caption_missing": "add a .txt; a caption inside .json does not count",
    "caption_empty": "write a caption, or leave the sample out",
    "caption_not_utf8": "store the text as UTF-8",
    "caption_too_long": "cut it: it is over 1 MiB, so hardly a caption",
    "json_invalid": "write an object ({...}) in UTF-8, or leave the .json out",
    "label_invalid": "write the class as a whole number, such as 7",
    "duplicate_key": "make keys distinct over the whole set; look for a shard that is listed or packed twice",
    "bad_name": "rename it: a relative path with an extension and without ..",
    "directory": "nothing; pack without folders to be rid of the entry",
    "link": "pack the file itself (tar --dereference --hard-dereference)",
    "sparse": "pack without --sparse",
    "special": "leave it out",
    "header_corrupt": "copy the shard again from where it is whole",
    "shard_damaged": "copy the shard again from where it is whole",
    "shard_truncated": "copy the shard again, or close the writer properly: it writes the end marker",
    "archive_gap": "repack the archives as one (tar --concatenate), or keep them apart",
    "trailing_data": "cut it off; the samples before it are in the manifest",
    "trailing_zeros": "copy the shard again: its size was set before all of its content arrived",
    "shard_compressed": "unpack the archive (gunzip, zstd -d)",
    "shard_not_tar": "take it out of the list of shards; where it is a pointer of Git LFS, fetch the file itself (git lfs pull)",
    "shard_empty": "take it out of the list of shards",
}
