"""What differs from store to store: packages and credentials in words, and how objects are looked at and read.

fsspec is to hide all that. Here is what it does not: file systems that answer from listings of before, or read mebibytes ahead of each range.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superbatch.artifacts.atomic import told_if_full

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}  # the extra of a protocol
PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}  # what an extra brings
RENEW = {
    "s3": "sign in again (aws sso login), or set the AWS_* variables anew",
    "gs": "sign in again (gcloud auth application-default login)",
    "hf": "sign in again (hf auth login), or set HF_TOKEN",
}
SIGN_IN = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; FSSPEC_S3_ANON=true reads a public bucket",
    "gs": "sign in (gcloud auth application-default login), or set GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "sign in (hf auth login), or set HF_TOKEN",
}
HUB = "hf"
ASKS_LAYOUT = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"
os.environ.setdefault(ASKS_LAYOUT, "false")  # gcsfs reads it when it is imported, by us or by Kedro's data sets
AT_ONCE = 16  # questions about objects at a time


def kind_of(url: str) -> str:
    """Return the kind of store that an address is of: s3, gs, hf, or what else stands before `://`."""
    protocol = url.partition("://")[0]
    return EXTRAS.get(protocol, protocol)


def prepare(kind: str) -> None:
    """Make a store's library fit for our use, whether it was imported before or not.

    gcsfs would first ask each bucket for its layout, by gRPC. Where that gets no answer (behind a proxy, from an emulator, without the right to ask) it tries for a
    minute, before every request. Only zonal buckets need that: `GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=true` brings it back. It also logs a traceback of
    what it raises.
    """
    if kind != "gs":
        return
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    if os.environ.get(ASKS_LAYOUT, "false").lower() in ("true", "1"):
        return
    with suppress(ImportError):  # whoever asks for a file system next says what is missing
        from fsspec import register_implementation
        from gcsfs.core import GCSFileSystem

        for protocol in ("gs", "gcs"):
            register_implementation(protocol, GCSFileSystem, clobber=True)


def info_of(files: AbstractFileSystem, path: str) -> dict[str, Any]:
    """Describe an object as it is now. The hub's file system would answer from its last listing of the folder."""
    if files.protocol == HUB and files.resolve_path(path).path:  # of a whole repository it would list all commits
        return dict(files.info(path, refresh=True, expand_info=True))
    return dict(files.info(path))


def forget_listings(files: AbstractFileSystem) -> None:
    """Make a file system look anew when it lists next; the hub's keeps listings, whatever it was told."""
    files.invalidate_cache()


def bring(files: AbstractFileSystem, path: str, file: Path) -> None:
    """Copy an object to a file of this machine. The hub's file system compares its size with that of its last listing.

    Raises:
        UserError: a full disk, or no right to write there: said here, since to `ask` any OSError is the store's, and may pass.
    """
    if files.protocol == HUB:
        forget_listings(files)
    with told_if_full(file):
        files.get_file(path, str(file))


def ranges_of(files: AbstractFileSystem, paths: list[str], starts: list[int], ends: list[int]) -> list[bytes]:
    """Return ranges of objects' bytes, several at a time and nothing more than was asked for.

    The hub's file system has no such question: it would read one range after the other, and 5 MiB ahead of each.
    """
    if files.protocol != HUB:
        found: list[bytes] = files.cat_ranges(paths, starts, ends, on_error="raise")
        return found
    for path in {path.rpartition("/")[0]: path for path in paths}.values():
        files.isdir(path)  # asked of each folder once, not by all threads at a time

    def read(path: str, start: int, end: int) -> bytes:
        return bytes(files.cat_file(path, start, end, cache_type="none", size=end))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(read, paths, starts, ends))
