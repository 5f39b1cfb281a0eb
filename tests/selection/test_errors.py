"""Wrong input gets one line that says what and where."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from superbatch.errors import UserError
from superbatch.selection import PairEmbeddings, scores_given, select_independently, select_jointly
from tests.selection.oracle import make_pairs

GOOD = torch.eye(6)


def spoilt(value: float) -> torch.Tensor:
    bad = GOOD.clone()
    bad[4, 2] = value
    return bad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((spoilt(float("nan")), GOOD, 1.0), r"learner.image_ND: row 4 has NaN or infinity \(1 such rows\)"),
        ((GOOD, spoilt(float("inf")), 1.0), r"learner.text_ND: row 4 has NaN or infinity"),
        ((GOOD, GOOD[:5], 1.0), r"learner: has shapes image \[6, 6\], text \[5, 6\]"),
        (
            ("image_features", "text_features", "logit_scale"),
            r"learner.image_ND: is the text 'image_features': .* dictionary; make it with output_dict=False, or give out",
        ),
        ((GOOD, GOOD.numpy(), 1.0), r"learner.text_ND: is a ndarray; give a tensor"),
        ((GOOD[0], GOOD[0], 1.0), r"learner: has shapes image \[6\]"),
        ((GOOD[:0], GOOD[:0], 1.0), r"learner: has shapes image \[0, 6\]"),
        ((GOOD, GOOD.double(), 1.0), r"learner: has types torch.float32 and torch.float64"),
        ((GOOD.long(), GOOD.long(), 1.0), r"learner: has types torch.int64"),
        ((GOOD, GOOD.to("meta"), 1.0), r"learner: lies on cpu and meta"),
        ((GOOD, GOOD, float("nan")), r"learner.scale: is nan"),
        ((GOOD, GOOD, -3.0), r"learner.scale: is -3.0; give the exponentiated temperature"),
        ((GOOD, GOOD, 1.0, float("inf")), r"learner.bias: is inf"),
        ((GOOD * 1e30, GOOD, 1e10), r"learner: has rows of length .*: their products overflow; normalise"),
    ],
)
def test_bad_embeddings(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        PairEmbeddings(*arguments, name="learner")
    assert isinstance(caught.value, ValueError) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_select": 7}, "num_select: is 7 of a super-batch of 6; choose at least 1 and at most all"),
        ({"num_select": 0}, "num_select: is 0 of a super-batch of 6"),
        ({"num_select": 2.5}, "num_select: is 2.5; give a whole number"),
        ({"num_chunks": 0}, "num_chunks: is 0"),
        ({"reference": make_pairs(5, 3, 0)}, "reference: has 5 rows, the learner 6"),
        ({"reference": None}, "reference: is missing, and learnability needs it"),
        ({"learner": None}, "learner: is missing, and learnability needs it"),
        (
            {"criterion": "hardest"},
            "criterion: 'hardest' is not known; use one of learnability, easy_reference, hard_learner, easy_learner",
        ),
        ({"loss": "hinge"}, "loss: 'hinge' is not known; use one of sigmoid, softmax"),
        ({"gain": float("inf")}, "gain: is inf"),
        ({"gain": -1.0}, "gain: is -1.0"),
        ({"rows": torch.arange(5)}, r"rows: is torch.int64 \[5\] for a super-batch of 6"),
        ({"rows": torch.rand(6)}, r"rows: is torch.float32 \[6\]"),
        ({"tile": 0}, "tile: is 0"),
        ({"step": 1.5}, "step: is 1.5; give a whole number"),
    ],
)
def test_bad_calls(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "learner": make_pairs(6, 3, 0),
        "reference": make_pairs(6, 3, 1),
        "num_select": 3,
    } | change
    with pytest.raises(UserError, match=message):
        select_jointly(**arguments)


@pytest.mark.parametrize("choose", [select_jointly, select_independently])
def test_a_model_without_a_bias_is_not_scored_by_the_sigmoid_loss(choose: Any) -> None:
    """As CLIP is: with a bias of 0 the loss would choose other samples, and nobody would know."""
    clip = PairEmbeddings(torch.eye(6), torch.eye(6), 100.0, name="learner")
    message = (
        r'learner\.bias: was not given, and the sigmoid loss needs it; pass loss="softmax" for a model that has none'
    )
    with pytest.raises(UserError, match=message):
        choose(clip, make_pairs(6, 3, 1), 3)
    with pytest.raises(UserError, match=message):
        scores_given(torch.tensor([1]), clip, None, criterion="hard_learner")
    assert len(choose(clip, clip, 3, loss="softmax").indices) == 3


def test_independent_complains_likewise() -> None:
    with pytest.raises(UserError, match="num_select: is 9"):
        select_independently(make_pairs(6, 3, 0), make_pairs(6, 3, 1), 9)
