"""Damaged files among what a node read, found after an error that nobody foresaw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.stamps import write_stamp
from superbatch.damaged import CHECKS, require_readable, unreadable
from superbatch.errors import UserError

NUMBERS = np.arange(1000, dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished directory with a file of each kind."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "pool"
    made.mkdir()
    table = pa.table({"number": NUMBERS})
    write_json(made / "x.json", {"rows": 1000})
    pq.write_table(table, made / "x.parquet")
    with pa.OSFile(str(made / "x.arrow"), "w") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    save_file({"number": NUMBERS}, made / "x.safetensors")
    np.save(made / "x.npy", NUMBERS)
    (made / "x.txt").write_text("anything")
    write_stamp(made, "mark")
    return made


def garble(file: Path) -> None:
    """Exchange bytes at both ends, where each of the kinds says what it is; the size stays."""
    content = file.read_bytes()
    file.write_bytes(content[:12][::-1] + content[12:-12] + content[-12:][::-1])


def test_sound_files_are_left_alone(folder: Path) -> None:
    require_readable([folder, {"run": lambda: folder}, "text", {"rows": 3}, folder / "missing"])
    assert {file.suffix for file in folder.iterdir()} >= set(CHECKS)


@pytest.mark.parametrize("kind", sorted(CHECKS))
def test_a_damaged_file_is_named_with_the_folder_to_delete(folder: Path, kind: str) -> None:
    garble(folder / f"x{kind}")
    line = rf"^pool/x{kind}: is damaged \(.+\); delete pool and give the same command again$"
    for given in (folder, {"pool": lambda: folder}):
        with pytest.raises(UserError, match=line):
            require_readable([given])


def test_a_file_that_the_system_can_not_open_may_be_whole(folder: Path) -> None:
    assert unreadable(folder / "gone.json") is None
    assert unreadable(folder / "\udcc3.parquet") is None  # a name that is no UTF-8
