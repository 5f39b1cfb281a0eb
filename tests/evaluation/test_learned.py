"""Few-shot, linear probe and k-NN against float64 oracles, and what must not change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from superbatch.errors import UserError
from superbatch.evaluation.features import Features
from superbatch.evaluation.few_shot import draw, few_shot_hits, ridge_scores
from superbatch.evaluation.knn import knn_hits, nearest
from superbatch.evaluation.learned import learn, learned_metrics
from superbatch.evaluation.probe import STRENGTHS, divide, linear_probe, peak, thinned
from superbatch.options import EvaluateSettings, FewShotSettings, KnnSettings, LinearProbeSettings


def features(seed: int, a_class: int, classes: int = 6, width: int = 12, noise: float = 1.5) -> Features:
    """Noisy images around a centre a class, the same centres for every seed."""
    centres = np.random.default_rng(99).normal(size=(classes, width))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), a_class))
    image = centres[labels] + noise * np.random.default_rng(seed + 1).normal(size=(len(labels), width))
    unit = torch.nn.functional.normalize(torch.from_numpy(image), dim=1)
    return Features(unit.float(), labels)


# Few-shot


@settings(max_examples=30, deadline=None)
@given(images=st.integers(2, 40), width=st.integers(1, 30), classes=st.integers(2, 5), seed=st.integers(0, 2**16))
def test_ridge_is_the_least_squares_of_the_penalised_problem(images: int, width: int, classes: int, seed: int) -> None:
    """Both closed forms, of more images than features and of fewer, against an augmented least-squares problem."""
    rng = np.random.default_rng(seed)
    train, test, labels = (
        rng.normal(size=(images, width)),
        rng.normal(size=(7, width)),
        rng.integers(classes, size=images),
    )
    l2 = float(10 ** rng.uniform(-1, 3))
    x, z = ((rows - train.mean(0)) / (train.std(0) + 1e-5) for rows in (train, test))
    x, z = (np.hstack([rows, np.full((len(rows), 1), 100.0)]) for rows in (x, z))
    y = np.where(labels[:, None] == np.arange(classes), 1.0, -1.0)
    above, beside = np.vstack([x, np.sqrt(l2) * np.eye(width + 1)]), np.vstack([y, np.zeros((width + 1, classes))])
    weights = np.linalg.lstsq(above, beside, rcond=None)[0]
    np.testing.assert_allclose(ridge_scores(train, labels, test, classes, l2), z @ weights, atol=1e-6)


def test_shots_are_so_many_of_each_class_and_fewer_are_among_more() -> None:
    labels = features(0, 8).labels_N
    few, more = draw(labels, 2, seed=3), draw(labels, 5, seed=3)
    assert np.bincount(labels[few]).tolist() == [2] * 6 and np.bincount(labels[more]).tolist() == [5] * 6
    assert set(few) < set(more) and len(set(few)) == 12
    assert set(draw(labels, 2, seed=4)) != set(few)


def test_more_shots_do_better_and_each_seed_counts() -> None:
    train, test = features(0, 30), features(5, 40)
    one, ten = (few_shot_hits(train, test, 6, shots, 4, 1024.0) for shots in (1, 10))
    assert one.shape == (4, 240) and ten.mean() > one.mean() > 1 / 6
    assert (few_shot_hits(train, test, 6, 1, 2, 1024.0) == one[:2]).all(), "a seed draws the same whatever comes after"


# k-NN


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_knn_against_scikit_learn(temperature: float) -> None:
    train, test = features(0, 30), features(5, 20)

    def weights(distances: np.ndarray) -> np.ndarray:
        return np.exp((1 - distances) / temperature)

    oracle = KNeighborsClassifier(n_neighbors=20, metric="cosine", algorithm="brute", weights=weights)
    expected = oracle.fit(train.array(), train.labels_N).predict(test.array()) == test.labels_N
    np.testing.assert_array_equal(knn_hits(train, test, 6, 20, temperature), expected)


def test_of_one_neighbour_or_of_all() -> None:
    train = features(0, 10)
    assert knn_hits(train, train, 6, k=1).all(), "each image is its own nearest"
    all_of_them = knn_hits(train, features(5, 10), 6, k=10_000)
    np.testing.assert_array_equal(all_of_them, knn_hits(train, features(5, 10), 6, k=60))


def test_knn_ties_go_to_the_lower_row_and_class_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nearest(torch.tensor([[1.0, 3.0, 1.0, 1.0, 2.0]]), 4).tolist() == [[0, 1, 2, 4]]
    same = Features(torch.ones(6, 3), np.array([2, 1, 0, 2, 1, 0]))
    assert knn_hits(same, same, 3, k=2).tolist() == [False, True, False, False, True, False]
    train, test = features(0, 20), features(5, 20)
    whole = knn_hits(train, test, 6)
    monkeypatch.setattr("superbatch.evaluation.knn.BLOCK_ENTRIES", 700)
    np.testing.assert_array_equal(knn_hits(train, test, 6), whole)


# Linear probe


def test_the_probe_is_scikit_learn_s_at_the_strength_that_validation_prefers() -> None:
    fit, choose, test = features(0, 12, noise=2.5), features(3, 12, noise=2.5), features(5, 30, noise=2.5)
    found = linear_probe(fit, choose, test)
    assert found.converged and found.l2 in STRENGTHS

    def model(l2: float, *parts: Features) -> LogisticRegression:
        image, label = np.concatenate([one.array() for one in parts]), np.concatenate([one.labels_N for one in parts])
        return LogisticRegression(C=1 / l2, max_iter=1_000).fit(image, label)

    assert model(found.l2, fit).score(choose.array(), choose.labels_N) == pytest.approx(found.accuracy)
    coarse = [model(l2, fit).score(choose.array(), choose.labels_N) for l2 in (1e-2, 1, 1e2)]
    assert found.accuracy >= max(coarse)
    np.testing.assert_array_equal(found.hits, model(found.l2, fit, choose).predict(test.array()) == test.labels_N)


@settings(max_examples=40, deadline=None)
@given(top=st.integers(0, 96))
def test_the_search_finds_the_peak(top: int) -> None:
    looked_at: list[int] = []

    def value(number: int) -> float:
        looked_at.append(number)
        return -abs(number - top)

    assert peak(value) == top
    assert len(set(looked_at)) <= 7 + 2 * 4, "as many fits as CLIP's search makes"


def test_of_equal_strengths_the_strongest() -> None:
    assert peak(lambda number: 0.5) == 96


def test_a_part_of_each_class_chooses() -> None:
    labels = np.repeat(np.arange(4), [1, 2, 10, 40])
    chosen = divide(labels, 0.2)
    assert np.bincount(labels[chosen], minlength=4).tolist() == [0, 1, 2, 8]
    np.testing.assert_array_equal(chosen, divide(labels, 0.2))


def test_too_many_images_are_thinned_class_by_class() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [2, 50, 100]))
    rows = thinned(labels, 30)
    assert np.bincount(labels[rows]).tolist() == [2, 14, 14] and len(set(rows)) == 30
    np.testing.assert_array_equal(thinned(labels, 152), np.arange(152))


# All of them


QUICK = EvaluateSettings(few_shot=FewShotSettings(shots=(1, 5), seeds=3), knn=KnnSettings(k=5))


def test_what_comes_back() -> None:
    found = learn(features(5, 20), features(0, 12), None, 6, QUICK)
    assert tuple(found["metrics"]) == learned_metrics(QUICK) == ("few_shot_1", "few_shot_5", "linear_probe", "knn")
    assert set(found["metrics"]) == set(found["confidence"]) == set(found["hits"])
    assert all(low < found["metrics"][name] < high for name, (low, high) in found["confidence"].items())
    about = found["learned"]["few_shot_5"]
    assert np.mean(about["values"]) == pytest.approx(found["metrics"]["few_shot_5"]) and len(about["values"]) == 3
    assert about["spread"] == pytest.approx(np.std(about["values"], ddof=1)) and len(found["hits"]["few_shot_5"]) == 3
    assert found["learned"]["linear_probe"]["fitted_on"] == 72 and found["learned"]["left_out"] == {}


def test_null_leaves_one_out() -> None:
    alone = replace(QUICK, few_shot=None, linear_probe=None)
    assert tuple(learn(features(5, 4), features(0, 4), None, 6, alone)["metrics"]) == ("knn",)
    assert not replace(alone, knn=None).learns and alone.learns


def test_the_order_of_labelled_images_changes_nothing() -> None:
    train, test = features(0, 12), features(5, 20)
    probe = replace(QUICK, few_shot=None)  # few-shot draws by row
    base = learn(test, train, None, 6, replace(probe, linear_probe=None))
    order = np.random.default_rng(1).permutation(len(train))
    assert learn(test, train.of(order), None, 6, replace(probe, linear_probe=None))["hits"] == base["hits"]
    with_choice = learn(test, train, features(3, 12), 6, probe)["metrics"]
    moved = learn(test, train.of(order), features(3, 12), 6, probe)["metrics"]
    assert moved == pytest.approx(with_choice)


def test_too_few_labelled_images_leave_a_metric_out_and_say_why() -> None:
    test, train = features(5, 20), features(0, 4)
    found = learn(test, train, None, 6, QUICK)
    assert "few_shot_5" not in found["metrics"] and "few_shot_1" in found["metrics"]
    assert found["learned"]["left_out"] == {"few_shot_5": "0 of 6 classes have 5 labelled images"}
    found = learn(test, train.of(train.labels_N == 4), None, 6, QUICK)
    assert found["metrics"] == {} and "too few" in found["learned"]["left_out"]["knn"]
    one_each = train.of(draw(train.labels_N, 1, 0))
    assert "choose its strength" in learn(test, one_each, None, 6, QUICK)["learned"]["left_out"]["linear_probe"]


def test_few_shot_needs_half_of_the_classes_and_never_guesses_one_without_images() -> None:
    test, train = features(5, 20), features(0, 4)
    most = learn(test, train.of(train.labels_N != 4), None, 6, QUICK)
    about = most["learned"]["few_shot_1"]
    assert (about["classes"], about["of_classes"]) == (5, 6) and "knn" in most["metrics"]
    hits = few_shot_hits(train.of(train.labels_N != 4), test, 6, 4, 3, 1024.0)
    assert not hits[:, test.labels_N == 4].any() and hits[:, test.labels_N != 4].mean() > 0.5
    few = learn(test, train.of(train.labels_N < 2), None, 6, QUICK)
    assert few["learned"]["left_out"]["few_shot_1"] == "2 of 6 classes have 1 labelled image"


def test_a_diverged_model_is_refused() -> None:
    train = features(0, 4)
    broken = Features(train.image_ND * float("nan"), train.labels_N)
    with pytest.raises(UserError, match="not finite"):
        learn(features(5, 4), broken, None, 6, QUICK)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FewShotSettings(shots=()), r"few_shot\.shots: \(\) has too few entries; use a list of 1 or more"),
        (lambda: FewShotSettings(shots=(5, 5)), "not a list of different numbers of images; .*or few_shot: null"),
        (lambda: FewShotSettings(l2=0), "few_shot.l2"),
        (lambda: LinearProbeSettings(held_out=1.0), "linear_probe.held_out: 1 is not a share"),
        (lambda: KnnSettings(k=0), "knn.k: 0 neighbours"),
        (lambda: EvaluateSettings(batch=0), "evaluate.batch"),
    ],
)
def test_wrong_settings(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
