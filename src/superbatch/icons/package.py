"""Where the icon sets come from: the pinned npm package, a .tgz of it, or a folder."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import atomic_directory
from superbatch.artifacts.fingerprints import file_digests, fingerprint
from superbatch.errors import UserError
from superbatch.icons.sets import IconSet, icon_set
from superbatch.progress import progress

log = logging.getLogger(__name__)
SETTING = "icons.package"
FOLDERS = ("package/json", "json")  # as npm packs it, and as npm installs it


def is_npm(package: str) -> bool:
    """Whether a package is named as npm does (`@iconify/json@2.2.535`), not as a file or folder."""
    return not package.endswith((".tgz", ".tar.gz")) and "@" in package[1:] and not Path(package).exists()


def package_digest(package: str, pinned: str) -> str:
    """Name the content of a package: what npm publishes under a version never changes, so nothing is fetched for it.

    Args:
        package: `icons.package`.
        pinned: `icons.digest`: npm's `integrity` of that version; empty: any, and its name stands for it.

    Raises:
        UserError: no such file or folder.
    """
    if is_npm(package):
        return pinned or package
    path = Path(package).expanduser()
    if path.is_file():
        return _integrity(path)
    return fingerprint(file_digests(_json_folder(path)))


def fetch_package(package: str, pinned: str, keep: Path) -> Path:
    """Return the .tgz or folder of a package, fetched by `npm pack` where it is named as npm does.

    Args:
        package, pinned: as for `package_digest`.
        keep: folder that a fetched package stays in, for other settings.

    Raises:
        UserError: no npm, npm fails, or the package is not the pinned one.
    """
    if not is_npm(package):
        return Path(package).expanduser()
    place = keep / fingerprint([package, pinned])
    if not place.is_dir():
        with atomic_directory(place) as directory:
            _npm_pack(package, directory)
            _check_integrity(package, next(directory.glob("*.tgz")), pinned)
    return next(place.glob("*.tgz"))


def read_sets(path: Path) -> list[IconSet]:
    """Read all icon sets of a package, by name.

    Args:
        path: a .tgz, or a folder.

    Raises:
        UserError: not a package, or a file in it is no icon set.
    """
    contents = progress(
        _contents_of_tar(path) if path.is_file() else _contents_of_folder(path),
        description="icons: reading",
        unit="set",
    )
    sets = [icon_set(name, _json(name, data)) for name, data in contents]
    if not sets:
        raise UserError(
            str(path), "has no icon sets (package/json/*.json)", f"name the package @iconify/json in {SETTING}"
        )
    return sorted(sets, key=lambda one: one.name)


def _npm_pack(package: str, directory: Path) -> None:
    npm = shutil.which("npm")
    remedy = f"install Node.js, or run `npm pack {package}` elsewhere and name the .tgz in {SETTING}"
    if npm is None:
        raise UserError(SETTING, f"npm, which fetches {package}, was not found", remedy)
    log.info("icons: fetching %s with npm", package)
    command = [npm, "pack", package, "--silent", "--pack-destination", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not list(directory.glob("*.tgz")):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserError(SETTING, f"`npm pack {package}` failed: {lines[0] if lines else done.returncode}", remedy)


def _check_integrity(package: str, path: Path, pinned: str) -> None:
    found = _integrity(path)
    if pinned and found != pinned:
        remedy = "correct icons.digest if another version is meant"
        raise UserError("icons.digest", f"npm's {package} is {found}, not {pinned}", remedy)


def _integrity(path: Path) -> str:
    """Return a file's digest as npm writes it."""
    with open(path, "rb") as stream:
        return "sha512-" + base64.b64encode(hashlib.file_digest(stream, "sha512").digest()).decode()


def _contents_of_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                if folder in FOLDERS and name.endswith(".json") and member.isfile():
                    stream = tar.extractfile(member)
                    assert stream is not None
                    yield name.removesuffix(".json"), stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(str(path), f"is not a readable package ({error})", "fetch it again") from None


def _contents_of_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(_json_folder(path).glob("*.json")):
        yield file.stem, file.read_bytes()


def _json_folder(path: Path) -> Path:
    if not path.is_dir():
        remedy = f"name a folder, a .tgz, or a package as npm does (@iconify/json@2.2.535) in {SETTING}"
        raise UserError(str(path), "no such file or folder", remedy)
    return next((path / name for name in FOLDERS if (path / name).is_dir()), path)


def _json(name: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(
            f"{name}.json", f"is not valid JSON ({error})", f"fetch the package again, or correct {SETTING}"
        ) from None
