"""The seam is right: a new method is one short file, and has resume, ranks, micro-batches, ledger, picks and audit for free."""

from __future__ import annotations

import io
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from test_ranks import assert_close
from training_helpers import outcome

from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.order import Order
from superbatch.data.writing import Sample, write_shard
from superbatch.errors import UserError
from superbatch.options import AuditSettings
from superbatch.pipelines.audit.inputs import open_draw
from superbatch.reporting import Run
from superbatch.reporting.audit import audit_rows
from superbatch.training import loop, train
from tests.in_ranks import assert_killed, in_ranks
from tests.training.caption_labels import caption_labels_job

ROWS, WORDS = 60, ("fox", "sea", "house")


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Path:
    """Pictures of three tints, captioned by their tint's word; one in five by another's."""
    folder, rng = tmp_path_factory.mktemp("labels"), np.random.default_rng(0)
    samples = []
    for row in range(ROWS):
        word = WORDS[(row + (row % 5 == 0)) % 3]
        pixels = rng.integers(0, 120, (16, 16, 3), np.uint8)
        pixels[..., row % 3] += 100
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        samples.append(Sample(f"{row:03d}", {"png": stream.getvalue(), "txt": f"a picture of a {word}".encode()}))
    write_shard(folder / "00000.tar", samples)
    ingest([folder / "00000.tar"], folder / "set")
    return folder / "set"


@pytest.fixture
def job(pool, tmp_path):
    return lambda state="state", **changes: caption_labels_job(pool, tmp_path / state, **changes)


def weights(made) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in made.task.classifier.parameters()])


def test_its_rows_own_losses_have_the_batchs_mean(job):
    made = job()
    batch = made.source.read(made.task.reads.training, np.arange(6), 0)
    made.task.classifier.eval()
    with torch.no_grad():
        own, finite = made.task.row_losses("learner", batch)
        whole = made.task.loss("learner", made.task.outputs("learner", batch), batch, None)
    assert float(own.mean()) == pytest.approx(float(whole), rel=1e-6) and finite.all()


def test_stale_weights_score_and_the_plan_says_what_a_score_is(job, caplog):
    caplog.set_level("INFO")
    made = job()
    made.selection = replace(made.selection, stale_steps=1)
    train(made)
    assert "picks b = 6 of B = 24 (independent, loss) by the weights of the step before;" in caplog.text


def test_it_is_short():
    assert len(Path(caption_labels_job.__code__.co_filename).read_text().splitlines()) < 80


def test_it_learns_and_leaves_a_ledger(job):
    result = train(job(steps=60, evaluate_every=60))
    ledger = pq.read_table(result.training_dir / "ledger.parquet").to_pydict()
    assert np.mean(ledger["loss"][-10:]) < np.mean(ledger["loss"][:10])
    assert all(norm > 0 for norm in ledger["weight_norm"]), "its own fact has a column of its own"
    assert set(ledger["scale"]) == {None}, "and what it does not know has none"
    forward = 2 * (3 * 16**2 * 32 + 32 * 3)
    assert ledger["flops_as_executed"][-1] == 60 * forward * (3 * 6 + 24)
    assert result.summary["flops"]["paper_total"] == 60 * forward * (2 * 6 + 24)
    assert (result.model_dir / "classifier.safetensors").is_file()
    assert result.summary["score"] == "loss", "it ignores the criterion of its settings, learnability"


def test_it_is_trained_as_the_page_says(pool, tmp_path, monkeypatch, capsys):
    """docs/add_a_method.md shows the lines below."""
    monkeypatch.chdir(tmp_path)
    Path("work").mkdir()
    Path("work/pool").symlink_to(pool)

    from superbatch.training import train

    result = train(caption_labels_job(Path("work/pool"), Path("work/state")))
    print(result.training_dir, result.summary["digests"])

    assert str(result.training_dir) in capsys.readouterr().out


def test_the_picks_are_a_draw_by_its_scores(job):
    """Hard samples are picked above their share; picked ones are from the order's super-batches."""
    result = train(job(steps=30))
    picks = pq.read_table(result.training_dir / "picks.parquet").to_pandas()
    order = Order(0, ROWS, 24)
    for step, rows in picks[picks.chosen].groupby("step").row:
        assert len(set(rows)) == 6 and set(rows) <= set(order.rows(step))
    assert picks[picks.chosen].score.mean() > picks[~picks.chosen].score.mean()


def test_an_audit_judges_every_row(job, pool):
    result = train(job(steps=40))
    (result.training_dir.parent / "run").mkdir()
    result.training_dir.rename(result.training_dir.parent / "run" / "training")
    run, manifest = Run(result.training_dir.parent / "run"), read_manifest(pool)
    nothing_known = np.full(ROWS, np.nan)
    frame = audit_rows(run.picks, open_draw(run, manifest), nothing_known, AuditSettings())
    assert len(frame) == ROWS and frame.chosen.sum() == 40 * 6 and frame.seen.sum() == 40 * 24
    assert "worth_it" in set(frame.verdict)


def killed_at(job, step: int) -> None:
    real = loop.train_step

    def dying(*arguments):
        if arguments[4] == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    loop.train_step = dying
    train(job())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_killed_by_sigkill_and_resumed_is_bit_identical(job, tmp_path, accumulate):
    """With dropout, so that what is drawn counts."""
    expected = outcome(train(job("never", accumulate=accumulate)))
    for step in (4, 8):
        assert_killed(partial(killed_at, partial(job, accumulate=accumulate), step), tmp_path / f"{step}")
    assert outcome(train(job(accumulate=accumulate))) == expected


def chosen_and_weights(job, **changes) -> tuple[list[int], torch.Tensor]:
    made = job(**changes)
    made.task.classifier[2].p = 0.0  # ranks drop differently
    picks = pq.read_table(train(made).training_dir / "picks.parquet")
    return picks.filter(picks["chosen"])["row"].to_pylist(), weights(made)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_ranks_and_micro_batches_make_the_run_of_one_process(job, tmp_path, accumulate):
    rows, expected = chosen_and_weights(job, state="one")
    for world in (1, 2, 3):
        work = partial(chosen_and_weights, job, state=f"of {world}", accumulate=accumulate)
        for found, moved in in_ranks(world, work, tmp_path / str(world)) if world > 1 else [work()]:
            assert found == rows
            assert_close(moved, expected)


def test_workers_change_nothing(job):
    assert outcome(train(job("a", workers=2))) == outcome(train(job("b")))


def test_joint_selection_is_refused(job):
    made = job()
    made.selection = replace(made.selection, method="joint")
    with pytest.raises(UserError, match="selection.method: joint: the task scores each sample by itself"):
        train(made)


def test_a_bad_step_names_its_rows(job, monkeypatch):
    made = job()
    monkeypatch.setattr(made.task, "loss", lambda model, outputs, batch, peers: outputs["logits"].sum() * float("nan"))
    with pytest.raises(UserError, match="labels: the loss is nan at step 0; worst: row .*all 6 rows are in"):
        train(made)
