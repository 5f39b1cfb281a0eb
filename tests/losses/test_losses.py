"""Both losses against open_clip's on one rank, against float64 from the formula, and their sums at extremes."""

from __future__ import annotations

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss

from superbatch.errors import UserError
from superbatch.losses import contrastive_loss, sigmoid_loss, softmax_loss
from superbatch.losses.sigmoid import softplus_sum
from superbatch.losses.softmax import log_sum_exp


def _batch(count: int, dim: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    torch.manual_seed(count)
    return [
        torch.nn.functional.normalize(torch.randn(count, dim, dtype=dtype), dim=-1).requires_grad_() for _ in range(2)
    ]


def _from_the_formula(name: str, image, text, scale: float, bias: float) -> float:
    """Appendix A.6 row by row, in float64."""
    logits = scale * image.detach().double() @ text.detach().double().T
    count = len(logits)
    if name == "softmax":
        rows, columns = torch.log_softmax(logits, 1), torch.log_softmax(logits, 0)
        return float(-(rows.diagonal() + columns.diagonal()).mean() / 2)
    signs = 2 * torch.eye(count, dtype=torch.float64) - 1
    return float(torch.logaddexp(torch.zeros(()).double(), -signs * (logits + bias)).sum() / count)


@pytest.mark.parametrize("count", [1, 2, 33])
@pytest.mark.parametrize(("scale", "bias"), [(10.0, -10.0), (100.0, -13.0), (1e4, 0.0)])
def test_equal_open_clip_with_gradients(count: int, scale: float, bias: float) -> None:
    peers = {"sigmoid": SigLipLoss(), "softmax": ClipLoss()}
    for name, peer in peers.items():
        ours = [*_batch(count, 16), torch.tensor(scale, requires_grad=True), torch.tensor(bias, requires_grad=True)]
        theirs = [part.detach().clone().requires_grad_() for part in ours]
        loss = contrastive_loss(name)(*ours)
        expected = peer(*theirs) if name == "sigmoid" else peer(*theirs[:3])
        torch.testing.assert_close(loss, expected, rtol=2e-6, atol=1e-6)
        assert float(loss.detach()) == pytest.approx(
            _from_the_formula(name, *ours[:2], scale, bias), rel=1e-5, abs=1e-6
        )
        loss.backward()
        expected.backward()
        for mine, other in zip(ours[:3], theirs[:3], strict=True):
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5 * max(1.0, scale / 100))


@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
def test_gradients_are_those_of_the_formula(name: str) -> None:
    parts = [
        *_batch(5, 3, torch.float64),
        torch.tensor(7.0).double().requires_grad_(),
        torch.tensor(-2.0).double().requires_grad_(),
    ]
    assert torch.autograd.gradcheck(contrastive_loss(name), parts)


def test_the_bias_does_not_change_the_softmax_loss() -> None:
    image, text = _batch(9, 4)
    assert torch.equal(softmax_loss(image, text, 10.0), softmax_loss(image, text, 10.0, -10.0))


def test_identical_embeddings_have_the_known_losses() -> None:
    same = torch.ones(4, 1)
    assert float(softmax_loss(same, same, 10.0)) == pytest.approx(float(torch.tensor(4.0).log()))
    assert float(sigmoid_loss(same, same, 10.0, -10.0)) == pytest.approx(4 * float(torch.tensor(2.0).log()))


def test_unknown_loss_is_told_in_one_line() -> None:
    with pytest.raises(UserError, match="loss: 'hinge' is not known; use one of sigmoid, softmax"):
        contrastive_loss("hinge")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("terms", [1, 2, 3, 7, 16, 65, 102])
@pytest.mark.parametrize("centre", [-1e4, -100.0, -10.0, 0.0, 5.0, 15.0, 30.0, 100.0, 1e4])
def test_folded_softplus_keeps_relative_precision(dtype: torch.dtype, terms: int, centre: float) -> None:
    generator = torch.Generator().manual_seed(terms)
    logits = (centre + 3 * torch.randn(2, terms, 11, generator=generator, dtype=torch.float64)).to(dtype)
    exact = torch.logaddexp(torch.zeros(()).double(), logits.double()).sum((0, 1))
    result = softplus_sum(logits.clone(), float(logits.max()))
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, exact, rtol=3e-14 if dtype == torch.float64 else 1e-6, atol=1e-36)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_log_sum_exp_does_not_overflow(scale: float) -> None:
    logits = scale * torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(log_sum_exp(logits.clone()), torch.logsumexp(logits, 1), rtol=1e-14, atol=1e-12)
