"""Lays out a project: this repository's own conf, and a few files of its own.

`conf` beside this file is a link to the repository's folder, which a wheel has as files: there is one conf, in two places.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from superbatch.checks import check_path
from superbatch.errors import UserError

HERE = Path(__file__).parent
CONF = (
    "base/*.yml",
    "quick/*.yml",
    "models/*.json",
    "logging.yml",
)  # what a project takes over of the repository's conf
# Its own files, in `project` here -> their place there.
FILES = {
    "pyproject.toml": "pyproject.toml",
    "Makefile": "Makefile",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "telemetry": ".telemetry",
    "mydata/globals.yml": "conf/mydata/globals.yml",
    "mydata/parameters.yml": "conf/mydata/parameters.yml",
}
EMPTY = ("conf/local", "data", "src")  # Kedro wants src: modules of one's own can be imported from there
NAME = re.compile(r"\w[\w .-]*")


def make_project(folder: Path, name: str | None = None) -> list[Path]:
    """Make a project in a new or empty folder; returns its files, in order.

    Args:
        folder: where. name: of the project; None: the folder's.

    Raises:
        UserError: a path that Kedro takes for a pattern; the folder is not empty or no folder, or can't be written to; a name of odd characters.
    """
    check_path(folder)
    title = folder.resolve().name if name is None else name
    if not NAME.fullmatch(title):
        raise UserError(
            "--name", f"{title!r} is not a name for a project", "use letters, digits, spaces, dots and dashes"
        )
    _require_empty(folder)
    words = {"name": title, "kedro": version("kedro")}
    try:
        return sorted(_write(folder / place, text) for place, text in _files(words).items())
    except OSError as error:
        raise UserError(str(folder), f"can't be written to ({error.strerror})", "name another folder") from None


def _files(words: dict[str, str]) -> dict[str, str]:
    """Return the text of every file by its place in the project.

    Args:
        words: what stands in the place of `{{<key>}}`.
    """
    taken = [file for pattern in CONF for file in sorted((HERE / "conf").glob(pattern))]
    files = {f"conf/{file.relative_to(HERE / 'conf')}": file.read_text() for file in taken}
    for source, place in FILES.items():
        text = (HERE / "project" / source).read_text()
        files[place] = re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], text)
    return files | {f"{place}/.gitkeep": "" for place in EMPTY}


def _require_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(str(folder), "is a file", "name a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(str(folder), "is not empty", "name a new folder; nothing was written")


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file
