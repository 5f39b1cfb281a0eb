"""What a learner draws from: any number of workers gives the same super-batches, and errors arrive whole."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from superbatch.data.fields import Joined, Mapped, Source, Stored
from superbatch.data.manifest import MANIFEST_SCHEMA, read_manifest, write_manifest
from superbatch.data.order import Order
from superbatch.data.tokens import Tokens, tokenize_captions
from superbatch.errors import UserError
from superbatch.models import ClipModel, Vocabulary, build_model
from superbatch.options import ModelSettings
from superbatch.tasks.contrastive import TOKENS
from superbatch.tasks.sets import OpenSets
from superbatch.training import reading
from superbatch.training.reading import SCORING, TRAINING, Phase, Reader, read_ahead

CPU = torch.device("cpu")
ROWS = 500


def numbered(bad: int | None = None) -> Source:
    """Images that are all of one colour, the row's number; and a view that differs from step to step."""

    def colours(rows: np.ndarray) -> np.ndarray:
        if bad in rows:
            raise UserError("x.tar, key 7", "the image can't be read", "run the ingest stage again")
        return np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (len(rows), 3, 2, 2)).copy()

    class Stepping:
        def __len__(self) -> int:
            return ROWS

        def read(self, rows: np.ndarray, step: int) -> np.ndarray:
            return rows * 1_000 + step

    return Source({"colour": Stored(colours, ROWS), "view": Stepping()})


def read_all(size: int, workers: int, steps: range = range(5), bad: int | None = None):
    """Copies of the steps' batches, by a reader of one phase."""
    order, phases = Order(3, ROWS, size), {TRAINING: Phase(("colour", "view"), size)}
    with Reader(numbered(bad), phases, workers, CPU) as reader:
        for batch in read_ahead(reader, TRAINING, ((step, order.rows(step)) for step in steps)):
            time.sleep(0.02)  # workers that read ahead would write over these pixels now, if they could
            yield batch.rows, batch["colour"].clone(), batch["view"].clone()


@pytest.mark.parametrize(("size", "workers"), [(8, 2), (100, 1), (101, 2)])
def test_workers_share_super_batches_and_change_nothing(size: int, workers: int) -> None:
    steps, order = range(2, 9), Order(3, ROWS, size)
    alone, shared = (list(read_all(size, count, steps)) for count in (0, workers))
    assert len(alone) == 7
    for step, one, (rows, colour, view) in zip(steps, alone, shared, strict=True):
        assert rows.tolist() == order.rows(step).tolist() == one[0].tolist()
        assert torch.equal(colour, one[1]) and torch.equal(view, one[2])
        assert colour[:, 0, 0, 0].tolist() == [row % 256 for row in rows.tolist()]
        assert view.tolist() == (rows * 1_000 + step).tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_chosen_is_read_in_a_second_phase_by_the_same_workers(workers: int) -> None:
    """As Flexi needs it: chosen by what was read first, and in hand two steps later."""
    order = Order(3, ROWS, 40)
    phases = {SCORING: Phase(("colour",), 40), TRAINING: Phase(("view",), 5, kept=2)}
    with Reader(numbered(), phases, workers, CPU) as reader:
        wanted = ((step, order.rows(step)) for step in range(6))
        chosen: list[np.ndarray] = []
        for step, batch in enumerate(read_ahead(reader, SCORING, wanted)):
            best = batch["colour"][:, 0, 0, 0].argsort(descending=True, stable=True)[:5].numpy()
            chosen.append(order.rows(step)[best])
            reader.ask(TRAINING, step, chosen[step])
            if step >= 2:
                later = reader.take(TRAINING, step - 2)
                assert later.rows.tolist() == chosen[step - 2].tolist()
                assert later["view"].tolist() == (chosen[step - 2] * 1_000 + step - 2).tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_told_as_it_is_alone(workers: int) -> None:
    with pytest.raises(UserError, match="x.tar, key 7: the image can't be read; run the ingest stage again"):
        list(read_all(100, workers, bad=7))


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(read_all(100, 2, range(2)))
    assert torch.equal(torch.get_rng_state(), before)


def pids(reader: Reader) -> list[int]:
    return list(reader._pool._processes)  # type: ignore[union-attr]


def test_a_worker_that_dies_is_one_line() -> None:
    with Reader(numbered(), {TRAINING: Phase(("colour",), 64)}, 2, CPU) as reader:
        reader.ask(TRAINING, 0, np.arange(64))
        reader.take(TRAINING, 0)
        for pid in pids(reader):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(
            UserError, match=r"training\.workers: a process that reads samples was killed, .*; use fewer"
        ):
            for step in range(1, 9):
                reader.ask(TRAINING, step, np.arange(64))
                reader.take(TRAINING, step)


def test_workers_take_no_part_in_signals_and_end_with_their_trainer() -> None:
    """A trainer that is killed leaves nobody behind."""
    receive, send = multiprocessing.Pipe(duplex=False)

    def trainer() -> None:
        with Reader(numbered(), {TRAINING: Phase(("colour",), 64)}, 2, CPU) as reader:
            reader.ask(TRAINING, 0, np.arange(64))
            reader.take(TRAINING, 0)
            for pid in pids(reader):
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGINT)
            reader.ask(TRAINING, 1, np.arange(64))
            reader.take(TRAINING, 1)
            send.send(pids(reader))
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=trainer)
    process.start()
    assert receive.poll(60)
    workers = receive.recv()
    process.join()
    for _ in range(100):
        left = [pid for pid in workers if Path(f"/proc/{pid}/stat").exists() and not is_zombie(pid)]
        if not left:
            break
        time.sleep(0.1)
    assert not left


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_too_little_shared_memory_is_told_before_a_worker_dies_of_it(monkeypatch) -> None:
    monkeypatch.setattr(reading.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(
        UserError, match=r"training\.workers: batches read ahead need .* MB of /dev/shm, and 0 MB are free"
    ):
        Reader(numbered(), {TRAINING: Phase(("colour",), 64)}, 1, CPU)


@pytest.mark.parametrize("answer", [RuntimeError("no such call"), 712])
def test_memory_that_cannot_be_locked_is_one_line(monkeypatch, caplog, answer) -> None:
    def register(*_: int) -> int:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(torch.cuda, "cudart", lambda: type("Runtime", (), {"cudaHostRegister": staticmethod(register)}))
    assert not reading._pinned(torch.zeros(4), torch.device("cuda"))
    assert len(caplog.records) == 1 and "could not be locked in place" in caplog.text


@pytest.fixture
def clip(model_file: Path) -> ClipModel:
    return build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=4, seed=0)


def write_tokens(folder: Path, captions: list[str], clip: ClipModel) -> Tokens:
    row = {"key": "k", "shard": "s.tar", "offset": 1, "length": 2, "format": "png", "width": 1, "height": 1}
    row |= {"label": None, "sha256": bytes(32), "members": 2, "source": None, "notes": []}
    table = [{**row, "captions": [caption, "never first"]} for caption in captions]
    write_manifest(folder / "manifest.parquet", pa.Table.from_pylist(table, MANIFEST_SCHEMA), {"s.tar": 9})
    tokenize_captions(read_manifest(folder), clip.tokenizer(), clip.context_length, folder / "tokens")
    return Tokens(folder / "tokens")


def test_ids_of_several_sets_are_those_of_a_tensor(tmp_path: Path, clip: ClipModel) -> None:
    """Two sets after each other, compact or not: the same ids and the same vocabulary as from one tensor of all rows."""
    first, second = ["a red fox", "a dog"], ["the sea", "a red house", "a dog"]
    tokens = [write_tokens(tmp_path / "a", first, clip), write_tokens(tmp_path / "b", second, clip)]
    sets = OpenSets([], Stored(lambda rows: rows, 5), tokens)
    whole = clip.tokenizer()([*first, *second])
    rows = np.array([4, 0, 3, 3])
    field = sets.fields(None)[TOKENS]
    assert isinstance(field, Joined) and len(field) == 5
    assert field.read(rows, 0).tolist() == whole[rows].tolist()
    expected, vocabulary = Vocabulary.of(clip.model, whole.numpy()), sets.vocabulary(clip)
    assert torch.equal(vocabulary.ids_V, expected.ids_V)
    compact = sets.fields(vocabulary)[TOKENS].read(rows, 0)
    assert compact.tolist() == expected.to_compact(whole[rows]).tolist()


@pytest.mark.parametrize("method", ["forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_start_as_the_system_starts_processes(monkeypatch, method: str) -> None:
    """Python 3.14 forks from a server; other systems spawn."""
    monkeypatch.setattr(reading.multiprocessing, "get_start_method", lambda: method)
    source = Source({"number": Mapped(Stored(np.arange(ROWS).__getitem__, ROWS), np.negative)})
    with Reader(source, {TRAINING: Phase(("number",), 64)}, 1, CPU) as reader:
        for step in range(3):
            reader.ask(TRAINING, step, np.arange(step, step + 64))
            time.sleep(1.5 * reading.WATCH_S if step == 1 else 0)  # longer than they look for their trainer
            assert reader.take(TRAINING, step)["number"].tolist() == [-n for n in range(step, step + 64)]
