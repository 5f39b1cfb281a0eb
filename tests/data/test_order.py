"""The order: a pure function, a bijection per epoch."""

from __future__ import annotations

import pickle
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.data.order import (
    Candidates,
    Growth,
    Order,
    candidates_of,
    growth_of,
    permute,
    places_of_joining,
    round_keys,
)
from superbatch.errors import UserError
from superbatch.options import SelectionSettings, ThenSettings

sizes = st.integers(1, 300)
seeds = st.integers(-(2**70), 2**70)


@given(sizes, seeds)
@settings(deadline=None, max_examples=60)
def test_permutation_is_one_to_one(size: int, seed: int) -> None:
    assert sorted(permute(np.arange(size), size, round_keys(seed))) == list(range(size))


@given(rows=sizes, batch=sizes, window=st.integers(0, 320), seed=seeds)
@settings(deadline=None, max_examples=80)
def test_an_epoch_visits_each_row_at_most_once(rows: int, batch: int, window: int, seed: int) -> None:
    batch = min(batch, rows)
    order = Order(seed, rows, batch, window)
    for epoch in (0, 3):
        first = epoch * order.steps_per_epoch
        steps = range(first, first + order.steps_per_epoch)
        assert {order.epoch(step) for step in steps} == {epoch}
        seen = np.concatenate([order.rows(step) for step in steps])
        assert len(np.unique(seen)) == len(seen) == rows - order.dropped_per_epoch
        assert seen.min() >= 0 and seen.max() < rows


def test_any_step_by_itself_and_in_any_process() -> None:
    order = Order(7, 1_000, 64)
    later = order.rows(40)
    again = pickle.loads(pickle.dumps(order))  # what a spawned worker gets
    assert [again.rows(step).tolist() for step in (0, 40)] == [order.rows(0).tolist(), later.tolist()]
    assert later.dtype == np.int64 and later.shape == (64,)


def test_known_rows_stay_known() -> None:
    """Changing the permutation changes every run: then training.job.STATE_FORMAT must rise too."""
    assert Order(0, 1_000, 8).rows(0).tolist() == KNOWN


KNOWN = [339, 468, 929, 499, 319, 163, 936, 235]


@given(rows=sizes, shares=st.integers(1, 9), window=st.integers(0, 320))
@settings(deadline=None, max_examples=40)
def test_shares_joined_are_the_whole(rows: int, shares: int, window: int) -> None:
    order = Order(5, rows, rows // 2 + 1, window)
    shares = min(shares, order.batch_size)
    pieces = [order.rows(1, share, shares) for share in range(shares)]
    assert np.concatenate(pieces).tolist() == order.rows(1).tolist()
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_seeds_and_epochs_differ() -> None:
    order = Order(0, 500, 500)
    assert not np.array_equal(order.rows(0), order.rows(1))
    assert not np.array_equal(order.rows(0), Order(1, 500, 500).rows(0))


def test_shuffle_is_even() -> None:
    """Over many seeds every row lands at every place equally often (chi-square, 29 * 29 degrees of freedom)."""
    rows, seeds = 30, 3_000
    counts = np.zeros((rows, rows))
    for seed in range(seeds):
        counts[np.arange(rows), Order(seed, rows, rows).rows(0)] += 1
    expected = seeds / rows
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = (rows - 1) ** 2
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_neighbours_part() -> None:
    """Neighbouring positions don't stay neighbours more often than chance has it."""
    rows = Order(3, 100_000, 100_000).rows(0)
    assert (np.abs(np.diff(rows)) == 1).sum() < 20
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 0.02


def test_window_keeps_reads_together() -> None:
    order = Order(0, 10_000, 100, shuffle_window=1_000)
    spans = [np.unique(((order.rows(step) - order.rows(0).min()) % 10_000) // 1_000) for step in range(5)]
    assert max(len(span) for span in spans) <= 2


def test_dropped_tail_is_another_in_each_epoch() -> None:
    order = Order(0, 10, 4)
    dropped = [
        set(range(10)) - set(order.rows(2 * e).tolist()) - set(order.rows(2 * e + 1).tolist()) for e in range(20)
    ]
    assert order.dropped_per_epoch == 2 and len({frozenset(d) for d in dropped}) > 5


def test_a_position_costs_the_same_in_a_huge_pool() -> None:
    rows = Order(0, 10**12, 4_096).rows(10**6)
    assert len(np.unique(rows)) == 4_096 and rows.max() > 10**11


@pytest.mark.parametrize(("rows", "batch", "words"), [(5, 8, ["8", "5", "B ="]), (0, 1, ["1", "0"]), (5, 0, ["B = 0"])])
def test_a_super_batch_that_does_not_fit(rows: int, batch: int, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        Order(0, rows, batch)
    assert all(word in str(caught.value) for word in words)


def test_negative_window() -> None:
    with pytest.raises(UserError, match="shuffle_window"):
        Order(0, 10, 2, -1)


@given(rows=st.integers(40, 400), first=st.integers(4, 40), last=st.integers(4, 40), shares=st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_of_a_super_batch_the_first_rows_are_looked_at(rows: int, first: int, last: int, shares: int) -> None:
    steps, size = 9, max(first, last)
    whole, part = Order(5, rows, size), Order(5, rows, size, candidates=(Candidates(first, last, steps),))
    sizes = [part.size(step) for step in range(steps)]
    assert (sizes[0], sizes[-1]) == (first, last) and part.looked_at(range(steps)) == sum(sizes)
    assert sizes == sorted(sizes, reverse=first > last), "one way, without a jump back"
    for step in range(steps):
        pieces = [part.rows(step, share, shares) for share in range(shares)]
        assert np.concatenate(pieces).tolist() == whole.rows(step)[: sizes[step]].tolist()
        assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


@pytest.mark.parametrize("final", [None, 0.5])
def test_of_two_stretches_each_has_its_own_sizes(final: float | None) -> None:
    rule = SelectionSettings("joint", 0.75, "easy_reference", then=ThenSettings(0.4, "easy_learner", 0.8, final))
    parts = candidates_of(rule, 4, 10)
    order = Order(5, 60, rule.largest(4), candidates=parts)
    sizes = [order.size(step) for step in range(10)]
    assert sizes == [16] * 4 + ([20] * 6 if final is None else [round(20 * 0.4 ** (n / 5)) for n in range(6)])
    assert [order.largest(steps) for steps, _ in rule.stretches(10)] == [16, 20]
    assert order.looked_at(range(3, 6)) == sum(sizes[3:6])
    assert order.rows(1).tolist() == Order(5, 60, 20).rows(1)[:16].tolist()


@given(rows=st.integers(40, 300), last=st.integers(2, 12), over=st.integers(1, 8), shares=st.integers(1, 2))
@settings(deadline=None, max_examples=40)
def test_once_the_size_has_settled_whole_epochs_are_read(rows: int, last: int, over: int, shares: int) -> None:
    """Until then it is the order of ever; behind it each epoch has every row once but for a tail that fills no batch."""
    first, per_epoch = 30, rows // last
    order = Order(7, rows, first, candidates=(Candidates(first, last, over + 2 * per_epoch, over),))
    whole = Order(7, rows, first)
    for step in range(over):
        assert order.rows(step).tolist() == whole.rows(step)[: order.size(step)].tolist()
    assert order.size(over - 1) == (last if over > 1 else first)
    for epoch in range(2):
        steps = range(over + epoch * per_epoch, over + (epoch + 1) * per_epoch)
        read = [np.concatenate([order.rows(step, share, shares) for share in range(shares)]) for step in steps]
        assert {len(batch) for batch in read} == {last}
        assert len(set(np.concatenate(read).tolist())) == last * per_epoch > rows - last


@given(rows=st.integers(40, 300), last=st.integers(2, 12), over=st.integers(1, 8), joining=st.integers(1, 8))
@settings(deadline=None, max_examples=40)
def test_once_the_size_has_settled_and_all_rows_have_joined_whole_epochs_are_read(
    rows: int, last: int, over: int, joining: int
) -> None:
    per_epoch, begin = rows // last, max(over, joining)
    sizes = Candidates(30, last, begin + 2 * per_epoch, over)
    order = Order(7, rows, 30, candidates=(sizes,), growth=Growth(0.2, joining))
    for epoch in range(2):
        steps = range(begin + epoch * per_epoch, begin + (epoch + 1) * per_epoch)
        read = [row for step in steps for row in order.rows(step).tolist()]
        assert len(set(read)) == len(read) == last * per_epoch > rows - last


@st.composite
def stretches(draw: st.DrawFn) -> Candidates:
    size, steps = st.integers(2, 12), draw(st.integers(1, 30))
    over = draw(st.none() | st.integers(1, steps - 1)) if steps > 1 else None
    return Candidates(draw(size), draw(size), steps, over)


@given(rows=st.integers(12, 90), parts=st.lists(stretches(), min_size=1, max_size=3), joining=st.integers(0, 20))
@settings(deadline=None, max_examples=60)
def test_no_epoch_visits_a_row_twice_whatever_follows_a_size_that_has_settled(
    rows: int, parts: list[Candidates], joining: int
) -> None:
    order = Order(7, rows, 12, 0, tuple(parts), Growth(0.5, joining) if joining else None)
    seen: dict[int, list[int]] = defaultdict(list)
    for step in range(joining, sum(part.steps for part in parts)):
        epoch, _ = order._place(step, order.size(step))
        assert epoch >= max(seen, default=0)
        seen[epoch] += order.rows(step).tolist()
    assert all(len(set(rows_of)) == len(rows_of) for rows_of in seen.values())


def test_a_criterion_that_takes_over_after_f_has_settled_begins_an_epoch() -> None:
    rule = SelectionSettings("joint", 0.8, final_filter_ratio=0.0, falls_over=0.25, then=ThenSettings(0.2))
    order = Order(0, 1000, rule.largest(10), candidates=candidates_of(rule, 10, 100))
    assert [order._place(step, order.size(step)) for step in (4, 5, 19, 20, 39, 40)] == [
        *((0, 200), (1, 0), (1, 140)),  # falls to b, and stays
        *((2, 0), (2, 950), (3, 0)),  # the learner chooses
    ]


def test_f_falls_over_a_share_of_the_steps_and_stays() -> None:
    rule = SelectionSettings("joint", 0.75, "easy_reference", final_filter_ratio=0.0, falls_over=0.3)
    (part,) = candidates_of(rule, 4, 10)
    assert part == Candidates(16, 4, 10, 3) and part.settles == 3
    order = Order(5, 60, rule.largest(4), candidates=(part,))
    assert [order.size(step) for step in range(10)] == [16, 8] + [4] * 8
    assert candidates_of(replace(rule, falls_over=1.0), 4, 10) == (Candidates(16, 4, 10),)
    assert candidates_of(replace(rule, falls_over=0.01), 4, 10)[0].settles == 1, "one step at least"


def test_sizes_that_do_not_change_need_no_candidates() -> None:
    rule = SelectionSettings("joint", 0.75, then=ThenSettings(filter_ratio=0.75))
    assert candidates_of(rule, 4, 10) == () == candidates_of(SelectionSettings(), 4, 10)


@given(rows=st.integers(8, 300), batch=sizes, first=st.floats(0.01, 0.9), steps=st.integers(1, 30), seed=seeds)
@settings(deadline=None, max_examples=80)
def test_rows_join_until_all_are_in(rows: int, batch: int, first: float, steps: int, seed: int) -> None:
    """A step draws from the first of one order that stays, from ever more of them; then come whole epochs."""
    batch = min(batch, rows)
    growth = Growth(first, steps)
    order = Order(seed, rows, batch, growth=growth)
    counts = [growth.rows_in(step, rows, batch) for step in range(steps)]
    assert counts == sorted(counts) and batch <= counts[0] and counts[-1] <= rows
    assert counts[0] == max(batch, round(first * rows))
    joined = [set(order._joined(np.arange(n), step, batch).tolist()) for step, n in enumerate(counts)]
    assert all(few <= more for few, more in zip(joined, joined[1:], strict=False))
    for step in range(steps):
        drawn = order.rows(step)
        assert len(np.unique(drawn)) == batch and set(drawn.tolist()) <= joined[step]
    epoch = np.concatenate([order.rows(steps + step) for step in range(order.steps_per_epoch)])
    assert len(np.unique(epoch)) == len(epoch) == rows - order.dropped_per_epoch


def test_after_the_last_rows_have_joined_steps_are_those_of_a_run_that_began_with_all() -> None:
    plain = Order(3, 500, 16)
    growing = replace(plain, growth=growth_of(0.1, 0.25, 40))
    assert growing.growth == Growth(0.1, 10)
    assert [growing.rows(step).tolist() for step in range(10, 40)] == [plain.rows(step).tolist() for step in range(30)]
    assert growth_of(1.0, 0.3, 40) is None


def test_no_epoch_comes_in_the_order_of_joining() -> None:
    """By rarity it would go from the commonest captions to the rarest. Epochs before it keep their shuffle, later ones have the next one's."""
    plain = Order(3, 100, 10)
    growing = replace(plain, growth=Growth(0.1, 5))
    joining = tuple(places_of_joining(100, 3))
    epochs = [_epoch(growing, number, begin=5) for number in range(9)]
    assert len({joining, *epochs}) == 10
    assert epochs == [_epoch(plain, number + (number >= 4)) for number in range(9)]
    assert [growing.last_epoch(steps) for steps in (3, 5, 15, 16, 95)] == [0, 0, 0, 1, 8]


def _epoch(order: Order, number: int, begin: int = 0) -> tuple[int, ...]:
    steps = range(begin + 10 * number, begin + 10 * (number + 1))
    return tuple(np.concatenate([order.rows(step) for step in steps]).tolist())


def test_few_rows_are_drawn_evenly() -> None:
    """50 rows over 400 steps of 10: each comes 80 times, give or take what chance does (4.5 standard deviations)."""
    order = Order(0, 1_000, 10, growth=Growth(0.05, 10**9))
    drawn = np.concatenate([order.rows(step) for step in range(400)])
    rows, counts = np.unique(drawn, return_counts=True)
    assert len(rows) == 50 and np.abs(counts - 80).max() < 4.5 * (400 * 0.2 * 0.8) ** 0.5


@given(rows=st.integers(8, 300), shares=st.integers(1, 6), step=st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_shares_of_a_step_with_few_rows_joined_are_the_whole(rows: int, shares: int, step: int) -> None:
    order = Order(5, rows, max(shares, rows // 4), growth=Growth(0.3, 10))
    parts = [order.rows(step, share, shares) for share in range(shares)]
    assert np.concatenate(parts).tolist() == order.rows(step).tolist()


@given(
    rows=st.integers(8, 200),
    more=st.integers(1, 40),
    batch=st.integers(1, 8),
    grows=st.integers(0, 12),
    step=st.integers(0, 20),
    window=st.sampled_from([0, 16]),
)
@settings(deadline=None, max_examples=80)
def test_rows_that_are_taken_in_are_drawn_like_all_others(
    rows: int, more: int, batch: int, grows: int, step: int, window: int
) -> None:
    """From a step on, once all others have joined: in whole epochs, at positions behind the others; before, nothing changes."""
    plain = Order(3, rows, batch, window, growth=Growth(0.5, grows) if grows else None)
    order, first = plain.with_more(step, more), max(step, grows)
    assert [order.rows(n).tolist() for n in range(first)] == [plain.rows(n).tolist() for n in range(first)]
    per_epoch = (rows + more) // batch
    epochs = [[order.rows(first + n + epoch * per_epoch) for n in range(per_epoch)] for epoch in range(2)]
    for seen in map(np.concatenate, epochs):
        assert len(np.unique(seen)) == len(seen) == per_epoch * batch
        assert seen.min() >= rows and seen.max() < rows + rows + more
    assert order.size(first) == batch and order.looked_at(range(first, first + 3)) == 3 * batch
    assert pickle.loads(pickle.dumps(order)) == order
    shares = [order.rows(first, share, batch) for share in range(batch)]
    assert np.concatenate(shares).tolist() == epochs[0][0].tolist()


def test_taking_rows_in_is_no_order_seen_before() -> None:
    plain = Order(3, 90, 10)
    before, after = plain.rows(0), plain.with_more(0, 10).rows(0) - 90
    assert not np.array_equal(before, after) and not np.array_equal(Order(3, 100, 10).rows(0), after)
    ever = np.concatenate([plain.with_more(5, 10).rows(step) for step in range(5, 15)])
    assert sorted(ever) == list(range(90, 190))
