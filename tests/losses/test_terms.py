"""Terms of a loss: value and gradients against float64 and autograd, alone and in shares, in tiles that are never large."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from superbatch.errors import UserError
from superbatch.losses import contrastive_loss, contrastive_rows, contrastive_term, cross_entropy_term, tiles

NAMES = ("sigmoid", "softmax")
Share = Callable[["Rank"], Any]


class Rank:
    """One of several threads that hold a share each; `sent` counts what it was asked to gather."""

    def __init__(self, number: int, edges: list[int], slots: list[Any], barrier: threading.Barrier) -> None:
        self.total, self.first, self.share = edges[-1], edges[number], slice(edges[number], edges[number + 1])
        self.number, self.slots, self.barrier = number, slots, barrier
        self.sent: list[list[int]] = []

    def gather(self, mine: Tensor) -> Tensor:
        assert not mine.requires_grad
        self.sent.append(list(mine.shape))
        self.slots[self.number] = mine
        self.barrier.wait(10)
        everybody = torch.cat(self.slots)
        self.barrier.wait(10)
        return everybody


def in_shares(edges: list[int], work: Share) -> list[Any]:
    """What `work` returns on each rank, in threads."""
    world = len(edges) - 1
    slots, barrier = [None] * world, threading.Barrier(world)
    found: list[Any] = [None] * world

    def one(number: int) -> None:
        try:
            found[number] = work(Rank(number, edges, slots, barrier))
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=one, args=(number,)) for number in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def inputs(count: int, scale: float = 10.0, dtype: torch.dtype = torch.float64, dim: int = 7) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    sides = [torch.randn(count, dim, generator=generator, dtype=torch.float64) for _ in range(2)]
    image, text = (torch.nn.functional.normalize(side, dim=1).to(dtype) for side in sides)
    return [image, text, torch.tensor(scale, dtype=dtype), torch.tensor(-2.0, dtype=dtype)]


def with_gradients(loss: Callable[..., Tensor], tensors: list[Tensor]) -> list[Tensor]:
    """Value, then gradients by all of the tensors."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    value = loss(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)]


def plain(name: str, count: int, scale: float = 10.0) -> list[Tensor]:
    return with_gradients(contrastive_loss(name), inputs(count, scale))


def together(edges: list[int], loss: Callable[..., Tensor], tensors: list[Tensor]) -> list[Tensor]:
    """As `with_gradients`, over shares: embeddings' gradients end to end, values and numbers' gradients summed."""
    both, numbers = tensors[:2], tensors[2:]

    def work(rank: Rank) -> list[Tensor]:
        own = [side[rank.share] for side in both]
        return with_gradients(lambda *leaves: loss(*leaves, peers=rank), [*own, *numbers])

    value, image, text, *rest = zip(*in_shares(edges, work), strict=True)
    return [torch.stack(value).sum(0), torch.cat(image), torch.cat(text), *(torch.stack(g).sum(0) for g in rest)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, right in zip(found, expected, strict=True):
        # Entries that all but cancel are as exact as the largest one is.
        largest = float(right.abs().max()) if right.numel() else 0.0
        torch.testing.assert_close(ours, right, rtol=1e-10, atol=1e-13 * max(1.0, largest))


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_LOGITS", 60)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [*range(1, 18), 33, 64, 100, 257, 300])
@pytest.mark.parametrize("as_number", [True, False])
def test_one_tile_alone_is_the_plain_loss_to_the_bit(name: str, count: int, as_number: bool) -> None:
    image, text, scale, bias = inputs(count, 13.7, torch.float32, 33)
    if as_number:
        bias = torch.zeros(())
        term = lambda i, t, s, b: contrastive_term(name, i, t, s, 0.0) + 0 * b  # noqa: E731
        loss = lambda i, t, s, b: contrastive_loss(name)(i, t, s, 0.0) + 0 * b  # noqa: E731
    else:
        term = lambda *leaves: contrastive_term(name, *leaves)  # noqa: E731
        loss = contrastive_loss(name)
    found, expected = (with_gradients(one, [image, text, scale, bias]) for one in (term, loss))
    assert all(torch.equal(ours, right) for ours, right in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("tile", [1, 23, 60, 300, 528])
def test_tiles_alone_give_the_loss_and_its_gradients(name, scale, tile, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "TILE_LOGITS", tile)
    assert_same(
        with_gradients(lambda *leaves: contrastive_term(name, *leaves), inputs(23, scale)), plain(name, 23, scale)
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("edges", [[0, 23], [0, 11, 23], [0, 1, 20, 23], [0, 0, 5, 23], [0, 23, 23, 23]])
@pytest.mark.parametrize(("tile", "scale"), [(1 << 24, 10.0), (1, 10.0), (60, 100.0)])
def test_shares_add_up_to_the_loss_and_have_its_gradients(name, edges, tile, scale, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "TILE_LOGITS", tile)
    term = lambda *leaves, peers: contrastive_term(name, *leaves, peers)  # noqa: E731
    assert_same(together(edges, term, inputs(23, scale)), plain(name, 23, scale))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
    tile=st.integers(1, 200),
    scale=st.floats(0.1, 200.0),
)
def test_any_shares_and_tiles(name, sizes, tile, scale) -> None:
    edges = [sum(sizes[:end]) for end in range(len(sizes) + 1)]
    term = lambda *leaves, peers: contrastive_term(name, *leaves, peers)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TILE_LOGITS", tile)
        assert_same(together(edges, term, inputs(edges[-1], scale)), plain(name, edges[-1], scale))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tile", [9, 1 << 24])
def test_gradients_are_those_of_finite_differences(name, tile, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "TILE_LOGITS", tile)
    leaves = [tensor.requires_grad_() for tensor in inputs(5, 7.0, dim=3)]
    assert torch.autograd.gradcheck(lambda *given: contrastive_term(name, *given), leaves)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_tiles")
def test_terms_add_up_with_weights(name) -> None:
    """Also where an embedding serves several terms, and the ranks' shares are uneven."""
    labels = torch.randint(7, (23,), generator=torch.Generator().manual_seed(0))

    def loss(image, text, scale, bias, peers=None):
        label_n = labels if peers is None else labels[peers.share]
        first = contrastive_term(name, image, text, scale, bias, peers)
        second = contrastive_term("softmax", text.roll(1, 1), image, scale / 2, 0.0, peers)
        return 0.3 * first + 2 * second + 0.7 * cross_entropy_term(image, label_n, peers, 0.1)

    def right(image, text, scale, bias):
        second = contrastive_loss("softmax")(text.roll(1, 1), image, scale / 2)
        labelled = torch.nn.functional.cross_entropy(image, labels, label_smoothing=0.1)
        return 0.3 * contrastive_loss(name)(image, text, scale, bias) + 2 * second + 0.7 * labelled

    expected = with_gradients(right, inputs(23))
    assert_same(with_gradients(loss, inputs(23)), expected)
    assert_same(together([0, 1, 1, 14, 23], loss, inputs(23)), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_tiles")
def test_only_embeddings_and_normalisers_are_sent(name) -> None:
    def work(rank: Rank) -> list[list[int]]:
        image, text, scale, bias = inputs(12)
        value = contrastive_term(name, image[rank.share].requires_grad_(), text[rank.share], scale, bias, rank)
        value.backward()
        return rank.sent

    normalisers = [[2]] if name == "softmax" else []
    for samples, sent in zip((5, 0, 7), in_shares([0, 5, 5, 12], work), strict=True):
        assert sent == [[samples, 14], *([samples, *more] for more in normalisers)]


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(one, Tensor):
                self.numel = max(self.numel, one.numel())
        return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("edges", [None, [0, 30, 31, 96]])
def test_no_matrix_of_all_pairs(name, edges, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "TILE_LOGITS", 96 * 20)  # 9,216 pairs, 96 x 14 numbers of embeddings
    tensors = inputs(96)

    def largest(work: Callable[[], Any]) -> int:
        with Largest() as seen:
            work()
        return seen.numel

    def of_share(rank: Rank) -> int:
        own = [tensor[rank.share] for tensor in tensors[:2]]
        return largest(
            lambda: with_gradients(lambda *leaves: contrastive_term(name, *leaves, rank), [*own, *tensors[2:]])
        )

    if edges is None:
        seen = [largest(lambda: with_gradients(lambda *leaves: contrastive_term(name, *leaves), tensors))]
        seen.append(largest(lambda: contrastive_rows(name, *tensors)))
    else:
        seen = in_shares(edges, of_share)
    assert all(96 * 7 < numel <= 96 * 20 for numel in seen), seen


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tile", [100, 1 << 24])
def test_half_types_and_autocast_get_float32_sums(name, tile, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "TILE_LOGITS", tile)
    image, text, scale, bias = inputs(40, dtype=torch.float32)
    image, text = image.bfloat16(), text.bfloat16()
    exact = with_gradients(contrastive_loss(name), [image.double(), text.double(), scale.double(), bias.double()])
    with torch.autocast("cpu", torch.bfloat16):
        found = with_gradients(lambda *leaves: contrastive_term(name, *leaves), [image, text, scale, bias])
    assert [gradient.dtype for gradient in found] == [torch.float32, *[torch.bfloat16] * 2, *[torch.float32] * 2]
    torch.testing.assert_close(found[0].double(), exact[0], rtol=1e-6, atol=1e-6)
    for ours, right in zip(found[1:], exact[1:], strict=True):
        torch.testing.assert_close(ours.double(), right, rtol=5e-3, atol=1e-5)


@pytest.mark.usefixtures("small_tiles")
def test_plain_numbers_are_taken_in_the_type_of_the_embeddings() -> None:
    image, text, *_ = inputs(23)
    found = contrastive_term("sigmoid", image, text, 10.1, -9.7)
    torch.testing.assert_close(found, contrastive_loss("sigmoid")(image, text, 10.1, -9.7), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("small_tiles")
def test_backward_may_be_asked_twice_but_not_derived(name) -> None:
    leaves = [tensor.requires_grad_() for tensor in inputs(9)]
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    value = weight * contrastive_term(name, *leaves)
    first = torch.autograd.grad(value, leaves, retain_graph=True)
    again = torch.autograd.grad(value, leaves, create_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    with pytest.raises(RuntimeError, match="once_differentiable"):
        again[0].sum().backward()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tile", [60, 1 << 24])
def test_rows_are_the_loss_kept_apart(name, tile, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "TILE_LOGITS", tile)
    image, text, scale, bias = inputs(23)
    rows = contrastive_rows(name, image, text, scale, bias)
    logits = scale * image @ text.T + (bias if name == "sigmoid" else 0)
    signs = 2 * torch.eye(23, dtype=torch.float64) - 1
    own = logits.diagonal()
    right = {
        "sigmoid": torch.logaddexp(torch.zeros(()).double(), -signs * logits).sum(1),
        "softmax": (logits.logsumexp(1) + logits.logsumexp(0)) / 2 - own,
    }[name]
    torch.testing.assert_close(rows, right, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(rows.mean(), contrastive_loss(name)(image, text, scale, bias))
    single = contrastive_rows(name, image.float(), text.float(), 10.0, -2.0)
    assert single.dtype == torch.float64 and not single.requires_grad


def test_a_row_that_is_not_finite_shows() -> None:
    image, text, scale, bias = inputs(23)
    image[4] = torch.nan
    assert contrastive_rows("sigmoid", image, text, scale, bias).isnan().nonzero().flatten().tolist() == [4]
    assert contrastive_rows("softmax", image, text, scale, bias).isnan().all()  # every text is held against it


def test_cross_entropy_is_torch_s_mean() -> None:
    logits = torch.randn(11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(11) % 4
    for smoothing in (0.0, 0.2):
        right = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        torch.testing.assert_close(cross_entropy_term(logits, labels, label_smoothing=smoothing), right)


def test_what_is_wrong_is_told_in_one_line() -> None:
    image, text, *rest = inputs(5)
    for call in (contrastive_term, contrastive_rows):
        with pytest.raises(UserError, match="loss: 'hinge' is not known; use one of sigmoid, softmax"):
            call("hinge", image, text, *rest)
    with pytest.raises(
        UserError, match=r"image and text embeddings \[5, 7\] and \[4, 7\]; give both for the same samples"
    ):
        contrastive_term("sigmoid", image, text[:4], *rest)


def test_edges_of_shares_cover_everything() -> None:
    for total, others in ((0, 5), (7, 0), (5000, 5000), (3, 1 << 25)):
        cut = list(tiles.spans(total, others))
        assert [index for span in cut for index in range(span.start, span.stop)] == list(range(total))
        assert all(one.stop == other.start for one, other in pairwise(cut))
