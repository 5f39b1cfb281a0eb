"""Checkpoints that are taken away: the smallest that there are, of each kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer

from superbatch.exporting.card import Facts
from superbatch.models import build_model, save_checkpoint
from superbatch.options import ModelSettings
from tests.tiny_model import tiny_model_cfg

Make = Callable[..., Path]
FACTS = Facts(
    run="jest",
    about="A CLIP model.",
    has_text=True,
    data=[("pool", "39,600", "trained on")],
    data_notes=["Ingestion left out 400 samples."],
    method=["800 steps of 64 samples."],
    settings=[("training.loss", "sigmoid | softmax")],
    cost=[("time", "70 s")],
    results=[("classification/top1", "39.2 %", "[37.0, 41.4]", "1,920")],
    results_notes=["Intervals are over images."],
    limits=["One seed (n = 1)."],
    licence=None,
    origin=[("run hash", "ac23")],
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make a checkpoint: `checkpoint(metadata, loss=..., **model_cfg)`."""

    def make(metadata: dict[str, Any] | None = None, loss: str = "sigmoid", **model_cfg: Any) -> Path:
        folder = tmp_path_factory.mktemp("model")
        pixels = {
            "mean": [0.5, 0.4, 0.3],
            "std": [0.25, 0.3, 0.2],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        }
        config = {"model_cfg": {**tiny_model_cfg(), **model_cfg}, "preprocess_cfg": pixels}
        (folder / "model.json").write_text(json.dumps(config))
        clip = build_model(ModelSettings(config=str(folder / "model.json")), loss=loss, batch_size=8, seed=3)
        save_checkpoint(folder / "checkpoint", clip, metadata or {})
        (folder / "checkpoint" / "stage.stamp").write_text("{}")
        return folder / "checkpoint"

    return make


def siglip_model_cfg() -> dict[str, Any]:
    """open_clip's `model_cfg` of SigLIP in its smallest form: timm's ViT with attention pooling, a text tower without a mask."""
    return {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": {"image_size": 16, "timm_model_name": "tiny_siglip", "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {
            "context_length": 8, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "no_causal_mask": True,
            "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"},
        },
    }  # fmt: skip


def tiny_siglip(pretrained: bool = False, **given: Any) -> VisionTransformer:
    """SigLIP's tower as timm has it, in small."""
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    made = VisionTransformer(**sizes, class_token=False, global_pool="map", num_classes=0)
    made.pretrained_cfg = made.default_cfg = {}
    return made


@pytest.fixture(scope="session", autouse=True)
def known_to_timm() -> None:
    """Let timm make it by name."""
    register_model(tiny_siglip)


def photo(folder: Path) -> Path:
    """Put a picture there that snippets open, 16 pixels a side and smooth."""
    ramp = np.linspace(0, 255, 16)
    pixels = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (16, 1)), np.full((16, 16), 90.0)], -1)
    Image.fromarray(pixels.astype(np.uint8)).save(folder / "photo.png")
    (folder / "photo.png").rename(folder / "photo.jpg")  # Pillow goes by content; no loss on the way
    return folder / "photo.jpg"


def run_snippets(folder: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> dict[str, Any]:
    """Run the code of a card that has a word in it, in the card's folder, and return what it defined."""
    photo(folder)
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    (code,) = [block for block in blocks if word in block]
    found: dict[str, Any] = {}
    exec(code, found)
    return found
