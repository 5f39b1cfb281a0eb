from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize

from superbatch.losses import fit_scale_and_bias, mean_loss
from tests.selection.oracle import make_pairs


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_the_least_loss_is_found_whatever_the_start(loss: str) -> None:
    made = make_pairs(64, 8, 0)
    batches = list(zip(made.image_ND.split(32), made.text_ND.split(32), strict=True))
    least = minimize(
        lambda x: float(mean_loss(batches, float(torch.tensor(x[0]).exp()), x[1], loss)),
        [1.0, -3.0],
        method="Nelder-Mead",
        tol=1e-7,
    )
    for start in (0.0, 3.0):
        found = fit_scale_and_bias(
            batches, torch.tensor(start, dtype=torch.float64), torch.tensor(-5.0, dtype=torch.float64), loss
        )
        assert found.loss_after == pytest.approx(least.fun, abs=1e-6) and found.loss_after < found.loss_before
        assert float(found.log_scale) == pytest.approx(least.x[0], abs=1e-2)
