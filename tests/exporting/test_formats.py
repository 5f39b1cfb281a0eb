"""Round trips of what open_clip loads: written here, loaded by it, the same embeddings; and what transformers would be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from superbatch import extras
from superbatch.errors import UserError
from superbatch.exporting.parts import Exported
from superbatch.exporting.transformers_clip import clip_tensors, why_not_clip
from superbatch.exporting.transformers_folder import has_clips_tokenizer
from superbatch.exporting.transformers_siglip import siglip_tensors
from superbatch.exporting.writing import write_formats
from superbatch.files import read_json
from superbatch.models.headed import IMAGE_ONLY
from tests.exporting.conftest import FACTS, Make, run_snippets, siglip_model_cfg
from tests.tiny_model import tiny_model_cfg

TIMM = {
    "timm_model_name": "test_vit",
    "timm_model_pretrained": False,
    "timm_pool": "",
    "timm_proj": "linear",
    "image_size": 160,
}


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_open_clip_loads_both_folders_with_equal_embeddings(checkpoint: Make, tmp_path: Path, loss: str) -> None:
    own = checkpoint(loss=loss)
    write_formats(own, FACTS, ["open_clip", "huggingface"], tmp_path)
    exported = Exported.load(own)
    pixels, ids = exported.some_pixels(3), exported.some_ids(3)
    for folder in ("open_clip", "huggingface"):
        loaded: Any = open_clip.create_model(f"local-dir:{tmp_path / folder}").eval()
        assert torch.equal(loaded.encode_image(pixels, normalize=True), exported.image_tower(pixels))
        assert torch.equal(loaded.encode_text(ids, normalize=True), exported.text_tower(ids))
        assert torch.equal(loaded.logit_scale, exported.clip.model.logit_scale)
        assert (loaded.logit_bias is None) == (loss == "softmax")
        assert not (tmp_path / folder / "stage.stamp").exists()


def test_a_timm_tower_goes_to_open_clip_and_says_why_not_to_transformers(checkpoint: Make, tmp_path: Path) -> None:
    own = checkpoint(vision_cfg=TIMM, custom_text=True)
    write_formats(own, FACTS, ["huggingface"], tmp_path)
    assert not (tmp_path / "huggingface" / "model.safetensors").exists()
    card = (tmp_path / "huggingface" / "README.md").read_text()
    assert (
        "Not with transformers: its image tower is timm's test_vit, and transformers' models have open_clip's" in card
    )
    exported = Exported.load(own)
    loaded: Any = open_clip.create_model(f"local-dir:{tmp_path / 'huggingface'}").eval()
    pixels = exported.some_pixels(2)
    assert torch.equal(loaded.encode_image(pixels, normalize=True), exported.image_tower(pixels))


def test_the_cards_lines_for_open_clip_run(checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = checkpoint()
    write_formats(own, FACTS, ["open_clip", "huggingface"], tmp_path)
    clip = Exported.load(own).clip
    wanted = torch.nn.functional.normalize(
        clip.model.encode_text(clip.tokenizer()(["a red square", "a blue star"])), dim=-1
    )
    for folder in ("open_clip", "huggingface"):
        found = run_snippets(tmp_path / folder, monkeypatch, "import open_clip")
        assert torch.equal(found["texts"], wanted)
        assert found["images"].shape == (1, 16) and found["images"].norm(dim=-1).allclose(torch.ones(1))


def test_a_tower_of_images_alone_is_said_to_be_one(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = checkpoint({IMAGE_ONLY: True})
    write_formats(own, FACTS, ["open_clip", "huggingface"], tmp_path)
    card = (tmp_path / "open_clip" / "README.md").read_text()
    assert "the text tower was never trained" in card and "tokenizer" not in card
    assert "texts" not in run_snippets(tmp_path / "open_clip", monkeypatch, "import open_clip")
    config = read_json(tmp_path / "huggingface" / "config.json")
    assert config["architectures"] == ["CLIPVisionModelWithProjection"] and config["projection_dim"] == 16
    assert all(name.startswith("vis") for name in load_file(tmp_path / "huggingface" / "model.safetensors"))
    assert not (tmp_path / "huggingface" / "vocab.json").exists()


def test_every_weight_has_its_place_in_clipmodel(checkpoint: Make) -> None:
    exported = Exported.load(checkpoint())
    state = exported.clip.model.state_dict()
    found = clip_tensors(state, has_text=True)
    assert sum(tensor.numel() for tensor in found.values()) == sum(
        t.numel() for n, t in state.items() if n != "logit_bias"
    )
    layer = "vision_model.encoder.layers.0"
    joint = torch.cat([found[f"{layer}.self_attn.{part}_proj.weight"] for part in "qkv"])
    assert torch.equal(joint, state["visual.transformer.resblocks.0.attn.in_proj_weight"])
    assert torch.equal(found["text_projection.weight"], state["text_projection"].T)


def test_every_weight_has_its_place_in_siglipmodel(checkpoint: Make, tmp_path: Path) -> None:
    own = checkpoint(**siglip_model_cfg())
    write_formats(own, FACTS, ["huggingface"], tmp_path)
    state = Exported.load(own).clip.model.state_dict()
    found = siglip_tensors(state)
    assert sum(tensor.numel() for tensor in found.values()) == sum(tensor.numel() for tensor in state.values())
    written = load_file(tmp_path / "huggingface" / "model.safetensors")
    assert written.keys() == found.keys()
    assert read_json(tmp_path / "huggingface" / "config.json")["vision_config"] == {
        "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "hidden_act": "gelu", "layer_norm_eps": 1e-6, "image_size": 16, "patch_size": 8,
    }  # fmt: skip
    assert not (tmp_path / "huggingface" / "vocab.json").exists()


def test_siglips_tower_with_clips_text_tower_is_nobodys(checkpoint: Make, tmp_path: Path) -> None:
    model_cfg = siglip_model_cfg()
    own = checkpoint(**{**model_cfg, "text_cfg": {**model_cfg["text_cfg"], "no_causal_mask": False}})
    write_formats(own, FACTS, ["huggingface"], tmp_path)
    assert not (tmp_path / "huggingface" / "config.json").exists()
    card = (tmp_path / "huggingface" / "README.md").read_text()
    assert "Not with transformers: its image tower is SigLIP's and its text tower or its loss is not." in card


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"quick_gelu": True}, None),
        ({"vision_cfg": {"layers": [2, 2, 2, 2], "width": 32, "image_size": 32}}, "its image tower is a ResNet"),
        ({"vision_cfg": {"layers": 1, "pool_type": "avg"}}, "its configuration has vision_cfg.pool_type"),
        ({"vision_cfg": {"layers": 1, "pool_type": "tok"}}, None),
        ({"text_cfg": {"hf_tokenizer_name": "x"}}, "its configuration has text_cfg.hf_tokenizer_name"),
    ],
)
def test_what_clipmodel_cannot_hold_is_told(changes: dict[str, Any], reason: str | None) -> None:
    told = why_not_clip({"model_cfg": {**tiny_model_cfg(), **changes}})
    assert told is None if reason is None else told is not None and told.startswith(reason)


def test_the_tokenizer_is_clips_or_it_is_not_written(checkpoint: Make) -> None:
    clip = Exported.load(checkpoint()).clip
    assert has_clips_tokenizer(clip)
    clip.config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"reduction_mask": "simple"}
    assert not has_clips_tokenizer(clip)


def test_drawn_ids_are_texts_as_clip_has_them(checkpoint: Make) -> None:
    ids = Exported.load(checkpoint()).some_ids(40)
    ends = (ids == 49407).int().argmax(-1)
    assert ids.shape == (40, 8) and (ids[:, 0] == 49406).all() and len(ends.unique()) > 3
    assert ((ids == 49407).sum(-1) == 1).all() and all(
        (row[end + 1 :] == 0).all() for row, end in zip(ids, ends, strict=True)
    )


def test_a_missing_package_is_one_line_and_nothing_is_written(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        write_formats(checkpoint(), FACTS, ["open_clip", "onnx"], tmp_path)
    assert str(caught.value) == (
        "export.formats, onnx: needs the package onnx, which is not installed; run `pip install 'superbatch[export]'`"
    )
    assert not list(tmp_path.iterdir())
