"""What must hold on whatever device is here: a GPU where there is one (larger sizes), else the CPU. Needs the core's packages alone.

`python benchmarks/gpu.py --prove` runs them with `-m gpu`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from superbatch.data.augment import NUMBERS, augmented
from superbatch.data.fields import Drawn
from superbatch.losses import contrastive_loss, contrastive_term
from superbatch.options import AugmentSettings
from superbatch.selection import PairEmbeddings, chunk_sizes, select_jointly
from superbatch.selection.noise import gumbel
from tests.selection import oracle

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
COUNT, CHOSEN, DIM, CHUNKS = (4_096, 1_024, 768, 4) if ON_GPU else (160, 40, 16, 4)
SEED, STEP, GAIN = 3, 11, 20.0
SCORE_TOLERANCE = 1e-3  # of a score summed over the chosen, from embeddings in half precision


def on_device(pairs: PairEmbeddings) -> PairEmbeddings:
    return PairEmbeddings(
        pairs.image_ND.to(DEVICE), pairs.text_ND.to(DEVICE), scale=pairs.scale, bias=pairs.bias, name=pairs.name
    )


def keys_of(learner: PairEmbeddings, reference: PairEmbeddings, loss: str, earlier: Tensor, chunk: int) -> Tensor:
    """[B] in float64: what the oracle ranks candidates by, after the given picks; the picks themselves are out."""
    keys = GAIN * oracle.score(learner, reference, "learnability", loss, earlier)
    keys[earlier] = -torch.inf
    return keys + gumbel(SEED, STEP, range(chunk, chunk + 1), torch.arange(COUNT))[0]


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_picks_are_the_oracle_s_but_for_rounding(loss: str, dtype: torch.dtype) -> None:
    """Each chunk, given the selection's own earlier picks: nothing left out ranks clearly above anything taken."""
    models = [oracle.make_pairs(COUNT, DIM, seed, dtype=dtype, name=str(seed)) for seed in (1, 2)]
    found = select_jointly(
        *map(on_device, models), CHOSEN, num_chunks=CHUNKS, gain=GAIN, loss=loss, seed=SEED, step=STEP
    )
    indices, conditional = found.indices.cpu(), found.conditional.cpu().double()
    assert len(indices.unique()) == CHOSEN
    sizes = chunk_sizes(COUNT, CHOSEN, CHUNKS)
    expected = oracle.conditional_scores(*models, indices, sizes, loss=loss)
    torch.testing.assert_close(conditional, expected, rtol=SCORE_TOLERANCE, atol=SCORE_TOLERANCE)
    start = 0
    for chunk, size in enumerate(sizes):
        keys = keys_of(*models, loss, indices[:start], chunk)
        taken = indices[start : start + size]
        left = torch.ones(COUNT, dtype=torch.bool)
        left[indices[: start + size]] = False
        slack = 2 * GAIN * SCORE_TOLERANCE * max(1.0, float(expected[start : start + size].abs().max()))
        assert float(keys[taken].min()) >= float(keys[left].max()) - slack
        start += size


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
@pytest.mark.parametrize("count", [CHOSEN, 6_000 if ON_GPU else 4_200])  # whole, and in tiles
def test_the_loss_and_its_gradients_are_the_float64_ones(loss: str, count: int) -> None:
    pairs = oracle.make_pairs(count, DIM, 5)
    exact = [one.clone().requires_grad_() for one in (pairs.image_ND, pairs.text_ND)]
    scalars = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (10.0, -5.0)]
    right = contrastive_loss(loss)(*exact, *scalars)
    wanted = torch.autograd.grad(right, [*exact, *scalars], allow_unused=True, materialize_grads=True)
    ours = [one.detach().float().to(DEVICE).requires_grad_() for one in (*exact, *scalars)]
    value = contrastive_term(loss, *ours)
    grads = torch.autograd.grad(value, ours, allow_unused=True, materialize_grads=True)
    assert float(value.detach()) == pytest.approx(float(right.detach()), rel=1e-4)
    for mine, their in zip(grads, wanted, strict=True):
        scale = float(their.abs().max()) or 1.0
        torch.testing.assert_close(mine.cpu().double(), their, rtol=0, atol=1e-3 * scale)


def test_views_on_the_device_are_those_on_the_cpu() -> None:
    pixels = torch.randint(0, 256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    numbers = torch.from_numpy(Drawn(3, 1_000, NUMBERS).read(np.arange(8), 5))
    there = augmented(pixels.to(DEVICE), numbers.to(DEVICE), AugmentSettings())
    here = augmented(pixels, numbers, AugmentSettings())
    assert (there.cpu().float() - here.float()).abs().max() <= (2 if here.dtype == torch.uint8 else 0.02)


def test_a_selection_again_gives_the_same_picks() -> None:
    models = [on_device(oracle.make_pairs(COUNT, DIM, seed, dtype=torch.float16)) for seed in (1, 2)]
    once, again = (select_jointly(*models, CHOSEN, num_chunks=CHUNKS, seed=SEED, step=STEP) for _ in range(2))
    assert torch.equal(once.indices, again.indices)
