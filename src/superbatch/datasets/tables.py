"""Tables that the stages leave, as pandas frames: manifests, ledgers, picks, results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from superbatch.datasets.reading import ReadOnlyDataset

if TYPE_CHECKING:
    import pandas as pd


class TableDataset(ReadOnlyDataset["pd.DataFrame"]):
    """A Parquet file as a pandas frame; the index counts its rows, and so is a manifest's row number.

    Examples:
        Using the YAML API:

        ```yaml
        "{run}.ledger":
          type: superbatch.datasets.TableDataset
          filepath: data/07_model_output/{run}/training/ledger.parquet
          name: "{run}"
        ```

        Using the Python API:

        >>> from superbatch.datasets import TableDataset
        >>> path = "data/07_model_output/jest/training/ledger.parquet"
        >>> TableDataset(filepath=path, name="jest", columns=["step", "loss"]).load().columns.tolist()
        ['step', 'loss']
    """

    def __init__(
        self,
        *,
        filepath: str,
        name: str = "",
        stage: str = "",
        columns: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Creates a new instance of `TableDataset`.

        Args:
            filepath: the Parquet file.
            name, stage, metadata: as of `ReadOnlyDataset`.
            columns: which ones to read, all by default.
        """
        super().__init__(filepath=filepath, name=name, stage=stage, metadata=metadata)
        self._columns = columns

    def read(self, path: Path) -> pd.DataFrame:
        """Return the frame."""
        import pyarrow.parquet as pq

        return pq.read_table(path, columns=self._columns).to_pandas()


class ResultsDataset(ReadOnlyDataset["pd.DataFrame"]):
    """A run's measured metrics, as a pandas frame of set, split, metric, value, low and high (95 %, where there is an interval).

    Examples:
        Using the YAML API:

        ```yaml
        "{run}.results":
          type: superbatch.datasets.ResultsDataset
          filepath: data/07_model_output/{run}/evaluation
          name: "{run}"
        ```

        Using the Python API:

        >>> from superbatch.datasets import ResultsDataset
        >>> frame = ResultsDataset(filepath="data/07_model_output/jest/evaluation", name="jest").load()
        >>> frame.loc[frame["metric"] == "top1", "value"].item()
        0.41
    """

    def read(self, path: Path) -> pd.DataFrame:
        """Return the frame, one row a metric."""
        import pandas as pd

        from superbatch.files import read_json

        results = [read_json(file) for file in sorted(path.glob("*.json"))]
        rows = [row for result in results for row in metric_rows(result)]
        return pd.DataFrame(rows, columns=["set", "split", "metric", "value", "low", "high"])


def metric_rows(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the metrics of one evaluation set's result, each with its interval."""
    intervals = result.get("confidence") or {}
    about = result["set"], result["split"]
    return [(*about, name, value, *intervals.get(name, (None, None))) for name, value in result["metrics"].items()]
