"""What people load from the catalog: frames, embeddings and models, and one line where there is nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner

from superbatch.datasets import EmbeddingsDataset, ModelDataset, ResultsDataset, TableDataset
from superbatch.datasets.reading import listed, maker, siblings
from superbatch.models import build_model, save_checkpoint
from superbatch.options import ModelSettings
from tests.project import PROJECT

RUNS, SETS = "data/07_model_output", "data/02_intermediate"
PICKS = pd.DataFrame({"step": [0, 0, 1], "row": [1, 0, 1], "score": [0.5, 0.1, 0.4], "chosen": [True, False, True]})
MANIFEST = pd.DataFrame({"key": ["a", "b"], "captions": [["a red star"], ["a blue star", "a star"]]})
RESULT = {
    "set": "shapes",
    "split": "test",
    "metrics": {"top1": 0.25, "mean_per_class": 0.2},
    "confidence": {"top1": [0.1, 0.4]},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What two small runs and a set left."""
    monkeypatch.chdir(tmp_path)
    for run in ("jest", "uniform"):
        (tmp_path / RUNS / run / "training").mkdir(parents=True)
        PICKS.to_parquet(tmp_path / RUNS / run / "training" / "picks.parquet")
    (tmp_path / SETS / "pool").mkdir(parents=True)
    MANIFEST.to_parquet(tmp_path / SETS / "pool" / "manifest.parquet")
    (tmp_path / RUNS / "jest" / "evaluation").mkdir()
    (tmp_path / RUNS / "jest" / "evaluation" / "shapes.json").write_text(json.dumps(RESULT))
    yield tmp_path


def picks_of(run: str, **options: Any) -> TableDataset:
    return TableDataset(filepath=f"{RUNS}/{run}/training/picks.parquet", name=run, **options)


def test_a_table_is_a_frame_of_the_columns_asked_for(folder: Path) -> None:
    pd.testing.assert_frame_equal(picks_of("jest").load(), PICKS)
    assert list(picks_of("jest", columns=["row"]).load().columns) == ["row"]
    assert picks_of("jest").exists() and not picks_of("jset").exists()


def test_results_are_a_row_a_metric_with_its_interval(folder: Path) -> None:
    frame = ResultsDataset(filepath=f"{RUNS}/jest/evaluation", name="jest").load()
    assert frame.iloc[0].to_dict() == {
        "set": "shapes", "split": "test", "metric": "top1", "value": 0.25, "low": 0.1, "high": 0.4,
    }  # fmt: skip
    assert frame["low"].isna().tolist() == [False, True]


def test_a_model_is_in_evaluation_mode_with_its_tokenizer(folder: Path) -> None:
    clip = build_model(
        ModelSettings(config=str(PROJECT / "conf" / "models" / "tiny.json")), loss="sigmoid", batch_size=8, seed=0
    )
    save_checkpoint(folder / "data" / "06_models" / "jest", clip, {})
    loaded = ModelDataset(filepath="data/06_models/jest", name="jest").load()
    assert not loaded.model.training
    assert loaded.tokenizer()(["a star"]).shape == (1, loaded.context_length)


@pytest.mark.parametrize(
    ("dataset", "line"),
    [
        (
            picks_of("jset"),
            f"{RUNS}/jset/training/picks.parquet: not there yet; run `kedro run --pipelines=jset` (there are: jest, uniform)",
        ),
        (
            TableDataset(filepath=f"{SETS}/curated/manifest.parquet", name="curated", stage="ingest"),
            f"{SETS}/curated/manifest.parquet: not there yet; run `kedro run --pipelines=ingest` (there are: pool)",
        ),
        (
            ModelDataset(filepath="data/06_models/jest", name="jest"),
            "data/06_models/jest: not there yet; run `kedro run --pipelines=jest`",
        ),
        (
            EmbeddingsDataset(filepath="data/04_feature/pool/embeddings.arrow"),
            "data/04_feature/pool/embeddings.arrow: not there yet; run the stage that writes it",
        ),
    ],
)
def test_what_is_missing_is_one_line_with_the_command_and_what_there_is(folder: Path, dataset: Any, line: str) -> None:
    with pytest.raises(DatasetError, match=f"^{re.escape(line)}$"):
        dataset.load()


def test_what_can_not_be_read_is_one_line(folder: Path) -> None:
    (folder / SETS / "pool" / "manifest.parquet").write_text("no table")
    (folder / "data" / "06_models" / "jest").mkdir(parents=True)
    broken = [
        TableDataset(filepath=f"{SETS}/pool/manifest.parquet", name="pool", stage="ingest"),
        ModelDataset(filepath="data/06_models/jest", name="jest"),
        EmbeddingsDataset(filepath=f"{SETS}/pool/manifest.parquet", name="pool", stage="embed"),
        picks_of("jest", columns=["rows"]),
    ]
    for dataset in broken:
        with pytest.raises(DatasetError) as caught:
            dataset.load()
        assert "\n" not in str(caught.value) and str(caught.value).startswith("data/"), caught.value


def test_nothing_is_ever_written(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"picks\.parquet: read only; run `kedro run --pipelines=jest`, which"):
        picks_of("jest").save(PICKS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("run", "pipeline"),
    [
        ("jest", "jest"),
        ("reference", "reference"),
        ("reference_pp", "bootstrap"),
        ("reference_large", "references"),
        ("jest-f0.8-T20-s0", "compare --namespaces=jest-f0.8-T20-s0"),
        ("my-label-T20-s1", "compare --namespaces=my-label-T20-s1"),
    ],
)
def test_a_run_s_maker_goes_by_its_name(run: str, pipeline: str) -> None:
    assert maker(run) == pipeline


def test_the_name_is_looked_for_from_the_end_of_the_path(tmp_path: Path) -> None:
    for run in ("jest", "uniform", ".jest.tmp"):
        (tmp_path / "jest" / "runs" / run).mkdir(parents=True)
    assert siblings(tmp_path / "jest" / "runs" / "jest", "jest") == ["jest", "uniform"]
    assert siblings(tmp_path / "nowhere" / "jest", "jest") == siblings(tmp_path, "") == []
    assert listed([str(number) for number in range(14)]).endswith("10, 11 and 2 more")


# Other projects


def their_catalog(here: Path) -> DataCatalog:
    """The catalog that docs/library.md shows for another project."""
    page = (PROJECT / "docs" / "library.md").read_text()
    (shown,) = re.findall(r"```yml\n(.*?)```", page, re.DOTALL)
    return DataCatalog.from_config(yaml.safe_load(shown.replace("/home/me/superbatch", str(here))))


def captions_worth_a_step(picks: pd.DataFrame, manifest: pd.DataFrame) -> list[str]:
    rows = picks.loc[picks["chosen"], "row"].unique()
    return [captions[0] for captions in manifest.loc[rows, "captions"]]


def test_a_node_of_another_project_takes_them_as_inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    theirs = pipeline([node(captions_worth_a_step, ["jest.picks", "pool.manifest"], "captions")])
    outputs = SequentialRunner().run(theirs, their_catalog(folder))
    assert outputs["captions"].load() == ["a blue star"]


def test_another_project_s_messages_name_what_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    with pytest.raises(DatasetError, match=r"^filtered\.picks: .*\(there are: jest, uniform\)$"):
        their_catalog(folder).load("filtered.picks")
