"""Files of the report, written beside their place and renamed: what stands there may be a link into DVC's cache.

Kedro's own data sets write into the file that is there. Where DVC links instead of copying (`cache.type` hardlink or symlink), that
file is the cache's, and every commit that knows it would get other bytes. In an object store an object is new whole or not at all, so there
nothing is written aside.
"""

from __future__ import annotations

import copy
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import DatasetError
from kedro_datasets.json import JSONDataset as KedroJSON
from kedro_datasets.text import TextDataset as KedroText

from superbatch.artifacts.atomic import atomic_path
from superbatch.errors import UserError
from superbatch.files import shown
from superbatch.stores.asking import ask

HERE = ("file", "local", "")


class Aside:
    """Mixed in before a data set of one file, makes it write a new file and rename that into place, or try again where a store fails."""

    _filepath: PurePosixPath
    _protocol: str

    def save(self, data: Any) -> None:
        """Save the data under another name, then give it its own.

        Raises:
            DatasetError: it can't be written; in one line where a store can't.
        """
        if self._protocol not in HERE:
            return self._save_afar(data)
        with atomic_path(Path(self._filepath)) as temporary:
            other = copy.copy(self)
            other._filepath = PurePosixPath(temporary)
            super(Aside, other).save(data)  # type: ignore[misc]

    def _save_afar(self, data: Any) -> None:
        def question(*_: Any) -> None:
            try:
                super(Aside, self).save(data)  # type: ignore[misc]
            except DatasetError as error:
                raise error.__cause__ or error from None

        try:
            ask(written_to(self), question)
        except UserError as error:
            raise DatasetError(str(error)) from None


def written_to(dataset: Any) -> str:
    """Return where a data set of one file lies, as a user would write it: a path, or an address."""
    protocol = getattr(dataset, "_protocol", "file")
    return str(shown(Path(dataset._filepath))) if protocol in HERE else f"{protocol}://{dataset._filepath}"


class JSONDataset(Aside, KedroJSON):
    """Kedro's JSONDataset, written aside."""


class TextDataset(Aside, KedroText):
    """Kedro's TextDataset, written aside."""
