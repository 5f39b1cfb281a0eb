"""Decisions: which rows stay by which rule, against oracles of a few lines, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.config import read
from superbatch.curation.decide import DECISIONS, decide, digest, read_reasons, staying, write_decisions
from superbatch.curation.groups import rank_within
from superbatch.curation.scores import MANIFEST_KEY
from superbatch.curation.uids import UID, write_uids
from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.options import CurateSettings, RuleSettings
from tests.manifests import write_made_up

ROWS = 8
COLUMNS = {
    "reference_cosine": np.array([0.1, 0.9, 0.5, 0.5, -0.2, 0.8, 0.3, 0.7], np.float32),
    "same_file": np.array([0, 1, 1, 3, 4, 4, 6, 4]),
    "evaluation_bits": np.array([3, 0, 64, 1, 9, 9, 9, 9], np.uint8),
    "script": pa.array(["latin", "cjk", "latin", "none", "latin", "cjk", "latin", "latin"]),
}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return write_made_up(tmp_path / "set", range(1, ROWS + 1), "pool")


@pytest.fixture
def scores(manifest: Manifest) -> pa.Table:
    return pa.table(COLUMNS).replace_schema_metadata({MANIFEST_KEY: manifest.fingerprint})


def rule(**settings: Any) -> RuleSettings:
    return RuleSettings(**{"name": "one"} | settings)


@pytest.mark.parametrize(
    ("settings", "stay"),
    [
        ({"column": "reference_cosine", "at_least": 0.5}, [1, 2, 3, 5, 7]),
        ({"column": "reference_cosine", "at_least": 0.2, "at_most": 0.7}, [2, 3, 6, 7]),
        ({"column": "evaluation_bits", "at_least": 2}, [0, 2, 4, 5, 6, 7]),
        ({"column": "script", "among": ("latin", "none")}, [0, 2, 3, 4, 6, 7]),
        ({"column": "reference_cosine", "best_share": 0.5}, [1, 2, 5, 7]),
        ({"column": "evaluation_bits", "best_share": 0.125}, [2]),
        ({"column": "same_file", "one_of_each": True}, [0, 1, 3, 5, 6]),
        ({"column": "same_file", "one_of_each": True, "by": "evaluation_bits"}, [0, 2, 3, 4, 6]),
        ({"column": "same_file", "cap": 2}, [0, 1, 2, 3, 5, 6, 7]),
    ],
)
def test_what_a_rule_keeps(scores: pa.Table, manifest: Manifest, settings: dict[str, Any], stay: list[int]) -> None:
    assert list(np.flatnonzero(decide(scores, [rule(**settings)], manifest, "here") < 0)) == stay


def test_lists_of_uids_keep_their_rows_or_leave_them_out(tmp_path: Path, scores: pa.Table, manifest: Manifest) -> None:
    """A sample without a uid in its JSON goes by the first half of its checksum: 0 for all of these but the last."""
    source = ['{"uid": "ff"}', '{"uid": "00010000000000000002"}', *[None] * 6]
    own = write_made_up(tmp_path / "own", [*range(1, 8), 5 << 128], "pool", source=source)
    path = tmp_path / "list.npy"
    write_uids(path, np.array([(0, 0xFF), (0, 5), (9, 9)], UID))
    assert list(np.flatnonzero(decide(scores, [rule(uids_in=str(path))], own, "here") < 0)) == [0, 7]
    assert list(np.flatnonzero(decide(scores, [rule(uids_out=str(path))], own, "here") == 0)) == [0, 7]


@given(st.permutations(range(3)), st.integers(0, 2**32 - 1))
def test_a_row_s_reason_is_the_first_rule_that_it_fails_of_what_was_left(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    group, score = rng.integers(0, 4, 12), rng.integers(0, 5, 12).astype(np.float32)
    table = pa.table({"group": group, "reference_cosine": score})
    rules = [
        rule(name="low", column="reference_cosine", at_least=2),
        rule(name="twice", column="group", one_of_each=True),
        rule(name="share", column="reference_cosine", best_share=0.5),
    ]
    left, expected = list(range(12)), np.full(12, -1)
    for number, which in enumerate(order):
        best = sorted(left, key=lambda row: (-score[row], row))
        if which == 0:
            stay = [row for row in left if score[row] >= 2]
        elif which == 1:
            stay = [next(row for row in best if group[row] == one) for one in set(group[left].tolist())]
        else:
            stay = best[: max(1, round(len(left) / 2))]
        expected[[row for row in left if row not in stay]] = number
        left = [row for row in left if row in stay]
        if not left:
            return
    found = decide(table, [rules[which] for which in order], None, "here")  # type: ignore[arg-type]
    assert list(found) == list(expected)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20), st.integers(1, 3), st.booleans()
)
def test_a_cap_keeps_the_same_rows_of_few_values_and_of_many(
    rows: list[tuple[int, int]], cap: int, on_disk: bool
) -> None:
    group, score = (np.array(column) for column in zip(*rows, strict=True))
    table = pa.table({"few": group, "many": group * 1e9, "reference_cosine": score.astype(np.float32)})
    if on_disk:
        stream = pa.BufferOutputStream()
        pq.write_table(table, stream, row_group_size=3)
    found = [
        decide(pq.ParquetFile(stream.getvalue()) if on_disk else table, [rule(column=name, cap=cap)], None, "here")  # type: ignore[arg-type]
        for name in ("few", "many")
    ]
    assert list(found[0]) == list(found[1]) == list(np.where(rank_within(score, group) < cap, -1, 0))


def test_decisions_are_written_and_read_again(tmp_path: Path, scores: pa.Table, manifest: Manifest) -> None:
    decisions = {
        "all": [],
        "some": [rule(name="low", column="reference_cosine", at_least=0.2), rule(name="twice", column="same_file", one_of_each=True)],
    }  # fmt: skip
    summary = write_decisions(scores, decisions, manifest, tmp_path)
    assert summary["all"] == {"rows": 8, "kept": 8, "left_out": {}, "digest": digest(np.arange(8))}
    assert summary["some"]["left_out"] == {"low": 2, "twice": 2} and summary["some"]["kept"] == 4
    found = read_reasons(tmp_path, "some", manifest).to_pylist()
    assert found == ["low", None, "twice", None, "low", None, None, "twice"]
    assert read_reasons(tmp_path, "all", manifest).null_count == 8
    assert pq.read_table(tmp_path / DECISIONS)["row"].to_pylist() == list(range(8))
    assert [piece.tolist() for piece in staying(tmp_path, "some", manifest)] == [[reason is None for reason in found]]


def test_what_is_refused_is_one_line(tmp_path: Path, scores: pa.Table, manifest: Manifest) -> None:
    for settings, line in (
        ({"column": "same_flie", "cap": 2}, "here: one: no score is called 'same_flie'; did you mean same_file?"),
        ({"column": "script", "at_least": 2}, "here: one: script holds words; use among"),
        ({"column": "same_file", "among": ("a",)}, "here: one: same_file holds numbers; use at_least"),
        ({"column": "reference_cosine", "at_least": 2}, "here: leaves no row of the pool; look at the scores"),
        ({"uids_in": str(tmp_path / "none.npy")}, "can't be read as a list of uids"),
    ):
        with pytest.raises(UserError, match=line.replace("?", r"\?")):
            decide(scores, [rule(**settings)], manifest, "here")
    np.save(tmp_path / "floats.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"floats.npy: is not a list of uids; give a .npy of uids as DataComp has it"):
        decide(scores, [rule(uids_out=str(tmp_path / "floats.npy"))], manifest, "here")


def test_a_decision_that_is_not_there_or_of_another_pool_is_refused(
    tmp_path: Path, scores: pa.Table, manifest: Manifest
) -> None:
    for nowhere in (tmp_path, None):
        with pytest.raises(
            UserError, match=r"pool.curated_by: clean: the stage curate has not run; run .*curate` first"
        ):
            read_reasons(nowhere, "clean", manifest)
    write_decisions(scores, {"clean": []}, manifest, tmp_path)
    with pytest.raises(UserError, match="no decision is called 'claen'; did you mean clean"):
        read_reasons(tmp_path, "claen", manifest)
    other = write_made_up(tmp_path / "other", range(ROWS), "pool")
    with pytest.raises(UserError, match="the stage curate was run on another pool"):
        read_reasons(tmp_path, "clean", other)
    with pytest.raises(UserError, match="the stage curate was run on another pool"):
        write_decisions(scores, {"clean": []}, other, tmp_path)


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"name": "a"}, "'a' says nothing; give one of at_least,"),
        ({"name": "a", "column": "c", "cap": 2, "at_most": 0}, "'a' says at_most and cap; give one of"),
        ({"name": "a", "at_most": 0}, "'a' needs one; see docs/curation.md"),
        ({"name": "a", "column": "c", "uids_in": "x"}, "'a' uses a list of uids; leave it out"),
        ({"name": "a", "column": "c", "at_most": 0, "by": "draw"}, "applies to one_of_each and cap only; leave it out"),
        ({"name": "a", "column": "c", "best_share": 2}, "2 is not a share"),
        ({"name": "a", "colum": "c", "at_most": 0}, "unknown parameter; did you mean column?"),
        ({"column": "c", "at_most": 0}, "name: is missing; say why a row is left out"),
    ],
)
def test_a_rule_that_says_nothing_or_too_much_is_refused(block: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as refused:
        read(CurateSettings, {"decide": {"clean": [block]}}, "curate")
    assert str(refused.value).startswith("curate.decide.clean") and line in str(refused.value)


def test_names_of_decisions_and_rules_are_checked() -> None:
    one = rule(column="same_file", cap=1)
    with pytest.raises(UserError, match=r"curate.decide.clean: one is used twice; give each rule its own name"):
        CurateSettings(decide={"clean": (one, one)})
    for name in ("row", "not a name"):
        with pytest.raises(UserError, match=f"curate.decide.{name}: is not a name"):
            CurateSettings(decide={name: (one,)})
