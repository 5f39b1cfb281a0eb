"""What Kedro-Viz shows: layers in order, readable names, and previews of the report's figures and tables."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from matplotlib.figure import Figure

from superbatch.pipelines.report.pipeline import OUTPUTS
from tests.project import PROJECT, command, copy_project

TEXTS = {"summary", "page"}  # Kedro-Viz has no preview of these
LAYERS = ["raw", "intermediate", "reference", "feature", "models", "model_output", "reporting"]


def test_every_figure_table_and_metric_of_the_report_can_be_previewed() -> None:
    loader = OmegaConfigLoader(str(PROJECT / "conf"), base_env="base", default_run_env="base")
    catalog = DataCatalog.from_config(loader["catalog"])
    without = {name for name in OUTPUTS if not hasattr(catalog.get(f"report.{name}"), "preview")}
    assert without == TEXTS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small report's files, and the pages that `kedro viz build` makes beside them, without a network."""
    project = copy_project(tmp_path_factory.mktemp("viz"))
    folder = project / "data" / "08_reporting"
    folder.mkdir()
    for name in OUTPUTS:
        if name.startswith("accuracy") or name == "purity":
            Figure(figsize=(1, 1)).savefig(folder / f"{name}.png")
    (folder / "table.csv").write_text("method,value\njest,0.5\n")
    (folder / "metrics.json").write_text('{"final": 0.5}')
    done = command(project, "kedro", "viz", "build", "--include-previews")
    assert "Cannot find parameter" not in done.stdout + done.stderr  # `params:command` exists only while a command runs
    return project / "build" / "api"


@pytest.mark.slow
def test_the_built_pages_have_layers_names_and_previews(site: Path) -> None:
    main = json.loads((site / "main").read_text())
    assert main["layers"] == LAYERS
    tasks = {node["name"] for node in main["nodes"] if node["type"] == "task"}
    assert {"render_simweb", "ingest_pool", "embed_pool", "check", "train", "evaluate", "report"} == tasks - {
        "ingest_curated",
        "ingest_evaluation",
        "embed_curated",
        "check_reference",
    }
    previews = {name: preview for name, preview in shown(site, main) if preview}
    unseen = {*TEXTS, "plot_loss", "plot_validation"}  # the tables of `dvc plots`
    assert set(previews) == {f"report.{name}" for name in OUTPUTS if name not in unseen}
    assert base64.b64decode(previews["report.purity"]).startswith(b"\x89PNG")
    assert previews["report.table"]["data"] == [["jest", 0.5]]
    assert json.loads(previews["report.metrics"]) == {"final": 0.5}


def shown(site: Path, main: dict[str, Any]) -> list[tuple[str, Any]]:
    nodes = [node for node in main["nodes"] if node["type"] == "data"]
    return [(node["name"], json.loads((site / "nodes" / node["id"]).read_text()).get("preview")) for node in nodes]
