from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic

from superbatch.errors import UserError
from superbatch.reporting.purity import UNKNOWN, kinds_of_rows, purity, repeats, totals

KINDS = np.array(["clean", "mismatched", "clean", "garbled"], dtype=object)


def picks(entries: list[tuple[int, int, bool]]) -> pd.DataFrame:
    """Picks from (step, row, chosen)."""
    step, row, chosen = zip(*entries, strict=True)
    return pd.DataFrame({"step": step, "row": row, "score": 0.0, "chosen": chosen})


def shares(frame: pd.DataFrame, column: str) -> dict[tuple[float, str], float]:
    return dict(zip(zip(frame["step"], frame["kind"], strict=True), frame[column], strict=True))


def test_by_hand() -> None:
    # b = 2 of B = 4. Step 0 takes a clean and a mismatched row, passes a garbled one over; step 1 takes two clean ones.
    table = picks([(0, 0, True), (0, 1, True), (0, 3, False), (1, 0, True), (1, 2, True), (1, 1, False)])
    frame = purity(table, KINDS, looked_at=lambda steps: np.full(len(steps), 4), bins=2)
    picked, whole = shares(frame, "picked"), shares(frame, "super_batch")
    assert picked == {
        (0, "clean"): 0.5,
        (0, "mismatched"): 0.5,
        (0, "garbled"): 0,
        (1, "clean"): 1,
        (1, "mismatched"): 0,
        (1, "garbled"): 0,
    }
    # The two passed over are all stood for by the one recorded: half the weight each.
    assert whole == {
        (0, "clean"): 0.25,
        (0, "mismatched"): 0.25,
        (0, "garbled"): 0.5,
        (1, "clean"): 0.5,
        (1, "mismatched"): 0.5,
        (1, "garbled"): 0,
    }
    assert list(frame["n"]) == [2] * 6


def test_pool_stands_in_where_nothing_passed_over_was_kept() -> None:
    frame = purity(picks([(0, 0, True), (0, 1, True)]), KINDS, looked_at=lambda steps: np.full(len(steps), 2))
    assert shares(frame, "super_batch") == {(0, "clean"): 0.5, (0, "mismatched"): 0.25, (0, "garbled"): 0.25}
    assert purity(picks([(0, 0, True)])[:0], KINDS).empty


def test_totals_and_lift_by_hand() -> None:
    frame = totals(picks([(0, 0, True), (0, 2, True), (1, 0, True), (1, 1, True), (1, 3, False)]), KINDS).set_index(
        "kind"
    )
    assert list(frame["picked"]) == [0.75, 0.25, 0]
    assert list(frame["pool"]) == [0.5, 0.25, 0.25]
    assert list(frame["lift"]) == [1.5, 1, 0]


def test_repeats_by_hand() -> None:
    table = picks([(0, 0, True), (0, 1, True), (1, 0, True), (1, 2, True), (2, 0, True), (2, 1, True), (2, 3, False)])
    assert list(repeats(table, bins=3)["again"]) == [0, 0.5, 1]
    assert repeats(table[:0]).empty


def test_truth_is_joined_by_key(tmp_path: Path) -> None:
    manifest, truth = synthetic.write_set(tmp_path, rows=50)
    kinds = kinds_of_rows(truth, manifest)
    captions = pd.read_parquet(manifest / "manifest.parquet")["captions"]
    assert all(str(kind) in text[0] for kind, text in zip(kinds, captions, strict=True))
    pd.read_parquet(truth)[:40].to_parquet(truth)
    assert (kinds_of_rows(truth, manifest) == UNKNOWN).sum() == 10


def test_foreign_or_missing_truth_is_named(tmp_path: Path) -> None:
    manifest, truth = synthetic.write_set(tmp_path, rows=20)
    with pytest.raises(UserError, match="no such file"):
        kinds_of_rows(tmp_path / "none.parquet", manifest)
    pd.DataFrame({"key": ["x"], "kind": ["clean"]}).to_parquet(truth)
    with pytest.raises(UserError, match="shares no key"):
        kinds_of_rows(truth, manifest)
    pd.DataFrame({"other": ["x"]}).to_parquet(truth)
    with pytest.raises(UserError, match="no readable columns"):
        kinds_of_rows(truth, manifest)
