"""A model with a low view is measured there too, for the record: nothing else changes, and no headline counts it."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.stamps import write_stamp
from superbatch.evaluation import EvaluationSet, Evaluator, store
from superbatch.models import ClipModel, save_checkpoint
from superbatch.models.flexible import at_low
from superbatch.options import LowSettings
from superbatch.pipelines.evaluate.nodes import evaluate_model
from superbatch.reporting.runs import Run


@pytest.mark.parametrize("low", [{"patch_size": 16}, {"image_size": 8}, {"patch_drop": 0.5}, {}])
def test_the_stage_measures_the_low_view_that_a_checkpoint_names(
    low: dict[str, float],
    both_sets: list[EvaluationSet],
    tiny: ClipModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "load_evaluation_sets", lambda *_: both_sets)
    (tmp_path / "sets").mkdir()
    write_stamp(tmp_path / "sets", "one")
    storage = {"state": str(tmp_path / "state"), "stages": str(tmp_path / "stages")}
    run = Run(tmp_path / "run")
    save_checkpoint(tmp_path / "model", tiny, {"low": low} if low else {})
    found = evaluate_model("flexi", tmp_path / "model", tmp_path / "sets", {}, storage)
    (tmp_path / "run").mkdir()
    found.path.rename(run.path / "evaluation")
    write_json(run.path / "training" / "run.json", {"run": "flexi"})
    full = Evaluator.for_model(both_sets, tiny, "cpu").evaluate(tiny.model, "test")["metrics"]
    assert run.test == pytest.approx(full), "at full view, the headline too"
    if "patch_drop" in low or not low:
        assert run.test_low == {} and "low" not in json.loads((run.path / "evaluation" / "colours.json").read_text())
        return
    smaller = at_low(replace(tiny, model=deepcopy(tiny.model)), LowSettings(**low))
    expected = Evaluator.for_model(both_sets, smaller, "cpu").evaluate(smaller.model, "test")["metrics"]
    assert run.test_low == pytest.approx(
        {f"low/{name}": value for name, value in expected.items() if name != "headline"}
    )
    assert set(run.test).isdisjoint(run.test_low)
