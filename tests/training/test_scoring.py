"""Who scores: the weights of k steps ago, a proxy that is trained along, or both; exact, resumed, in ranks, and what it costs."""

from __future__ import annotations

import itertools
import json
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from test_damage import flip, truncate

from superbatch.data.order import Order
from superbatch.errors import UserError
from superbatch.models.cost import count_forward
from superbatch.options import LearnerSettings, ModelSettings, SelectionSettings, TrainingSettings
from superbatch.tasks.proxy import build_proxy, share_vocabulary
from superbatch.training import TrainResult, loop, picks, step, train
from superbatch.training.choosing import choose, score
from superbatch.training.flops import Account, Forwards
from superbatch.training.job import Job
from superbatch.training.state import find_damage, list_states
from tests.in_ranks import in_ranks
from tests.training.training_helpers import Killed, kill_after, outcome

WAYS = {"stale": (3, False), "proxy": (0, True), "both": (2, True)}
every_way = pytest.mark.parametrize("way", WAYS)
# What takes long is tested with both at once; each alone in test-all.
both_ways = pytest.mark.parametrize(
    "way", ["both", *(pytest.param(way, marks=pytest.mark.slow) for way in ("stale", "proxy"))]
)


@pytest.fixture
def scored(make_job, proxy_file):
    """Return a function that makes the job of a way to score."""

    def make(way: str, **changes: Any) -> Job:
        stale, proxy = WAYS[way]
        return make_job(**{"stale": stale, "proxy": proxy_file if proxy else None, **changes})

    return make


def chosen_rows(result: TrainResult) -> list[list[int]]:
    table = pq.read_table(result.training_dir / "picks.parquet")
    table = table.filter(table["chosen"])
    steps, rows = np.array(table["step"]), np.array(table["row"])
    return [rows[steps == number].tolist() for number in range(steps.max() + 1)]


def ledger_of(result: TrainResult) -> dict[str, list[Any]]:
    return pq.read_table(result.training_dir / "ledger.parquet").to_pydict()


@contextmanager
def noting_weights(models: list[Any]):
    """Copies of the models' weights before each step."""
    seen, real = [], loop.train_step

    def noting(*arguments):
        seen.append([deepcopy(model.state_dict()) for model in models])
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", noting)
        yield seen


def picked_now(job: Job, number: int) -> list[int]:
    """What the present weights choose at a step, past the loop."""
    order = Order(job.training.seed, job.source.num_rows, job.super_batch_size)
    batch = job.source.read(job.task.reads.scoring, order.rows(number), number)
    key = (4, job.selection, job.training.seed, number)
    found = choose(score(job.task, batch, job.selection.rules[0], 128), batch.rows, *key)
    return batch.rows[found.indices.numpy()].tolist()


@pytest.mark.parametrize(("k", "with_proxy"), [(0, False), (1, False), (3, False), (0, True), (2, True), (11, True)])
def test_the_weights_of_k_steps_ago_choose(make_job, proxy_file, k, with_proxy):
    job = make_job(stale=k, proxy=proxy_file if with_proxy else None)
    scorer = job.task.proxy or job.task.clip
    with noting_weights([scorer.model]) as seen:
        picks = chosen_rows(train(job))
    others = []
    for number, rows in enumerate(picks):
        scorer.model.load_state_dict(seen[max(0, number - k)][0])
        assert rows == picked_now(job, number), f"step {number}"
        scorer.model.load_state_dict(seen[number][0])
        others.append(picked_now(job, number))
    assert len(picks) == 12 and (others == picks) == (k == 0), "the present weights would pick otherwise"


def test_a_proxy_that_is_the_learner_picks_and_learns_as_the_learner(make_job, model_file):
    """The same start, the same batches, the same rules: then it has the learner's weights at every step."""
    alone, twins = make_job(state="alone"), make_job(proxy=model_file)
    expected, found = outcome(train(alone)), outcome(train(twins))
    assert found["digests"] == expected["digests"] and found["ledger"]["loss"] == expected["ledger"]["loss"]
    assert found["ledger"]["loss_proxy"] == expected["ledger"]["loss"]
    ours, theirs = twins.task.proxy.model.state_dict(), twins.task.clip.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@both_ways
def test_killed_twice_and_resumed_is_bit_identical(scored, way):
    """With a worker that reads ahead, then without, then with one again."""
    whole = scored(way, state="never-killed")
    expected = outcome(train(whole))
    for steps, workers in ((6, 1), (3, 0)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(scored(way, workers=workers))
    resumed = scored(way, workers=1)
    assert outcome(train(resumed)) == expected
    if resumed.task.proxy is not None:
        ours, theirs = resumed.task.proxy.model.state_dict(), whole.task.proxy.model.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_what_waits_at_a_stop_is_read_again_and_not_scored_again(make_job, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 8)
        train(make_job(stale=3, steps=10))
    asked, real = [], picks.score
    monkeypatch.setattr(picks, "score", lambda *arguments: asked.append(1) or real(*arguments))
    result = train(make_job(stale=3, steps=10))  # from the state of step 8, where two picks wait for the last steps
    assert len(chosen_rows(result)) == 10 and not asked
    assert [len(rows) for rows in chosen_rows(result)] == [4] * 10


def in_shares(scored: Any, way: str, state: str) -> tuple[list[list[int]], list[float], torch.Tensor]:
    job = scored(way, state=state)
    result = train(job)
    weights = [
        p.detach().flatten() for clip in (job.task.clip, job.task.proxy) if clip for p in clip.model.parameters()
    ]
    return chosen_rows(result), ledger_of(result)["loss"], torch.cat(weights)


@both_ways
def test_ranks_pick_alike_and_hold_the_same_weights(scored, tmp_path, way):
    picks, losses, weights = in_shares(scored, way, "one")
    first, second = in_ranks(2, in_shares, tmp_path / "ranks", scored, way, "two")
    assert first[0] == second[0] == picks
    assert first[1] == pytest.approx(losses, rel=1e-3)
    assert torch.equal(first[2], second[2])
    assert float((first[2] - weights).norm() / weights.norm()) < 0.01


def until_killed(scored: Any, steps: int, **changes: Any) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, steps)
        train(scored("both", **changes))
    return "killed"


def rows_of(scored: Any) -> list[list[int]]:
    return chosen_rows(train(scored("both")))


@pytest.mark.parametrize("worlds", [(2, 1), (1, 3)])
def test_waiting_picks_are_dealt_anew_to_another_number_of_ranks(scored, tmp_path, worlds):
    expected = chosen_rows(train(scored("both", state="never-killed")))
    first, second = worlds
    if first == 1:
        until_killed(scored, 6)
        found = in_ranks(second, rows_of, tmp_path / "second", scored)[0]
    else:
        in_ranks(first, until_killed, tmp_path / "first", scored, 6)
        found = rows_of(scored)
    assert found == expected


def test_a_proxy_works_with_micro_batches_and_softmax(scored):
    whole, cut = (train(scored("both", state=str(n), accumulate=n, loss="softmax")) for n in (1, 2))
    assert chosen_rows(cut) == chosen_rows(whole)
    assert ledger_of(cut)["loss_proxy"] == pytest.approx(ledger_of(whole)["loss_proxy"], rel=1e-4)


# State


def test_damage_of_the_proxy_and_of_waiting_picks_is_found(scored, caplog):
    expected = outcome(train(scored("both", state="never-killed")))
    until_killed(scored, 10)
    folder = scored("both").state_dir
    newest, before = reversed(list_states(folder))
    for file, harm in itertools.product(
        ("proxy_model.safetensors", "proxy_optimizer.safetensors", "pending.safetensors"),
        (truncate, flip, Path.unlink),
    ):
        kept = (newest / file).read_bytes()
        harm(newest / file)
        found = f"{file} {'is missing' if harm == Path.unlink else 'was changed'}"
        assert find_damage(newest, folder / "records") == found
        assert find_damage(before, folder / "records") is None
        (newest / file).write_bytes(kept)
    assert find_damage(newest, folder / "records") is None
    flip(newest / "pending.safetensors")
    assert outcome(train(scored("both"))) == expected and "falling back" in caplog.text


def test_defaults_leave_every_hash_as_it_was(make_job):
    """The two hashes were taken before there were these settings."""
    for method, expected in (("uniform", "8c707e031078a48d"), ("joint", "cee1e2249d0c6078")):
        sets = {"sets": ["test"]}
        bare = Job("x", None, None, TrainingSettings(), SelectionSettings(method=method), 640, sets, Path("s"))
        assert bare.run_hash == expected


def test_what_scores_is_part_of_what_a_run_is(make_job, proxy_file, model_file):
    usual = make_job()
    assert set(usual.full_identity["selection"]) == {"method", "filter_ratio", "criterion", "num_chunks", "gain"}
    hashes = {usual.run_hash, make_job(stale=1).run_hash, make_job(stale=2).run_hash}
    hashes |= {make_job(proxy=proxy_file).run_hash, make_job(proxy=model_file).run_hash}
    assert len(hashes) == 5
    elsewhere = proxy_file.with_name("copy.json")
    elsewhere.write_text(proxy_file.read_text())
    assert make_job(proxy=elsewhere).run_hash == make_job(proxy=proxy_file).run_hash, "its content counts, not its name"


# Bad steps


def poisoned(monkeypatch: pytest.MonkeyPatch, number: int, name: str = "proxy") -> None:
    """Make a model's loss of one step infinite."""
    real, at = step.Trained.measure, []
    monkeypatch.setattr(loop, "_step", lambda run, pick, real=loop._step: at.append(pick.step) or real(run, pick))

    def bad(self, batch, total, settings):
        measured = real(self, batch, total, settings)
        if self.name == name and at[-1] == number:
            measured.bad = self.watch.verdict(float("inf"), 1.0)
        return measured

    monkeypatch.setattr(step.Trained, "measure", bad)


def test_a_bad_step_of_the_proxy_is_one_of_the_learner_too(scored, monkeypatch, caplog):
    poisoned(monkeypatch, 5)
    with pytest.raises(UserError, match=r"job: the proxy's loss is inf at step 5; worst: row \d+, .*all 4 rows are in"):
        train(scored("both", state="stopped"))
    job = scored("both", on_bad_step="skip")
    with noting_weights([job.task.clip.model, job.task.proxy.model]) as seen:
        result = train(job)
    assert result.summary["skipped_steps"] == 1 and ledger_of(result)["skipped"].index(True) == 5
    for before, after, later in zip(seen[5], seen[6], seen[7], strict=True):
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        assert any(not torch.equal(value, later[name]) for name, value in before.items())


def test_a_bad_step_of_the_learner_is_one_of_the_proxy_too(scored, monkeypatch):
    poisoned(monkeypatch, 5, "learner")
    job = scored("proxy", on_bad_step="skip")
    with noting_weights([job.task.proxy.model]) as seen:
        result = train(job)
    assert ledger_of(result)["skipped"].index(True) == 5 and result.summary["skipped_steps"] == 1
    assert all(torch.equal(value, seen[6][0][name]) for name, value in seen[5][0].items())


# Costs


def test_operations_of_a_step_with_a_proxy():
    f, f_p, b, big_b = 100.0, 25.0, 10, 50
    account = Account(Forwards({"learner": f, "proxy": f_p}, scored=f_p, scorer="proxy"))
    for as_executed in (True, False):
        assert account.step(b, big_b, as_executed) == 3 * f * b + f_p * big_b + 3 * f_p * b
        assert account.step(b, 0, as_executed) == 3 * (f + f_p) * b, "picked some steps ago"


@every_way
def test_the_ledger_tells_what_scoring_costs(scored, caplog, way):
    caplog.set_level("INFO")
    job = scored(way)
    f, f_p = (count_forward(clip).total if clip else 0.0 for clip in (job.task.clip, job.task.proxy))
    result, k = train(job), job.selection.stale_steps
    ledger, flops = ledger_of(result), result.summary["flops"]
    assert ledger["samples_scored"] == [16 * min(12, k + 1 + n) for n in range(12)], "the first k at the start"
    assert ledger["flops_scoring"] == [(f_p or f) * scored for scored in ledger["samples_scored"]]
    assert ledger["flops_proxy"] == [3 * f_p * 4 * (n + 1) for n in range(12)]
    total = 12 * (3 * f * 4 + (f_p or f) * 16 + 3 * f_p * 4)
    assert flops["as_executed_total"] == flops["paper_total"] == result.summary["plan"]["flops_as_executed"] == total
    assert flops["scoring_total"] == ledger["flops_scoring"][-1]
    assert (min(ledger["seconds_proxy"]) > 0) == (job.task.proxy is not None) == all(ledger["loss_proxy"])
    assert all(seconds == 0 for seconds in ledger["seconds_score"][12 - k :]), "the last k steps score nothing"
    if job.task.proxy is not None:
        assert flops["saved_by_proxy"] == 12 * (f * 16 - f_p * 16 - 3 * f_p * 4)
    said = {
        "stale": "by the weights of 3 steps ago;",
        "proxy": "by a proxy trained along (0.00 TFLOP less than the learner's own scores);",
        "both": "by a proxy trained along, its weights of 2 steps ago (0.00 TFLOP less than",
    }
    assert said[way] in caplog.text


# What is refused


def proxied(**selection: Any) -> SelectionSettings:
    return SelectionSettings(proxy=ModelSettings(), **selection)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: SelectionSettings("joint", stale_steps=-1), "selection.stale_steps: k = -1 is negative; use 0 or more"),
        (lambda: SelectionSettings(stale_steps=2), "selection.stale_steps: with method: uniform no model scores; leave it out, or set it in the block"),
        (proxied, "selection.proxy: with method: uniform no model scores"),
        (lambda: SelectionSettings("joint", criterion="easy_reference", stale_steps=1), "selection.stale_steps: with criterion: easy_reference no model scores"),
        (lambda: proxied(method="joint", criterion="easy_reference"), "selection.proxy: with criterion: easy_reference no model scores"),
        (lambda: LearnerSettings(selection=SelectionSettings("joint", stale_steps=9), training=TrainingSettings(steps=9)), "selection.stale_steps: k = 9 of 9 steps: the starting weights would choose every batch; use fewer than training.steps"),
        (lambda: LearnerSettings(model=ModelSettings(compact_vocabulary=False), selection=proxied(method="joint")), "selection.proxy.compact_vocabulary: is not the learner's, and both read the same token ids; set it as model.compact_vocabulary is"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(make, line):
    with pytest.raises(UserError) as refused:
        make()
    assert str(refused.value).startswith(line)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("vision_cfg.image_size", 24, "vision_cfg.image_size is 24, and 16 in the learner's "),
        ("text_cfg.context_length", 9, "text_cfg.context_length is 9, and 8 in the learner's "),
        ("text_cfg.vocab_size", 60, "text_cfg.vocab_size is 60, and 49408 in the learner's "),
        ("text_cfg.tokenizer_kwargs", {"clean": "canonicalize"}, "text_cfg's tokenizer is SimpleTokenizer "),
        (
            "preprocess_cfg.mean",
            [0.1, 0.5, 0.5],
            "preprocess_cfg.mean and std is ((0.1, 0.5, 0.5), (0.5, 0.5, 0.5)), and",
        ),
    ],
)
def test_a_proxy_that_would_see_something_else_is_one_line(make_job, proxy_file, place, value, told):
    config = json.loads(proxy_file.read_text())
    block, key = place.split(".")
    (config["model_cfg"].get(block) or config[block])[key] = value
    proxy_file.write_text(json.dumps(config))
    with pytest.raises(UserError) as refused:
        make_job(proxy=proxy_file)
    line = str(refused.value)
    assert line.startswith(f"selection.proxy: {proxy_file}: {told}") and "\n" not in line
    assert line.endswith("; give it the learner's: it sees the same pixels and token ids")


def test_a_text_tower_that_cannot_share_the_vocabulary_is_one_line(make_job, model_file):
    job = make_job()
    proxy = build_proxy(ModelSettings(config=str(model_file)), job.task.clip, job.training, "learner.json")
    del proxy.model.token_embedding
    with pytest.raises(
        UserError, match=r"proxy\.json: its text tower does not know .*; set compact_vocabulary to false"
    ):
        share_vocabulary(proxy, job.task.vocabulary, "proxy.json")
    share_vocabulary(proxy, None, "proxy.json")
