"""Damaged states and full disks: the run goes back to what is whole, says so, and ends with the same bits."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from training_helpers import Killed, kill_after, outcome

from superbatch.errors import DiskFull, UserError
from superbatch.training import state, train
from superbatch.training.state import find_damage, last_step, list_states


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Any]:
    """Room for `expected`."""
    return {}


@pytest.fixture
def expected(make_job, outcomes) -> Any:
    """What the run that is never killed ends with; trained once."""
    if not outcomes:
        outcomes["whole"] = outcome(train(make_job(state="never-killed")))
    return outcomes["whole"]


@pytest.fixture
def killed(make_job, monkeypatch) -> Path:
    """The state folder of a run that was killed after ten steps, with states of steps 4 and 8."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 10)
        train(make_job())
    return make_job().state_dir


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Flip one bit in the middle: in a safetensors file a weight that is as good as any other."""
    data = bytearray(path.read_bytes())
    data[-len(data) // 4] ^= 16
    path.write_bytes(bytes(data))


NEWEST = "step-000000008"


FILES = [
    f"{NEWEST}/model.safetensors",
    f"{NEWEST}/optimizer.safetensors",
    f"{NEWEST}/state.json",
    "records/ledger-000000008.parquet",
    "records/picks-000000008.parquet",
]


def test_any_damage_is_found(killed):
    newest, before = reversed(list_states(killed))
    for file, harm in itertools.product(FILES, (truncate, flip, Path.unlink)):
        assert find_damage(newest, killed / "records") is None
        kept = (killed / file).read_bytes()
        harm(killed / file)
        assert find_damage(newest, killed / "records"), f"{harm.__name__} {file}"
        assert find_damage(before, killed / "records") is None
        (killed / file).write_bytes(kept)


@pytest.mark.parametrize("file", [f"{NEWEST}/model.safetensors", "records/ledger-000000008.parquet"])
def test_a_flipped_bit_falls_back_to_the_state_before(make_job, killed, expected, caplog, file):
    flip(killed / file)
    caplog.set_level("INFO")
    assert outcome(train(make_job())) == expected
    line = f"step-000000008 is damaged ({Path(file).name} was changed); falling back to the state before it"
    assert line in caplog.text and "continues at step 4" in caplog.text


def test_when_every_state_is_damaged_the_run_starts_afresh(make_job, killed, expected, caplog):
    for directory in list_states(killed):
        truncate(directory / "state.json")
    caplog.set_level("INFO")
    assert outcome(train(make_job())) == expected
    newest, oldest = (line for line in caplog.messages if "is damaged" in line)
    assert newest.endswith("; falling back to the state before it")
    assert oldest.endswith("; there is no earlier one") and "starts from scratch" in caplog.text


def test_a_state_elsewhere_of_which_all_is_damaged_is_refused(make_job, killed, expected, caplog):
    """Whoever names it would start from scratch unawares; a whole one helps a run whose own states are damaged."""
    own, elsewhere = killed, killed.parent.parent / "elsewhere" / killed.name
    shutil.copytree(own, elsewhere)
    for directory in list_states(own):
        truncate(directory / "state.json")
    caplog.set_level("INFO")
    assert outcome(train(make_job(resume_from=str(elsewhere)))) == expected and "continues at step 8" in caplog.text
    for directory in list_states(elsewhere):
        truncate(directory / "state.json")
    with pytest.raises(
        UserError, match=r"elsewhere/\w+: has no checkpoint that is whole; name another folder, or leave"
    ):
        train(make_job(state="third", resume_from=str(elsewhere)))


def test_a_state_of_an_earlier_version_is_continued(make_job, killed, expected, caplog):
    """It names no digests."""
    for directory in list_states(killed):
        info = json.loads((directory / "state.json").read_text())
        for name in ("files", "parts", "check"):
            del info[name]
        (directory / "state.json").write_text(json.dumps(info))
    caplog.set_level("INFO")
    assert outcome(train(make_job())) == expected
    assert "continues at step 8" in caplog.text


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
def test_a_disk_that_fills_up_in_a_state_leaves_the_one_before(make_job, expected, monkeypatch, file):
    """In the words of safetensors, whose errors are not the system's."""
    real, written = state.save_file, []

    def filling(tensors, path):
        written.append(Path(path).name)
        if written.count(file) == 2:
            Path(path).write_bytes(b"half")
            raise state.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        real(tensors, path)

    job = make_job()
    with monkeypatch.context() as patch, pytest.raises(DiskFull) as full:
        patch.setattr(state, "save_file", filling)
        train(job)
    assert str(full.value).endswith("step-000000008: the disk is full; make room and give the same command again")
    assert last_step(job.state_dir) == 4 and not list(job.state_dir.rglob("*.tmp"))
    assert outcome(train(make_job())) == expected


def test_a_full_disk_under_the_tail_and_the_parts_is_one_line(make_job, monkeypatch):
    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    for target in ("superbatch.training.records.pq.write_table", "superbatch.training.records.open"):
        with monkeypatch.context() as patch, pytest.raises(DiskFull, match="the disk is full; make room"):
            patch.setattr(target, full, raising=False)
            train(make_job(state=target))


def test_what_a_killed_process_left_half_written_is_removed(make_job, killed):
    (killed / ".step-000000012.abc.tmp").mkdir()
    (killed / "records" / ".ledger-000000012.parquet.77.tmp").write_bytes(b"half")
    with pytest.raises(Killed):
        _die_at_once(make_job())
    assert not list(killed.rglob("*.tmp"))


def _die_at_once(job) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, 0)
        train(job)
