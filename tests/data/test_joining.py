"""Captions of few and common words come first: against a count by hand, and in the order that a run draws."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superbatch.data.joining import joining, rarity
from superbatch.data.order import Order, growth_of
from tests.manifests import write_made_up

WORDS = st.text(st.sampled_from("aBcé ßİ-"), max_size=12)


def by_hand(captions: list[str]) -> list[float]:
    words = [caption.lower().split(" ") if caption.strip() else [""] for caption in captions]
    counts = Counter(word for caption in words for word in caption)
    return [sum(math.log(counts.total() / counts[word]) for word in caption) for caption in words]


def test_rarity_is_the_sum_of_minus_log_p_of_the_first_caption_s_words(tmp_path: Path) -> None:
    captions = [["Red cat", "purple"], ["cat"], [" cat  cat "], [""]]
    first = write_made_up(tmp_path / "a", range(3), "a", captions=captions[:3])
    second = write_made_up(tmp_path / "b", [0], "b", captions=captions[3:])
    whole = [math.log(6) + math.log(6 / 4), math.log(6 / 4), 2 * math.log(6 / 4), math.log(6)]
    assert rarity([first, second]) == pytest.approx(whole)
    assert rarity([first]) == pytest.approx(by_hand(["Red cat", "cat", "cat cat"]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(captions=st.lists(WORDS, min_size=1, max_size=20))
def test_rarity_of_any_captions(captions: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("sets") / "a"
    made = write_made_up(folder, range(len(captions)), "a", captions=[[caption] for caption in captions])
    assert rarity([made]) == pytest.approx(by_hand([" ".join(caption.split()) for caption in captions]))


@pytest.mark.parametrize("seed", [0, -3])
def test_the_lowest_keys_join_first_and_equal_ones_by_chance(seed: int) -> None:
    rows, key = np.arange(7, 1_007), np.random.default_rng(0).integers(0, 5, 1_000)
    arranged = joining(rows, key, seed)
    order = Order(seed, 1_000, 10, growth=growth_of(0.1, 0.5, 20))
    seen = [arranged[order.rows(step)] - 7 for step in range(10)]
    assert sorted(arranged) == rows.tolist()
    assert set(key[seen[0]]) == {0} and len(set(key[seen[9]])) > 2, "a tenth at first, and more and more"
    assert not np.array_equal(arranged, joining(rows, key, seed + 1)), "another seed, another order"
    tied = joining(rows, np.zeros(1_000), seed)[order.rows(0)]
    assert tied.max() > 500, "rows of equal keys come from everywhere"
