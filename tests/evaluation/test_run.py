"""The evaluator end to end on hand-made shards: against open_clip's own classifier, and leaving no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from superbatch.data.reader import ImageReader
from superbatch.errors import UserError
from superbatch.evaluation import EvaluationSet, Evaluator, load_evaluation_set
from superbatch.models import ClipModel

from .handmade import CLASSNAMES, TEMPLATES, classification_samples, picture

Make = Callable[..., tuple[Path, Path]]


def own_images(clip: ClipModel, count: int) -> torch.Tensor:
    """Embed the pictures straight from PIL."""
    pixels = torch.from_numpy(np.stack([np.asarray(picture(i)) for i in range(count)])).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in clip.mean_std)
    with torch.no_grad():
        return clip.model.encode_image((pixels / 255 - mean) / std, normalize=True)


def test_golden_against_open_clip(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    found = Evaluator.for_model(both_sets, tiny, "cpu", batch_size=7).evaluate(tiny.model, "test")
    templates = [lambda c, t=t: t.replace("{c}", c) for t in TEMPLATES]
    classifier = open_clip.build_zero_shot_classifier(tiny.model, tiny.tokenizer(), CLASSNAMES, templates)
    logits = own_images(tiny, 24) @ classifier
    assert found["metrics"]["colours/top1"] == pytest.approx(
        float((logits.argmax(1) == torch.arange(24) % 4).float().mean())
    )
    with torch.no_grad():
        texts = tiny.model.encode_text(tiny.tokenizer()(list(both_sets[1].captions)), normalize=True)
    scores = own_images(tiny, 10) @ texts.T
    assert found["metrics"]["captions/text_to_image_r1"] == pytest.approx(
        float((scores.argmax(0) == torch.arange(30) // 3).float().mean())
    )
    assert found["metrics"]["captions/image_to_text_r1"] == pytest.approx(
        float((scores.argmax(1) // 3 == torch.arange(10)).float().mean())
    )


def test_what_comes_back(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    found = Evaluator.for_model(both_sets, tiny, "cpu").evaluate(tiny.model, "test")
    m = found["metrics"]
    retrieval_main = (m["captions/image_to_text_r1"] + m["captions/text_to_image_r1"]) / 2
    assert m["headline"] == pytest.approx((m["colours/top1"] + retrieval_main) / 2)
    assert all(isinstance(value, float) for value in m.values())
    assert found["split"] == "test" and set(found["sets"]) == {"colours", "captions"}
    assert found["sets"]["captions"]["num_texts"] == 30 and found["sets"]["colours"]["num_images"] == 24
    assert [row["name"] for row in found["sets"]["colours"]["per_class"]] == CLASSNAMES


class Counting:
    """Counts what is read and tokenised."""

    def __init__(self, inner: Callable[[list[str]], torch.Tensor]) -> None:
        self.inner, self.texts = inner, 0

    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.texts += len(texts)
        return self.inner(texts)


def test_pixels_and_tokens_are_kept(
    both_sets: list[EvaluationSet], tiny: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Counting(tiny.tokenizer())
    evaluator = Evaluator(both_sets, tokenizer, tiny.image_size, *tiny.mean_std, "cpu")
    first = evaluator.evaluate(tiny.model, "test")["metrics"]
    texts = tokenizer.texts
    monkeypatch.setattr(ImageReader, "read", None)
    assert evaluator.evaluate(tiny.model, "test")["metrics"] == first
    assert tokenizer.texts == texts == 12 + 30


def test_a_small_cache_changes_nothing(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    kept = Evaluator.for_model(both_sets, tiny, "cpu")
    none = Evaluator.for_model(both_sets, tiny, "cpu", cache_bytes=0)
    one = Evaluator.for_model(both_sets, tiny, "cpu", cache_bytes=24 * 3 * 16 * 16)
    expected = kept.evaluate(tiny.model, "test")["metrics"]
    for evaluator in (none, one, none, one):
        assert evaluator.evaluate(tiny.model, "test")["metrics"] == expected
    kept_sets = [[one.num_bytes > 0 for one in e.encoder._pixels.values()] for e in (kept, none, one)]
    assert [sum(of_evaluator) for of_evaluator in kept_sets] == [2, 0, 1]


def test_distinct_texts_are_encoded_once(
    retrieval_split: Make, tiny: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [(str(i), {"txt": f"One thing\none  thing\nthing {i % 2}"}) for i in range(6)]
    evaluator = Evaluator.for_model([load_evaluation_set(*retrieval_split(samples=samples))], tiny, "cpu")
    encoded: list[int] = []
    inner = tiny.model.encode_text
    monkeypatch.setattr(
        tiny.model, "encode_text", lambda ids, normalize: encoded.append(len(ids)) or inner(ids, normalize=normalize)
    )
    evaluator.evaluate(tiny.model, "test")
    assert sum(encoded) == 3  # "one thing" in two spellings of the same tokens, "thing 0", "thing 1"


def test_nothing_is_left_behind(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    model = copy.deepcopy(tiny.model).train()
    model.visual.eval()  # a frozen tower, as users have it
    modes = [module.training for module in model.modules()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    evaluator = Evaluator.for_model(both_sets, tiny, "cpu")
    first = evaluator.evaluate(model, "test")["metrics"]
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert first == evaluator.evaluate(model.eval(), "test")["metrics"]


def test_splits_are_kept_apart(classification: Make, tiny: ClipModel) -> None:
    sets = [
        load_evaluation_set(*classification("validation", classification_samples(8)), split="validation"),
        load_evaluation_set(*classification("test"), split="test"),
    ]
    evaluator = Evaluator.for_model(sets, tiny, "cpu")
    assert evaluator.evaluate(tiny.model, "validation")["sets"]["colours"]["num_images"] == 8
    assert evaluator.evaluate(tiny.model, "test")["sets"]["colours"]["num_images"] == 24
    with pytest.raises(UserError, match="no set has a split 'train'; there are test, validation"):
        evaluator.evaluate(tiny.model, "train")


def test_wrong_lists_of_sets(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    with pytest.raises(UserError, match="none given"):
        Evaluator.for_model([], tiny, "cpu")
    with pytest.raises(UserError, match="two are called"):
        Evaluator.for_model([both_sets[0], both_sets[0]], tiny, "cpu")


def test_a_diverged_model_is_refused(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    model = copy.deepcopy(tiny.model)
    with torch.no_grad():
        model.visual.proj.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        Evaluator.for_model(both_sets, tiny, "cpu").evaluate(model, "test")


def test_a_model_that_learned_the_colours_scores_high(both_sets: list[EvaluationSet], tiny: ClipModel) -> None:
    """A hand-made model: colour channels as the image embedding, the colour's word as the text embedding."""

    class Colours(torch.nn.Module):
        def encode_image(self, images: torch.Tensor, normalize: bool) -> torch.Tensor:
            means = images * torch.tensor([0.3, 0.4, 0.5]).view(1, 3, 1, 1) + torch.tensor([0.5, 0.4, 0.3]).view(
                1, 3, 1, 1
            )
            return torch.nn.functional.normalize(
                torch.cat([means.mean((2, 3)) - 0.45, torch.full((len(images), 1), 0.05)], 1), dim=1
            )

        def encode_text(self, ids: torch.Tensor, normalize: bool) -> torch.Tensor:
            words = tiny.tokenizer()(CLASSNAMES)[:, 1]
            return (ids[:, :, None] == words).any(1).float()

    metrics = Evaluator.for_model(both_sets[:1], tiny, "cpu").evaluate(Colours(), "test")["metrics"]
    assert metrics["colours/top1"] == 1.0 and metrics["headline"] == 1.0
