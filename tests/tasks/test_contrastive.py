"""What the contrastive task reads by its rule, and how far its temperature may go."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from superbatch.errors import UserError
from superbatch.models import ClipModel, build_model
from superbatch.options import ModelSettings, SelectionSettings, TrainingSettings
from superbatch.tasks import Contrastive, Reference
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS
from tests.tiny_model import tiny_model_cfg

CPU = torch.device("cpu")


@pytest.fixture
def make_clip(tmp_path: Path):
    """Return a function that builds a tiny model for a loss, its temperature starting somewhere."""
    (tmp_path / "model.json").write_text(json.dumps({"model_cfg": tiny_model_cfg(vocab_size=64)}))

    def make(loss: str = "sigmoid", scale: float = 10.0) -> ClipModel:
        model = ModelSettings(config=str(tmp_path / "model.json"), init_logit_scale=scale)
        return build_model(model, loss=loss, batch_size=4, seed=0)

    return make


@pytest.mark.parametrize(
    ("rule", "scoring", "later", "ahead"),
    [
        (SelectionSettings(), (), (IMAGE, TOKENS), False),
        (SelectionSettings("joint"), (IMAGE, TOKENS, *CACHED), (), False),
        (SelectionSettings("joint", criterion="hard_learner"), (IMAGE, TOKENS), (), False),
        (SelectionSettings("joint", criterion="easy_learner"), (IMAGE, TOKENS), (), False),
        (SelectionSettings("joint", criterion="easy_reference"), CACHED, (IMAGE, TOKENS), True),
        (SelectionSettings("independent", criterion="easy_reference"), CACHED, (IMAGE, TOKENS), True),
    ],
)
def test_it_reads_what_the_rule_needs_and_nothing_twice(make_clip, rule, scoring, later, ahead) -> None:
    reads = Contrastive(make_clip(), TrainingSettings(), rule, Reference(10.0, -1.0)).reads
    assert (reads.training, reads.scoring, reads.later, reads.ahead) == ((IMAGE, TOKENS), scoring, later, ahead)


@pytest.mark.parametrize(
    ("loss", "start", "setting", "bound"),
    [
        ("sigmoid", 118.0, None, None),  # SigLIP's weights
        ("sigmoid", 118.0, 110.0, 110.0),
        ("softmax", 10.0, None, 100.0),  # CLIP's clamp
        ("softmax", 118.0, None, 118.0),  # imported weights keep theirs
        ("softmax", 118.0, 100.0, 100.0),
        ("softmax", 10.0, 50.0, 50.0),
    ],
)
def test_the_temperature_goes_as_far_as_its_loss_allows(make_clip, loss, start, setting, bound) -> None:
    settings = TrainingSettings(loss=loss, max_scale=setting)
    clip = make_clip(loss, start)
    task = Contrastive(clip, settings, SelectionSettings())
    task.place(CPU, settings)
    for value, expected in ((start, min(start, bound or start)), (500.0, bound or 500.0), (0.5, 1.0)):
        with torch.no_grad():
            clip.model.logit_scale.fill_(math.log(value))
            task.after_update(0)
        assert clip.scale_and_bias()[0] == pytest.approx(expected, rel=1e-5)


def test_a_bound_below_the_smallest_scale_is_refused() -> None:
    with pytest.raises(UserError, match=r"training\.max_scale: 0\.5 is below the smallest scale, 1; use 1 or more"):
        TrainingSettings(max_scale=0.5)
