"""Gradients do not depend on how a batch is cut: over ranks, over micro-batches, evenly or not; in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.losses import contrastive_loss
from superbatch.models import build_model
from superbatch.models.towers import Towers
from superbatch.options import ModelSettings, SelectionSettings, TrainingSettings
from superbatch.tasks import Contrastive
from superbatch.tasks.contrastive import IMAGE, TOKENS
from superbatch.training.dealing import deal
from superbatch.training.distributed import ALONE, Ranks, joined
from superbatch.training.gradients import BatchGradients
from tests.in_ranks import in_ranks

COUNT = 11


class DoubleTowers(Towers):
    """The same model in float64, where equal means equal to 14 digits."""

    def embed(self, pixels: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        images = (pixels.double() - self.mean) * self.inverse_std
        model = self.clip.model
        return model.encode_image(images, normalize=True), model.encode_text(token_ids, normalize=True)


def task_of(model_file: Path, loss: str, dropout: float = 0.0) -> Contrastive:
    clip = build_model(ModelSettings(config=str(model_file)), loss=loss, batch_size=COUNT, seed=0)
    clip.model.double().train()
    for module in clip.model.modules():
        if dropout and isinstance(module, nn.GELU):
            module.register_forward_hook(lambda _, __, found: nn.functional.dropout(found, dropout))
    task = Contrastive(clip, TrainingSettings(loss=loss), SelectionSettings())
    mean, std = (torch.full((1, 3, 1, 1), 127.5, dtype=torch.float64) for _ in range(2))
    task._towers["learner"] = DoubleTowers(clip, mean, 1 / std, False)
    return task


def batch_of(count: int = COUNT) -> Batch:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 255, (count, 3, 16, 16), dtype=np.uint8))
    ids = torch.from_numpy(rng.integers(1, 400, (count, 8)))
    return Batch(np.arange(count), {IMAGE: pixels, TOKENS: ids})


def gradients(task: Contrastive) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in task.clip.model.named_parameters()}


def plain_loss(task: Contrastive, loss: str, batch: Batch) -> Tensor:
    """Autograd alone, in one graph."""
    outputs = task.outputs("learner", batch)
    image, text, scale = (outputs[name] for name in ("image", "text", "scale"))
    return contrastive_loss(loss)(image, text, scale, outputs.get("bias", 0.0))


def whole(model_file: Path, loss: str) -> tuple[Tensor, dict[str, Tensor]]:
    """One process, one graph, autograd alone."""
    task = task_of(model_file, loss)
    value = plain_loss(task, loss, batch_of())
    value.backward()
    return value.detach(), gradients(task)


def in_shares(model_file: Path, loss: str, accumulate: int, steps: int = 2) -> tuple[Tensor, dict[str, Tensor]]:
    with joined("cpu") as ranks:
        task = task_of(model_file, loss)
        whole_batch = BatchGradients(task, "learner", ranks, accumulate)
        for _ in range(steps):  # twice: DDP's own state must be fit for the next step
            task.clip.model.zero_grad()
            value = whole_batch.backward(batch_of().take(torch.arange(COUNT)[ranks.share(COUNT)]), COUNT)
        return value, gradients(task)


def assert_same(found: tuple[Tensor, dict[str, Tensor]], expected: tuple[Tensor, dict[str, Tensor]]) -> None:
    torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=0)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(
            found[1][name], gradient, rtol=1e-9, atol=1e-13, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_have_the_gradients_of_one_process(model_file, tmp_path, world, accumulate, loss):
    expected = whole(model_file, loss)
    for found in in_ranks(world, in_shares, tmp_path / "ranks", model_file, loss, accumulate):
        assert_same(found, expected)


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
@pytest.mark.parametrize("accumulate", [1, 2, 11])
def test_micro_batches_keep_all_negatives(model_file, accumulate, loss):
    assert_same(in_shares(model_file, loss, accumulate), whole(model_file, loss))


def test_plain_accumulation_would_lose_negatives(model_file):
    task = task_of(model_file, "sigmoid")
    for places in torch.arange(COUNT).tensor_split(3):
        plain_loss(task, "sigmoid", batch_of().take(places)).backward()
    with pytest.raises(AssertionError):
        assert_same((whole(model_file, "sigmoid")[0], gradients(task)), whole(model_file, "sigmoid"))


def seen_by_image_tower(model_file: Path, dropout: float) -> list[Tensor]:
    task, seen = task_of(model_file, "sigmoid", dropout), []
    torch.manual_seed(5)
    whole_batch = BatchGradients(task, "learner", ALONE, 2)
    task.clip.model.visual.register_forward_hook(lambda _, __, found: seen.append(found))
    whole_batch.backward(batch_of(), COUNT)
    return seen


def test_both_passes_of_a_micro_batch_drop_the_same(model_file):
    """With dropout the loss's gradients are only right if the second pass is the first one again."""
    first, second, first_again, second_again = seen_by_image_tower(model_file, 0.3)
    assert torch.equal(first, first_again) and torch.equal(second, second_again)
    assert not torch.equal(first, seen_by_image_tower(model_file, 0.0)[0]), "dropout is on"


@pytest.mark.parametrize(("ranks", "accumulate", "setting"), [(ALONE, 2, "accumulate"), (Ranks(0, 2), 1, "processes")])
@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.InstanceNorm1d(3, track_running_stats=True)])
def test_a_batch_that_is_cut_refuses_statistics_of_it(model_file, ranks, accumulate, setting, layer):
    task = task_of(model_file, "sigmoid")
    task.clip.model.extra = layer
    line = rf"training\.{setting}: the model has statistics of the batch \({type(layer).__name__}\), .*; set it to 1"
    with pytest.raises(UserError, match=line):
        BatchGradients(task, "learner", ranks, accumulate)
    BatchGradients(task, "learner", ALONE, 1)


def test_statistics_of_each_sample_alone_are_no_hindrance(model_file):
    task = task_of(model_file, "sigmoid")
    task.clip.model.extra = nn.InstanceNorm1d(3)
    BatchGradients(task, "learner", ALONE, 2)


def buffer_after_a_step(model_file: Path) -> float:
    """What a step makes of a buffer that is another one on each rank."""
    with joined("cpu") as ranks:
        task = task_of(model_file, "sigmoid")
        task.clip.model.register_buffer("note", torch.tensor(float(ranks.rank)))
        whole_batch = BatchGradients(task, "learner", ranks)
        whole_batch.backward(batch_of().take(torch.arange(COUNT)[ranks.share(COUNT)]), COUNT)
        return float(task.clip.model.note)


def test_no_step_sends_buffers(model_file, tmp_path):
    assert in_ranks(2, buffer_after_a_step, tmp_path / "ranks", model_file) == [0.0, 1.0]


def dealt(chosen: Tensor, total: int) -> Batch:
    with joined("cpu") as ranks:
        rows, held = np.arange(total) + 1000, torch.arange(total)[ranks.share(total)]
        mine = Batch(rows[ranks.share(total)], batch_of(total).take(held).fields)
        return deal(ranks, mine, rows, chosen)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("chosen", [[9, 3, 16, 0, 8], [0, 1, 2, 3, 4, 5], [16, 15, 14, 13], [4, 12, 7]])
def test_the_chosen_are_dealt_evenly_with_their_own_pixels(tmp_path, world, chosen):
    shares = in_ranks(world, dealt, tmp_path / "ranks", torch.tensor(chosen), 17)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    rows = np.concatenate([share.rows for share in shares])
    assert rows.tolist() == sorted(place + 1000 for place in chosen)
    source = batch_of(17)
    for name, tensor in source.fields.items():
        assert torch.equal(torch.cat([share[name] for share in shares]), tensor[rows - 1000])


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_frozen_tower_and_a_frozen_scale_stay_as_they_are(model_file, accumulate):
    task = task_of(model_file, "sigmoid")
    model, batch = task.clip.model, batch_of()
    for frozen in (*model.visual.parameters(), model.logit_scale):
        frozen.requires_grad_(False)
    plain_loss(task, "sigmoid", batch).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    BatchGradients(task, "learner", ALONE, accumulate).backward(batch, COUNT)
    for name, parameter in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name])
        else:
            assert parameter.grad is None
