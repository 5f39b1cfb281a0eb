"""Files of the report, written beside their place and renamed: what stands there may be a link into DVC's cache.

Kedro's own data sets write into the file that is there. Where DVC links instead of copying (`cache.type` hardlink or symlink), that
file is the cache's, and every commit that knows it would get other bytes.
"""

from __future__ import annotations

import copy
from pathlib import Path, PurePosixPath
from typing import Any

from kedro_datasets.json import JSONDataset as KedroJSON
from kedro_datasets.text import TextDataset as KedroText

from superbatch.artifacts.atomic import atomic_path


class Aside:
    """Mixed in before a data set of one local file, makes it write a new file and rename that into place."""

    _filepath: PurePosixPath

    def save(self, data: Any) -> None:
        """Save the data under another name, then give it its own."""
        with atomic_path(Path(self._filepath)) as temporary:
            other = copy.copy(self)
            other._filepath = PurePosixPath(temporary)
            super(Aside, other).save(data)  # type: ignore[misc]


class JSONDataset(Aside, KedroJSON):
    """Kedro's JSONDataset, written aside."""


class TextDataset(Aside, KedroText):
    """Kedro's TextDataset, written aside."""
