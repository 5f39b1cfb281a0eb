"""Fine-tuning: it learns what frozen embeddings have lost, is a function of its settings alone, and leaves the model as it was."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from superbatch.errors import UserError
from superbatch.evaluation import Evaluator, evaluate_to_files, load_evaluation_set
from superbatch.evaluation.features import Features
from superbatch.evaluation.fine_tune import Pictures, Tuner, batch_rows
from superbatch.evaluation.learned import Tuning, learn, learned_metrics
from superbatch.evaluation.results import taught
from superbatch.models import ClipModel
from superbatch.models.classifier import Classifier
from superbatch.models.headed import shown_alone
from superbatch.options import EvaluateSettings, FineTuneSettings, LinearProbeSettings
from superbatch.reporting.chance import chance_of
from superbatch.reporting.sources import is_taught
from tests.evaluation.handmade import CLASSNAMES, classification_samples

CLASSES, SIDE = 5, 4
QUICK = FineTuneSettings(steps=60, batch_size=20, learning_rates=(2e-2,))


class Narrow(nn.Module):
    """A tower whose embeddings of three dimensions lie on one curve, which keeps five classes apart poorly; with dropout."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.wide, self.narrow, self.drop = nn.Linear(3 * SIDE**2, 24), nn.Linear(24, 3), nn.Dropout(0.1)
        for parameter in self.parameters():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
        self.narrow.weight.data[1:] = self.narrow.weight.data[:1]

    def forward(self, images: Tensor) -> Tensor:
        return self.narrow(self.drop(self.wide(images.flatten(1)).relu()))


def pictures(seed: int, a_class: int) -> Pictures:
    """Noisy pictures around one a class, the same ones for every seed: classes that a linear function of the pixels separates."""
    centres = np.random.default_rng(99).normal(size=(CLASSES, 3, SIDE, SIDE))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(CLASSES), a_class))
    noise = np.random.default_rng(seed + 1).normal(size=(len(labels), 3, SIDE, SIDE))
    images = torch.from_numpy(centres[labels] + 0.3 * noise).float()
    return Pictures(lambda rows: images[torch.from_numpy(rows)], labels)


def features(tower: nn.Module, of: Pictures) -> Features:
    with torch.no_grad():
        return Features(nn.functional.normalize(tower(of.read(np.arange(len(of)))), dim=1), of.labels_N)


def tuner(settings: FineTuneSettings = QUICK, tower: nn.Module | None = None) -> Tuner:
    return Tuner(tower or Narrow().eval(), CLASSES, settings, 32, nullcontext)


def test_it_learns_what_the_frozen_embeddings_have_lost() -> None:
    test, train, tower = pictures(5, 20), pictures(0, 20), Narrow().eval()
    frozen = EvaluateSettings(few_shot=None, knn=None, linear_probe=LinearProbeSettings(50))
    probe = learn(features(tower, test), features(tower, train), None, CLASSES, frozen)["metrics"]["linear_probe"]
    found = learn(
        features(tower, test),
        features(tower, train),
        None,
        CLASSES,
        replace(frozen, linear_probe=None, fine_tune=QUICK),
        Tuning(tuner(tower=tower), test, train, None),
    )
    assert found["metrics"].keys() == found["hits"].keys() == found["confidence"].keys() == {"fine_tune"}
    assert found["metrics"]["fine_tune"] > 0.95 and probe < 0.8
    about = found["learned"]["fine_tune"]
    assert (about["learning_rate"], about["chosen_at"], about["chosen_on"], about["fitted_on"]) == (2e-2, {}, 0, 100)
    forward = 2 * (3 * SIDE**2 * 24 + 24 * 3)  # a multiplication and an addition count as two
    assert about["flops"] == 3 * forward * 20 * 60 and about["seconds"] > 0


def test_it_is_a_function_of_its_settings_and_leaves_everything_as_it_was() -> None:
    tower, train = Narrow().eval(), pictures(0, 8)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    one = tuner(tower=tower).trained(train, 2e-2).state_dict()
    assert torch.equal(torch.get_rng_state(), state) and not tower.training
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert all(parameter.grad is None for parameter in tower.parameters())
    torch.manual_seed(8)
    again = tuner(tower=tower).trained(train, 2e-2).state_dict()
    other = tuner(replace(QUICK, seed=1), tower).trained(train, 2e-2).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_first_step_is_adamw_s_at_its_learning_rate() -> None:
    """In float64 by hand: a first step of Adam moves each weight by the rate against its gradient's sign, less the decay."""
    own, train = replace(QUICK, steps=1, warmup=0.5, weight_decay=0.1), pictures(0, 8)
    tower = Narrow().eval().double()
    tower.drop.p = 0.0
    doubled = Pictures(lambda rows: train.read(rows).double(), train.labels_N)
    made = Tuner(tower, CLASSES, own, 32, nullcontext)
    torch.set_default_dtype(torch.float64)
    try:
        model = made.trained(doubled, 1e-3)
    finally:
        torch.set_default_dtype(torch.float32)
    rows = batch_rows(len(train), 20, 0, 0)
    unit = nn.functional.normalize(tower(doubled.read(rows)), dim=1).detach() * 3**0.5
    target = np.eye(CLASSES)[train.labels_N[rows]]
    gradient = (
        (1 / CLASSES - target).T @ unit.numpy() / len(rows)
    )  # of a layer that is zero, whatever the gradient's length
    np.testing.assert_allclose(model.classes.weight.detach().numpy(), -1e-3 * np.sign(gradient), rtol=1e-3)
    decayed = (1 - 1e-3 * 0.1) * tower.wide.weight.detach()  # the tower gets no gradient through a layer of zeros
    np.testing.assert_allclose(model.tower.wide.weight.detach().numpy(), decayed.numpy(), rtol=1e-12)


def test_the_learning_rate_is_chosen_on_images_that_it_was_not_trained_on() -> None:
    own = replace(QUICK, learning_rates=(1e-7, 2e-2))
    found = tuner(own).measured(pictures(0, 20), pictures(3, 4), pictures(5, 20))
    assert found.learning_rate == 2e-2 and set(found.accuracies) == {"1e-07", "0.02"}
    assert found.accuracies["1e-07"] < 0.6 < 0.9 < found.accuracies["0.02"]
    assert found.flops == pytest.approx(
        3 * tuner(QUICK).measured(pictures(0, 20), pictures(3, 4), pictures(5, 1)).flops
    )
    even = replace(QUICK, steps=1, learning_rates=(2e-9, 1e-9))
    assert tuner(even).measured(pictures(0, 4), pictures(3, 4), pictures(5, 1)).learning_rate == 1e-9, "of equal ones"


def test_one_image_a_class_chooses_nothing_and_says_so() -> None:
    test, one_each = pictures(5, 4), pictures(0, 1)
    several = EvaluateSettings(
        few_shot=None, linear_probe=None, knn=None, fine_tune=replace(QUICK, learning_rates=(1e-3, 2e-2))
    )
    tower = Narrow().eval()
    both = features(tower, test), features(tower, one_each)
    left_out = learn(*both, None, CLASSES, several, Tuning(tuner(several.fine_tune), test, one_each, None))["learned"][
        "left_out"
    ]
    assert left_out == {"fine_tune": "one labelled image a class leaves none to choose its learning rate on"}
    alone = replace(several, fine_tune=QUICK)
    found = learn(*both, None, CLASSES, alone, Tuning(tuner(), test, one_each, None))
    assert found["learned"]["fine_tune"]["fitted_on"] == CLASSES and found["learned"]["left_out"] == {}
    assert learned_metrics(several) == ("fine_tune",) and learned_metrics(EvaluateSettings())[-1] == "knn"


def test_batches_are_permutations_cut() -> None:
    epoch = np.concatenate([batch_rows(20, 6, 0, step) for step in range(3)])
    assert len(set(epoch)) == 18, "two are left out until the next epoch"
    assert not np.array_equal(batch_rows(20, 6, 0, 3), batch_rows(20, 6, 0, 0))
    assert not np.array_equal(batch_rows(20, 6, 1, 0), batch_rows(20, 6, 0, 0))
    np.testing.assert_array_equal(np.sort(batch_rows(4, 6, 0, 9)), np.arange(4))


def test_pictures_of_two_sets_keep_their_order() -> None:
    one, two = pictures(0, 2), pictures(3, 1)
    both = one.of(np.arange(10) % 2 == 0).beside(two)
    rows = np.array([7, 0, 5, 3])
    expected = [two.read(np.array([2])), one.read(np.array([0])), two.read(np.array([0])), one.read(np.array([6]))]
    assert torch.equal(both.read(rows), torch.cat(expected))
    assert both.labels_N.tolist() == [*one.labels_N[::2], *two.labels_N]
    assert torch.equal(both.read(np.array([6])), two.read(np.array([1])))


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    own = FineTuneSettings(steps=100)
    shares = [own.share_of_rate(step) for step in range(101)]
    assert (
        shares[0] == 0.1 and shares[9] == shares[10] == 1.0 and shares[55] == pytest.approx(0.5) and shares[100] == 0.0
    )
    assert FineTuneSettings(steps=1).share_of_rate(0) == 1.0


@pytest.mark.parametrize("kind", ["pairs", "images", "classes"])
def test_results_of_every_kind_of_model_have_it(classification, tiny: ClipModel, tmp_path: Path, kind: str) -> None:
    sets = [load_evaluation_set(*classification())]
    sets.append(load_evaluation_set(*classification("validation", classification_samples(40)), split="validation"))
    shown = {"pairs": tiny, "images": shown_alone(tiny), "classes": Classifier(tiny, CLASSNAMES, 10.0, 0).shown}[kind]
    own = FineTuneSettings(steps=30, batch_size=16, learning_rates=(3e-3,))
    plain = EvaluateSettings(few_shot=None, linear_probe=None)
    about = {"checkpoint": "it", "model_name": kind}
    evaluator = Evaluator.for_model(sets, shown, "cpu")
    for settings in (plain, replace(plain, fine_tune=own)):
        evaluate_to_files(evaluator, shown.model, "test", tmp_path, settings=settings, **about)
    result = json.loads((tmp_path / "colours.json").read_text())
    assert result["metrics"]["fine_tune"] > 0.9, "four colours"
    assert result["taught"]["fine_tune"]["steps"] == 30 and result["learned"]["fine_tune"]["fitted_on"] > 0
    assert chance_of("fine_tune", result) == 0.25 and is_taught("colours/fine_tune")
    again = evaluate_to_files(evaluator, shown.model, "test", tmp_path, settings=replace(plain, fine_tune=own), **about)
    assert again["skipped"] == ["colours"]


def test_without_it_results_are_what_they_were() -> None:
    assert set(taught(EvaluateSettings())) == {"few_shot", "linear_probe", "knn"}
    assert EvaluateSettings(few_shot=None, linear_probe=None, knn=None, fine_tune=QUICK).learns


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: FineTuneSettings(steps=0), "fine_tune.steps: 0 steps are too few"),
        (lambda: FineTuneSettings(batch_size=0), "fine_tune.batch_size: 0"),
        (lambda: FineTuneSettings(learning_rates=()), "fine_tune.learning_rates"),
        (lambda: FineTuneSettings(learning_rates=(0.0,)), "fine_tune.learning_rates"),
        (
            lambda: FineTuneSettings(learning_rates=(1e-3, 1e-3)),
            "is not a list of different learning rates; use such as",
        ),
        (lambda: FineTuneSettings(held_out=1.0), "fine_tune.held_out: 1 is not a share of the images"),
        (lambda: FineTuneSettings(warmup=1.0), "fine_tune.warmup: 1 is not a share of the steps"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(make, line: str) -> None:
    with pytest.raises(UserError, match=line):
        make()


def test_operations_are_of_the_images_that_there_are() -> None:
    few = tuner(QUICK).measured(pictures(0, 2), pictures(3, 1), pictures(5, 1))
    many = tuner(QUICK).measured(pictures(0, 20), pictures(3, 4), pictures(5, 1))
    assert few.flops == pytest.approx(many.flops * 15 / 20), "a batch of 20 out of 15 images has 15"
