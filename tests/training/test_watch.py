"""Bad steps are stopped at or skipped, their rows named and kept; time and memory stand in the ledger."""

from __future__ import annotations

import json
import logging
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from training_helpers import Killed, kill_after, outcome

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.losses import contrastive_loss
from superbatch.models import build_model
from superbatch.options import ModelSettings, OptimizerSettings, SelectionSettings, TrainingSettings
from superbatch.tasks import Contrastive, contrastive
from superbatch.training import bad_rows, loop, step, train, watch
from superbatch.training.distributed import ALONE
from superbatch.training.gradients import BatchGradients
from superbatch.training.job import Job
from superbatch.training.optimizer import make_optimizer
from superbatch.training.plan import describe
from superbatch.training.records import SCHEMAS, Records
from superbatch.training.watch import MOST_SKIPPED, BadSteps, LiveLine, Pace


def poison(monkeypatch, steps: set[int], value: float = float("nan")) -> None:
    """Make the loss of some steps bad, whichever process or resume takes them."""
    at, real_step, real_loss = [-1], loop._step, contrastive.contrastive_term

    def stepping(run, pick):
        at[0] = pick.step
        return real_step(run, pick)

    monkeypatch.setattr(loop, "_step", stepping)
    factor = lambda: value if at[0] in steps else 1.0  # noqa: E731
    monkeypatch.setattr(contrastive, "contrastive_term", lambda *arguments: real_loss(*arguments) * factor())


def weights(job: Job) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in job.task.clip.model.state_dict().items()}


def test_a_bad_loss_stops_the_run_naming_the_rows(make_job, monkeypatch, tmp_path):
    poison(monkeypatch, {6})
    job = make_job()
    job.names = lambda rows: ([f"{row % 3}.tar" for row in rows], [f"key{row}" for row in rows])
    with pytest.raises(
        UserError, match=r"job: the loss is nan at step 6; worst: \d\.tar key\d+, .*set training.on_bad_step"
    ):
        train(job)
    kept = pq.read_table(job.state_dir / "records" / "bad-000000006.parquet").to_pydict()
    assert len(kept["row"]) == 4 and kept["step"] == [6] * 4 and kept["reason"] == ["the loss is nan"] * 4
    assert kept["key"] == [f"key{row}" for row in kept["row"]]
    assert kept["shard"] == [f"{row % 3}.tar" for row in kept["row"]]
    assert kept["loss"] == sorted(kept["loss"], reverse=True), "the worst first"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_skipped_step_changes_neither_weights_nor_optimizer(model_file, value):
    clip = build_model(ModelSettings(config=str(model_file)), loss="sigmoid", batch_size=4, seed=0)
    clip.model.train()
    clip.model.visual.norm = torch.nn.BatchNorm1d(16)  # its running statistics move in a forward pass
    plain = clip.model.visual.forward
    clip.model.visual.forward = lambda images: clip.model.visual.norm(plain(images))
    settings = TrainingSettings(batch_size=4)
    optimizer = make_optimizer(clip.model, settings.optimizer)
    task = Contrastive(clip, settings, SelectionSettings())
    task.place(torch.device("cpu"), settings)
    trained = step.Trained("learner", optimizer, BatchGradients(task, "learner", ALONE))
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 255, (4, 3, 16, 16), dtype=np.uint8))
    ids = torch.from_numpy(rng.integers(0, 100, (4, 8)))
    batch = Batch(np.arange(4), {"image": pixels, "tokens": ids})
    step.train_step(task, [trained], batch, settings)
    before = {name: tensor.clone() for name, tensor in clip.model.state_dict().items()}
    moments = [{k: v.clone() for k, v in state.items()} for state in optimizer.state.values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BadSteps, "verdict", lambda self, loss, norm: "bad")
        assert [measured.bad for measured in step.train_step(task, [trained], batch, settings)] == ["bad"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in clip.model.state_dict().items())
    after = [state.items() for state in optimizer.state.values()]
    assert all(torch.equal(v, then[k]) for then, now in zip(moments, after, strict=True) for k, v in now)
    assert all(parameter.grad is None for parameter in clip.model.parameters())
    step.train_step(task, [trained], batch, settings)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in clip.model.state_dict().items())


@pytest.mark.parametrize("kills", [[7], [5, 4]])
def test_skipping_goes_on_and_resumes_bit_identically(make_job, monkeypatch, caplog, kills):
    poison(monkeypatch, {2, 6, 7})
    skipping = {"on_bad_step": "skip"}
    whole = train(make_job(state="never-killed", **skipping))
    expected = outcome(whole)
    assert [n for n, skipped in enumerate(expected["ledger"]["skipped"]) if skipped] == [2, 6, 7]
    assert whole.summary["skipped_steps"] == 3
    kept = pq.read_table(whole.training_dir / "bad_rows.parquet").to_pydict()
    assert sorted(set(kept["step"])) == [2, 6, 7] and len(kept["step"]) == 12
    for steps in kills:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(make_job(**skipping))
    assert repr(outcome(train(make_job(**skipping)))) == repr(expected), "NaN is not equal to itself"
    assert "skipped a step: the loss is nan at step 6" in caplog.text


def test_spikes_are_judged_alike_after_a_resume(make_job, monkeypatch):
    """The running median follows from the ledger: with a window of five it reaches back over the checkpoint at step 8."""
    poison(monkeypatch, {9}, value=3.0)
    spikes = {"on_bad_step": "skip", "spike_factor": 2.0, "spike_window": 5}
    expected = outcome(train(make_job(state="never-killed", **spikes)))
    assert [n for n, skipped in enumerate(expected["ledger"]["skipped"]) if skipped] == [9]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 9)
        train(make_job(**spikes))
    assert outcome(train(make_job(**spikes))) == expected


def test_without_a_factor_nothing_is_a_spike(make_job, monkeypatch):
    poison(monkeypatch, {9}, value=30.0)
    assert not any(outcome(train(make_job()))["ledger"]["skipped"])


def test_skipping_every_step_is_no_way_on(make_job, monkeypatch):
    poison(monkeypatch, set(range(12)))
    with pytest.raises(UserError, match=f"{MOST_SKIPPED} bad steps in a row"):
        train(make_job(on_bad_step="skip"))


def test_a_run_that_stopped_can_skip_from_there(make_job, monkeypatch, caplog):
    poison(monkeypatch, {6})
    with pytest.raises(UserError):
        train(make_job())
    caplog.set_level("INFO")
    skipping = make_job(on_bad_step="skip")
    assert train(skipping).summary["skipped_steps"] == 1
    assert "continues at step 4" in caplog.text


@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_the_rows_own_losses_add_up_to_the_batchs(make_job, name):
    job = make_job(loss=name)
    job.task.place(torch.device("cpu"), job.training)
    batch = job.source.read(job.task.reads.training, np.arange(6), 0)
    own, finite = bad_rows.row_losses(job, "learner", batch)
    with torch.no_grad():
        job.task.clip.model.eval()
        outputs = job.task.outputs("learner", batch)
        image, text, scale = (outputs[key] for key in ("image", "text", "scale"))
        whole = float(contrastive_loss(name)(image, text, scale, outputs.get("bias", 0.0)))
    assert own.mean() == pytest.approx(whole, rel=1e-5) and finite.all()


def test_what_counts_as_bad():
    watch = BadSteps(2.0, deque([1.0, 1.0, 4.0], maxlen=3))
    assert watch.verdict(1.9, 1.0) is None
    assert watch.verdict(2.1, 1.0) == "the loss is 2.1, more than 2 times the median of 1"
    assert watch.verdict(1.0, float("inf")) == "the gradient norm is inf (loss 1)"
    watch.note(2.1, True)
    assert list(watch.losses) == [1.0, 1.0, 4.0] and watch.in_a_row == 1, "a bad step does not count for the median"
    assert BadSteps(2.0, deque([1.0], maxlen=3)).verdict(9.0, 1.0) is None, "the window is not full yet"


def test_time_and_memory_are_in_the_ledger(make_job):
    result = train(make_job())
    ledger = pq.read_table(result.training_dir / "ledger.parquet").to_pydict()
    assert [n for n, seconds in enumerate(ledger["seconds_checkpoint"]) if seconds > 0] == [4, 8]
    assert all(seconds > 0 for seconds in ledger["seconds_train"])
    assert ledger["memory_mb"] == sorted(ledger["memory_mb"]) and ledger["memory_mb"][0] > 50
    assert set(ledger["device_memory_mb"]) == {None}
    assert result.summary["memory_mb"] == {"process": ledger["memory_mb"][-1], "device": None}
    spent = result.summary["seconds"]
    assert result.summary["waited_for_data"] == pytest.approx(spent["seconds_data"] / sum(spent.values()))


def test_the_live_line_shows_loss_and_waiting():
    live, row = (
        LiveLine(),
        dict.fromkeys((f"seconds_{part}" for part in ("score", "select", "proxy", "checkpoint")), 0.0),
    )
    assert (
        live.text(row | {"loss": 3.21, "seconds_data": 1.0, "seconds_train": 3.0}) == "loss 3.21, 25% waiting for data"
    )
    for _ in range(200):
        text = live.text(row | {"loss": 1.0, "seconds_data": 3.0, "seconds_train": 1.0})
    assert text == "loss 1, 75% waiting for data"


def test_a_plan_that_was_off_is_corrected_once_by_the_measured_rate():
    def said(planned, steps, seconds):
        pace = Pace(planned * steps, steps, lambda part: len(part) / steps)
        lines = [pace.note({"loss": 1.0, "seconds_data": 0.5, "seconds_train": s}, n) for n, s in seconds]
        return [(n + 1, line) for n, line in enumerate(lines) if line]

    slow = [(n, 1.5 if n > 1 else 60.0) for n in range(1, 101)]  # the first step warms up
    line = "95 steps left take about 190 s at the measured rate, not 95 s; evaluations come on top"
    assert said(1.0, 100, slow) == [(5, line)]
    assert [n for n, _ in said(0.1, 4_000, slow)] == [20]
    assert said(1.6, 100, slow) == [], "within a third"
    assert said(4.0, 100, slow)[0][0] == 5, "too long is as wrong as too short"
    assert said(0.01, 9, slow[:9]) == [], "nobody waits for it"


def test_a_training_says_so_and_its_bar_counts_what_was_made_now(make_job, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(watch, "WORTH_A_LINE", 0.0)
    monkeypatch.setattr(loop, "describe", lambda run: describe(run) | {"expected_seconds": 1e6})
    bars, real = [], loop.progress
    monkeypatch.setattr(loop, "progress", lambda **given: bars.append(real(**given)) or bars[-1])
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 6)
        train(make_job())
    train(make_job())
    assert len([line for line in caplog.messages if "7 steps left take about" in line]) == 1
    assert [(bar.initial, bar.n) for bar in bars][-1] == (4, 12)


def test_parts_of_an_earlier_version_are_read(tmp_path):
    schema = SCHEMAS["ledger"]
    later = {
        "skipped",
        "memory_mb",
        "seconds_checkpoint",
        "flops_scoring",
        "flops_proxy",
        "loss_proxy",
        "seconds_proxy",
    }
    old = pa.schema([field for field in schema if field.name not in later])
    columns = {field.name: [0] for field in old}
    pq.write_table(pa.table(columns, schema=old), tmp_path / "ledger-000000001.parquet")
    found = Records(tmp_path, 1).read("ledger")
    assert found.schema.names == schema.names and found["skipped"].to_pylist() == [False]
    assert list(BadSteps.after(found, TrainingSettings()).losses) == [0.0]


def test_later_settings_leave_older_hashes_alone(make_job):
    job = make_job()
    names = set(job.full_identity["training"])
    assert names.isdisjoint({"keep_best", "spike_factor", "spike_window", "on_bad_step"})
    assert make_job(on_bad_step="skip").run_hash == job.run_hash
    assert make_job(spike_factor=3.0).run_hash != job.run_hash
    assert make_job(keep_best="set/top1").run_hash != job.run_hash


def test_the_best_checkpoint_stands_beside_the_last(make_job, monkeypatch, caplog):
    values = {0: 0.1, 5: 0.9, 10: 0.4, 12: 0.9}

    def job(state: str) -> Job:
        made, seen = make_job(state=state, keep_best="set/top1"), []

        def evaluate(clip):
            seen.append(1)
            return {"set/top1": values[at[0]]}

        made.evaluate = evaluate
        return made

    at, real = [0], loop._evaluate

    def evaluating(run, done):
        at[0] = done
        real(run, done)

    monkeypatch.setattr(loop, "_evaluate", evaluating)
    whole = train(job("never-killed"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 7)
        train(job("state"))
    resumed = train(job("state"))
    for result in (whole, resumed):
        kept = json.loads((result.model_dir / "best" / "superbatch.json").read_text())
        assert (kept["steps"], kept["value"]) == (5, 0.9), "the first of equals"
        assert kept["weights_sha256"] != result.summary["digests"]["weights"]
    digests = [
        json.loads((r.model_dir / "best" / "superbatch.json").read_text())["weights_sha256"] for r in (whole, resumed)
    ]
    assert digests[0] == digests[1]


def test_a_best_checkpoint_that_was_damaged_is_left_out(make_job, monkeypatch, caplog):
    job = valued(make_job, [0.5, 0.4])
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 7)
        train(job)
    (job.state_dir / "best" / "open_clip_model.safetensors").write_bytes(b"")
    caplog.set_level(logging.WARNING)
    assert not (train(valued(make_job, [0.3, 0.2, 0.1])).model_dir / "best").exists()
    assert "damaged, so it is left out" in caplog.text


def valued(make_job, values: list[float]) -> Job:
    """A job whose evaluations, after 0, 5, 10 and 12 steps, have these values, in order of their making."""
    job, left = make_job(keep_best="set/top1"), iter(values)
    job.evaluate = lambda clip: {"set/top1": next(left)}
    return job


def killed_and_continued(make_job, monkeypatch, before: list[float], after: list[float]) -> Path:
    """Evaluate at 0 and 5, kill, go back to step 4, and evaluate at 5, 10 and 12."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 7)
        train(valued(make_job, before))
    return train(valued(make_job, after)).model_dir / "best"


def test_the_record_says_which_checkpoint_is_the_best_and_not_the_folder(make_job, monkeypatch):
    """Other ranks, or another machine, may give a step another value than before the kill."""
    best = killed_and_continued(make_job, monkeypatch, [0.1, 0.5001], [0.5, 0.3, 0.4])
    found = json.loads((best / "superbatch.json").read_text())
    assert (found["steps"], found["value"]) == (5, 0.5)


def test_a_best_checkpoint_that_was_replaced_before_a_kill_is_told(make_job, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    assert not killed_and_continued(make_job, monkeypatch, [0.5, 0.9], [0.4, 0.3, 0.2]).exists()
    assert "has set/top1 0.9, and the best on record is 0.5: after a kill the run met other values" in caplog.text


def test_where_nothing_is_evaluated_there_is_no_best(make_job, caplog):
    job = make_job(keep_best="set/top1")
    job.evaluate = None
    caplog.set_level(logging.WARNING)
    assert not (train(job).model_dir / "best").exists() and "left out" in caplog.text


def test_an_unknown_metric_is_named(make_job):
    with pytest.raises(UserError, match=r"training.keep_best: 'top1' is not evaluated; evaluated: set/top1"):
        train(make_job(keep_best="top1"))


def test_a_factor_that_calls_everything_a_spike_is_refused():
    with pytest.raises(UserError, match=r"training.spike_factor: 0.5 would call ordinary losses spikes"):
        replace(TrainingSettings(optimizer=OptimizerSettings()), spike_factor=0.5)
