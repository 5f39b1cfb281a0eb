"""Base of the read-only data sets: a one-line error if there is nothing yet, and no saving."""

from __future__ import annotations

import re
from abc import abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io import AbstractDataset, DatasetError

from superbatch.errors import UserError
from superbatch.files import shown
from superbatch.options import FURTHER, SECOND

Content = TypeVar("Content")
GRID = re.compile(r".+-T\d+-s\d+")  # what `compare` calls its runs
MOST = 12  # names that a message lists


class ReadOnlyDataset(AbstractDataset[None, Content], Generic[Content]):
    """The output of a stage, for people and for nodes of other projects; read-only.

    Args:
        filepath: the file or directory.
        name: of the run or set, as it stands in `filepath`; a message says which others there are.
        stage: the pipeline that writes it, named in the message where it is missing; by default the one that makes a run of this name.
        metadata: arbitrary metadata, for plugins such as Kedro-Viz.
    """

    def __init__(
        self, *, filepath: str, name: str = "", stage: str = "", metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath).expanduser()
        self._name = name
        self._stage = stage or maker(name)
        self.metadata = metadata

    @abstractmethod
    def read(self, path: Path) -> Content:
        """Return the content of a path that is there."""

    def load(self) -> Content:
        """Read it.

        Raises:
            DatasetError: it is not there, or can't be read; in one line, with the command that makes it.
        """
        if not self._exists():
            raise DatasetError(f"{shown(self._filepath)}: not there yet; {self._command()}{self._others()}")
        try:
            return self.read(self._filepath)
        except UserError as error:
            raise DatasetError(str(error)) from None
        except (OSError, ValueError) as error:  # pyarrow's own errors derive from these two
            why = " ".join(str(error).split())
            raise DatasetError(f"{shown(self._filepath)}: can't be read ({why}); {self._command()} again") from None

    def save(self, data: None) -> None:
        """Refuse.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{shown(self._filepath)}: read only; {self._command()}, which writes it")

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(shown(self._filepath)), "name": self._name, "stage": self._stage}

    def _command(self) -> str:
        return f"run `kedro run --pipelines={self._stage}`" if self._stage else "run the stage that writes it"

    def _others(self) -> str:
        """Those that are there, in brackets."""
        names = siblings(self._filepath, self._name)
        return f" (there are: {listed(names)})" if names else ""


def maker(run: str) -> str:
    """Return the pipeline that makes a run: its method's chain, the stage of a reference, or `compare` for one of the grid's."""
    if GRID.fullmatch(run):
        return f"compare --namespaces={run}"
    if run == SECOND:
        return "bootstrap"
    return "references" if run.startswith(FURTHER) else run


def siblings(path: Path, name: str) -> list[str]:
    """List the names that could stand in for `name` in the path, in alphabetical order."""
    if not name or name not in path.parts:
        return []
    place = len(path.parts) - 1 - path.parts[::-1].index(name)
    above, below = Path(*path.parts[:place]), Path(*path.parts[place + 1 :])
    folders = above.glob("*/") if above.is_dir() else ()
    return sorted(folder.name for folder in folders if folder.name[0] != "." and (folder / below).exists())


def listed(names: list[str]) -> str:
    """Return names as a message lists them: the first ones, and how many there are beyond."""
    rest = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {rest} more" if rest > 0 else "")
