"""A directory as a Kedro data set: saved by renaming, loaded as a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from superbatch.artifacts.stamps import Staged, fault, publish
from superbatch.errors import UserError
from superbatch.files import shown


class DirectoryDataset(AbstractDataset[Staged, Path]):
    """A directory that a stage built: a checkpoint, a manifest, an embedding cache, a run's records.

    With an `address` a copy goes there too, and on a machine that has none it is fetched from there.

    Saving renames a finished directory (`Staged`) to its place, so that nothing half-written is ever seen there; saving one that
    stands there already does nothing. Loading returns the path and reads nothing: what is inside is opened by those who need it, as
    far as they need it.

    Examples:
        Using the YAML API:

        ```yaml
        "{namespace}.model":
          type: superbatch.datasets.DirectoryDataset
          filepath: data/06_models/{namespace}
          stage: learner
        ```

        Using the Python API:

        >>> from superbatch.datasets import DirectoryDataset
        >>> from superbatch.artifacts.stamps import build_once
        >>> staged = build_once("notes", "0123456789abcdef", tmp_path / "stages", lambda d: (d / "a.txt").write_text("hello") and None)
        >>> dataset = DirectoryDataset(filepath=str(tmp_path / "notes"), stage="learner")
        >>> dataset.save(staged)
        >>> (dataset.load() / "a.txt").read_text()
        'hello'
    """

    def __init__(
        self, *, filepath: str, stage: str = "", address: str = "", metadata: dict[str, Any] | None = None
    ) -> None:
        """Creates a new instance of `DirectoryDataset`.

        Args:
            filepath: the directory, on this machine.
            stage: the pipeline that writes it, named in the message when it is missing.
            address: where a copy goes (`s3://bucket/models/jest`), and where it is fetched from if it is not on this machine.
            metadata: arbitrary metadata, for plugins such as Kedro-Viz.
        """
        self._filepath = Path(filepath)
        self._stage = stage
        self._address = address.rstrip("/")
        self.metadata = metadata

    def load(self) -> Path:
        """Return the directory's path, once it is on this machine.

        Raises:
            DatasetError: it is not there, or a file of it is missing or cut; the line names the stage to run. A store that can't be read.
        """
        if self._address and not self._is_here():
            self._fetch()
        found = fault(self._filepath)
        if found is not None:
            remedy = f"; run `kedro run --pipelines={self._stage}` first" if self._stage else ""
            raise DatasetError(f"{shown(found[0])}: {found[1]}{remedy}")
        return self._filepath

    def save(self, data: Staged) -> None:
        """Put a finished directory at its place, whole.

        Raises:
            DatasetError: anything but a `Staged`.
        """
        if not isinstance(data, Staged):
            raise DatasetError(
                f"{self._shown()}: a node must return what `build_once` returns, not {type(data).__name__}"
            )
        publish(data, self._filepath)
        if self._address and not data.elsewhere:
            self._send()

    def _is_here(self) -> bool:
        return fault(self._filepath) is None

    def _exists(self) -> bool:
        from superbatch.stores.directories import has_directory

        return self._is_here() or bool(self._address and has_directory(self._address))

    def _send(self) -> None:
        from superbatch.stores.directories import send_directory

        try:
            send_directory(self._filepath, self._address)
        except UserError as error:
            raise DatasetError(f"{error} ({self._shown()} is finished, and on this machine)") from None

    def _fetch(self) -> None:
        from superbatch.stores.directories import bring_directory, has_directory

        try:
            if has_directory(self._address):
                bring_directory(self._address, self._filepath)
        except UserError as error:
            raise DatasetError(str(error)) from None

    def _describe(self) -> dict[str, Any]:
        about = {"filepath": self._shown(), "stage": self._stage}
        return about | {"address": self._address} if self._address else about

    def _shown(self) -> str:
        """The path as a user would write it: relative where that is shorter."""
        return str(shown(self._filepath))


class RunDirectoryDataset(AbstractDataset[None, Path]):
    """A run's directory, found by the `training/run.json` in it: what a PartitionedDataset over all runs is made of. Read only.

    Examples:
        Using the YAML API:

        ```yaml
        runs:
          type: partitions.PartitionedDataset
          path: data/07_model_output
          filename_suffix: /training/run.json
          dataset: superbatch.datasets.RunDirectoryDataset
        ```

        Using the Python API:

        >>> from superbatch.datasets import RunDirectoryDataset
        >>> RunDirectoryDataset(filepath="data/07_model_output/jest/training/run.json").load().name
        'jest'
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Creates a new instance of `RunDirectoryDataset`.

        Args:
            filepath: of the run's training/run.json.
            metadata: arbitrary metadata.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the run's directory."""
        return self._filepath.parent.parent

    def save(self, data: None) -> None:
        """Refuse: runs are written by the learner and evaluate stages."""
        raise DatasetError("runs are written by the learner and evaluate stages")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
