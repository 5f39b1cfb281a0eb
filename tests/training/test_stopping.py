"""SIGTERM and SIGINT: the step is finished, its state saved, and one line says how to go on."""

from __future__ import annotations

import os
import signal
import threading
import time

import click
import pytest
from training_helpers import outcome

from superbatch.cli import one_line_errors
from superbatch.errors import Interrupted
from superbatch.training import loop, signals, train
from superbatch.training.signals import noting_signals
from superbatch.training.state import last_step


def signal_at(monkeypatch, step: int, signum: int, times: int = 1) -> None:
    """Send this process a signal in the middle of a step."""
    real, taken = loop.train_step, [0]

    def signalled(*arguments):
        if taken[0] == step:
            for _ in range(times):
                os.kill(os.getpid(), signum)
                time.sleep(0.05)  # two that come before the first is noted are one
        taken[0] += 1
        return real(*arguments)

    monkeypatch.setattr(loop, "train_step", signalled)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_ends_the_run_behind_its_step(make_job, monkeypatch, signum, workers):
    expected = outcome(train(make_job(state="undisturbed")))
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    job = make_job(workers=workers)
    with monkeypatch.context() as patch, pytest.raises(Interrupted) as stopped:
        signal_at(patch, 5, signum)
        train(job)
    name = signal.Signals(signum).name
    said = f"job: stopped by {name}, the state of step 6 is kept; to continue, give the same command again"
    assert str(stopped.value) == said
    assert stopped.value.exit_code == 128 + signum
    assert last_step(job.state_dir) == 6, "no multiple of checkpoint_every"
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before
    assert outcome(train(make_job(workers=workers))) == expected


@pytest.fixture
def interruptible():
    """Python's own SIGINT handler: a shell starts what runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_stops_at_once(make_job, monkeypatch, interruptible):
    job = make_job()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as stopped:
        signal_at(patch, 5, signal.SIGINT, times=2)
        train(job)
    assert not isinstance(stopped.value, Interrupted)
    assert last_step(job.state_dir) == 4


def test_an_error_after_a_signal_is_the_stop(make_job, monkeypatch):
    """A signal to the whole group ends the loader's workers too."""
    job, real, taken = make_job(), loop.train_step, [0]

    def failing(*arguments):
        taken[0] += 1
        if taken[0] == 7:
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("DataLoader worker is killed by signal: Terminated.")
        return real(*arguments)

    monkeypatch.setattr(loop, "train_step", failing)
    with pytest.raises(Interrupted, match="the state of step 4 is kept"):
        train(job)


def test_only_the_main_thread_takes_signals():
    handlers = []

    def elsewhere() -> None:
        with noting_signals() as stop:
            handlers.append((stop.signum, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [(None, signal.getsignal(signal.SIGTERM))]


def test_the_command_says_one_line_and_exits_with_the_signal():
    with pytest.raises(click.ClickException) as stopped, one_line_errors(traceback=False):
        raise Interrupted("jest: stopped by SIGTERM, the state of step 6 is kept", signal.SIGTERM)
    assert (stopped.value.exit_code, stopped.value.message) == (
        143,
        "jest: stopped by SIGTERM, the state of step 6 is kept",
    )


@pytest.mark.parametrize("done", [4, 12])
def test_a_signal_while_a_state_is_saved_is_obeyed_behind_a_saved_step(make_job, monkeypatch, done):
    """The last step's too: what is left then is to finish."""
    expected, real, job = outcome(train(make_job(state="undisturbed"))), loop.save_state, make_job()

    def saving(state_dir, step, *arguments):
        if step == done:
            os.kill(os.getpid(), signal.SIGTERM)
        real(state_dir, step, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Interrupted) as stopped:
        patch.setattr(loop, "save_state", saving)
        train(job)
    saved = last_step(job.state_dir)
    assert saved == min(done + 1, 12) and f"the state of step {saved} is kept" in str(stopped.value)
    assert outcome(train(make_job())) == expected


def test_a_rank_takes_what_slurm_and_the_launch_send_for_one_signal():
    with noting_signals(of_rank=True) as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)  # each is noted by itself
        assert stop.signum == signal.SIGTERM


def test_a_later_signal_stops_a_rank_at_once(monkeypatch, interruptible):
    monkeypatch.setattr(signals, "ECHO", 0.0)
    with noting_signals(of_rank=True), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
