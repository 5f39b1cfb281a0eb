"""Addresses: names of objects in a store, where a path names a file of this machine. Nothing here asks a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Address:
    """Where an object lies.

    Attributes:
        url: as it is written in settings and manifests, such as s3://bucket/pool/00000.tar.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def as_posix(self) -> str:
        """Return the address, as a path returns itself."""
        return self.url

    @property
    def protocol(self) -> str:
        """What stands before `://`."""
        return self.url.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rpartition("/")[2]


Place = Path | Address


def is_address(name: str) -> bool:
    """Return whether a name is an address, as in manifests; a path has no `//` in it."""
    return "://" in name


def place_named(name: str) -> Place:
    """Return the file or object of a name."""
    return Address(name) if is_address(name) else Path(name)


@dataclass(frozen=True)
class Known:
    """An object as it was when it was looked at.

    Attributes:
        address: where it lies.
        size: bytes.
        mark: what changes with its content: its etag, or what its store has in the place of one; empty where there is nothing.
    """

    address: Address
    size: int
    mark: str
