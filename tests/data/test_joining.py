"""Captions of few and common words come first: against a count by hand, and in the order that a run draws."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superbatch.data.fields import Source, Stored
from superbatch.data.joining import arranged, joining, rarity
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


def test_rarity_of_pieces_that_are_parts_of_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The offsets of such a part count from the beginning of the whole array."""
    captions = [[f"{'cat ' * (row % 3)}number {row}", "another one"] for row in range(10)]
    made = write_made_up(tmp_path / "a", range(10), "a", captions=captions)
    (whole,) = made.batches(["captions"])
    monkeypatch.setattr(type(made), "batches", lambda *_: (whole.slice(start, 3) for start in range(0, 10, 3)))
    assert rarity([made]) == pytest.approx(by_hand([first for first, _ in captions]))


def test_captions_that_are_labels_join_evenly_all_along(tmp_path: Path) -> None:
    """Else a run would begin with a class or two; a caption that is no label keeps its value."""
    names = ["a coat"] * 300 + ["a very rare kind of shoe"] * 300
    captions = [*names, *(" ".join(["drawing"] * (row % 40 + 1)) for row in range(400))]
    made = write_made_up(tmp_path / "a", range(1_000), "a", captions=[[caption] for caption in captions])
    plain = np.array(by_hand(captions))
    key = rarity([made])
    assert key[600:] == pytest.approx(plain[600:])
    first = joining(np.arange(1_000), key, 0)[Order(0, 1_000, 10, growth=growth_of(0.1, 0.5, 20)).rows(0)]
    assert {names[row] for row in first[first < 600]} == {"a coat", "a very rare kind of shoe"}
    below = (key[:600] < np.median(key[600:])).reshape(2, 300).mean(1)
    assert below == pytest.approx([0.5, 0.5], abs=0.1)
    alone = write_made_up(tmp_path / "b", range(100), "b", captions=[[name] for name in names[250:350]])
    assert len(set(rarity([alone]))) == 1, "nothing but labels: by chance"


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


@pytest.mark.parametrize("rows", [None, np.arange(50, 250)])
def test_rows_that_are_left_out_stay_left_out(rows: np.ndarray | None) -> None:
    aside = np.array([3, 40, 41, 199])
    source = Source({"row": Stored(lambda rows: rows, 250)}, rows, aside)
    key_N = np.random.default_rng(1).random(250)
    found = arranged(source, key_N, 5)
    before, after = (one.manifest_rows(np.arange(one.num_rows)) for one in (source, found))
    assert sorted(after) == sorted(before) and found.num_rows == source.num_rows
    assert found.left_out.rows.tolist() == source.left_out.rows.tolist()
    order = Order(5, found.num_rows, 10, growth=growth_of(0.1, 0.5, 20))
    first = found.manifest_rows(order.rows(0))
    assert key_N[first].max() < np.quantile(key_N[before], 0.12)
