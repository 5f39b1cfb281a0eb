"""The picks' distribution against enumeration of all outcomes, and wrong builds that this must catch."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from scipy import stats

from superbatch.selection import chunk_sizes, select_jointly
from superbatch.selection import draw as drawing
from superbatch.selection.interactions import Interactions
from superbatch.selection.noise import gumbel
from tests.selection import oracle

GAIN = 1.0
Outcome = tuple[frozenset[int], ...]
# Few dimensions and a high temperature: what is chosen first changes the rest of the scores by several units.
MODELS = {
    "sigmoid": (oracle.make_pairs(5, 2, 5, scale=3.0, bias=0.0), oracle.make_pairs(5, 2, 6, scale=2.0, bias=0.5)),
    "softmax": (oracle.make_pairs(5, 2, 5, scale=3.0), oracle.make_pairs(5, 2, 6, scale=2.0)),
}


def successive(weights: list[float], members: frozenset[int]) -> float:
    """Probability that draws without replacement by these weights give exactly these members, in any order."""
    total = 0.0
    for order in itertools.permutations(members):
        left, probability = sum(weights), 1.0
        for member in order:
            probability *= weights[member] / left
            left -= weights[member]
        total += probability
    return total


def enumerate_outcomes(loss: str, sizes: tuple[int, ...], chosen: tuple[int, ...] = ()) -> dict[Outcome, float]:
    """Every sequence of chunks with its exact probability."""
    if not sizes:
        return {(): 1.0}
    scores = oracle.score(*MODELS[loss], "learnability", loss, torch.tensor(chosen, dtype=torch.int64))
    weights = [0.0 if i in chosen else math.exp(GAIN * float(scores[i])) for i in range(5)]
    outcomes = {}
    for members in itertools.combinations(sorted(set(range(5)) - set(chosen)), sizes[0]):
        here = successive(weights, frozenset(members))
        for rest, probability in enumerate_outcomes(loss, sizes[1:], chosen + members).items():
            outcomes[(frozenset(members), *rest)] = here * probability
    return outcomes


def draw(loss: str, num_select: int, num_chunks: int, draws: int) -> Counter[Outcome]:
    """Outcomes of `draws` selections, one a step."""
    counts: Counter[Outcome] = Counter()
    for step in range(draws):
        picked = select_jointly(
            *MODELS[loss], num_select, num_chunks=num_chunks, gain=GAIN, loss=loss, seed=11, step=step
        )
        parts = picked.indices.split(list(picked.chunk_sizes))
        counts[tuple(frozenset(part.tolist()) for part in parts)] += 1
    return counts


def p_value(loss: str, num_select: int, num_chunks: int, draws: int = 1000) -> float:
    """Chi-square of the outcomes against enumeration, rare outcomes pooled. Half as many draws tell each wrong build below."""
    expected = enumerate_outcomes(loss, chunk_sizes(5, num_select, num_chunks))
    assert sum(expected.values()) == pytest.approx(1.0)
    counts = draw(loss, num_select, num_chunks, draws)
    cells = [(counts[outcome], draws * share) for outcome, share in expected.items()]
    common = [cell for cell in cells if cell[1] >= 5]
    rare = [cell for cell in cells if cell[1] < 5]
    pooled = [*common, (sum(c for c, _ in rare), sum(e for _, e in rare))] if rare else common
    observed, wanted = zip(*[cell for cell in pooled if cell[1] > 0], strict=True)
    return float(stats.chisquare(observed, wanted).pvalue)


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
@pytest.mark.parametrize(("num_select", "num_chunks"), [(2, 1), pytest.param(3, 3, marks=pytest.mark.slow), (4, 2)])
def test_outcomes_are_as_enumerated(loss: str, num_select: int, num_chunks: int) -> None:
    assert p_value(loss, num_select, num_chunks) > 1e-3


def test_the_interactions_are_strong() -> None:
    """Otherwise the test above would prove nothing about later chunks."""
    for loss, models in MODELS.items():
        alone = torch.softmax(
            GAIN * oracle.score(*models, "learnability", loss, torch.tensor([], dtype=torch.int64))[1:], 0
        )
        given = torch.softmax(GAIN * oracle.score(*models, "learnability", loss, torch.tensor([0]))[1:], 0)
        assert (alone - given).abs().sum() / 2 > 0.2, loss


def _same_noise_for_all_chunks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        drawing, "gumbel", lambda seed, step, chunks, rows: gumbel(seed, step, range(1), rows).expand(len(chunks), -1)
    )


def _no_interactions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Interactions, "scores", lambda self: torch.zeros_like(self.state_SB[0]))


def _one_direction_only(patch: pytest.MonkeyPatch) -> None:
    right = Interactions.chosen
    patch.setattr(Interactions, "chosen", lambda self, places: right(self, places)[[0, 0]])


def _moved_without_the_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Interactions, "move", lambda self, target, source: None)


WRONG_BUILDS = [_same_noise_for_all_chunks, _no_interactions, _one_direction_only, _moved_without_the_state]


@pytest.mark.parametrize("build", WRONG_BUILDS)
@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_a_wrong_build_fails(
    build: Callable[[pytest.MonkeyPatch], None], loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(monkeypatch)
    assert p_value(loss, 3, 3, draws=500) < 1e-6
