"""The node of `evaluate`: sets that are not whole are refused before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from superbatch import models
from superbatch.artifacts.stamps import write_stamp
from superbatch.errors import UserError
from superbatch.pipelines.evaluate.nodes import evaluate_model


def test_sets_of_which_files_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "read_metadata", lambda _: {"weights_sha256": "0"})
    (tmp_path / "sets.json").write_text("{}")
    write_stamp(tmp_path, "one")
    (tmp_path / "sets.json").unlink()
    with pytest.raises(UserError, match=r"files are missing or cut; run `kedro run --pipelines=ingest` again"):
        evaluate_model("jest", tmp_path / "model", tmp_path, {}, {})
