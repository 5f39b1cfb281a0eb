"""A model of open_clip's own towers as transformers' CLIPModel: the same weights under other names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# What a tower's configuration may say freely; everything else must be as open_clip has it by default, since CLIPModel knows no other.
VISION_SIZES = {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio", "patch_dropout"}
TEXT_SIZES = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_PLACES = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
}
_TURNED = {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}


def why_not_clip(config: Mapping[str, Any], has_text: bool = True) -> str | None:
    """Say why CLIPModel cannot hold a model of this configuration (`open_clip_config.json`); None where it can."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    cfg = config["model_cfg"]
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    if not isinstance(vision.get("layers", 12), int):
        return "its image tower is a ResNet, and CLIPModel has ViTs alone"
    if not isinstance(vision.get("image_size", 224), int):
        return "its images are not square"
    towers = [("vision_cfg", vision, CLIPVisionCfg, VISION_SIZES)]
    towers += [("text_cfg", text, CLIPTextCfg, TEXT_SIZES)] if has_text else []
    for name, given, kind, sizes in towers:
        usual = {field.name: field.default for field in dataclasses.fields(kind)}
        odd = sorted(key for key, value in given.items() if key not in sizes and value != usual.get(key))
        if odd:
            return f"its configuration has {name}.{odd[0]}, which CLIPModel does not know"
    return None


def clip_config(cfg: Mapping[str, Any], has_text: bool) -> dict[str, Any]:
    """Return `config.json` of a CLIPModel, of an image tower alone that of a CLIPVisionModelWithProjection."""
    vision = _vision_config(cfg)
    if not has_text:
        return vision | {"architectures": ["CLIPVisionModelWithProjection"], "model_type": "clip_vision_model"}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": cfg["embed_dim"],
        "vision_config": vision,
        "text_config": _text_config(cfg),
    }


def _vision_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    from open_clip.model import CLIPVisionCfg

    vision = CLIPVisionCfg(**cfg["vision_cfg"])
    return _tower(vision, cfg) | {
        "num_attention_heads": vision.width // vision.head_width,
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
    }


def _text_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    from open_clip.model import CLIPTextCfg

    text = CLIPTextCfg(**cfg["text_cfg"])
    # The end token has the largest id: open_clip finds it by `argmax`, transformers by its first occurrence.
    end = text.vocab_size - 1
    return _tower(text, cfg) | {
        "num_attention_heads": text.heads,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.context_length,
        "bos_token_id": end - 1,
        "eos_token_id": end,
        "pad_token_id": end,
    }


def _tower(tower: Any, cfg: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": int(tower.width * tower.mlp_ratio),
        "num_hidden_layers": tower.layers,
        "hidden_act": "quick_gelu" if cfg.get("quick_gelu") else "gelu",
        "layer_norm_eps": 1e-5,
        "projection_dim": cfg["embed_dim"],
    }


def clip_tensors(state: Mapping[str, Tensor], has_text: bool) -> dict[str, Tensor]:
    """Give an open_clip model's weights the names and shapes of a CLIPModel's; its bias has no place there and is left out."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = name.removeprefix("text.")  # of open_clip's CustomTextCLIP
        if name == "logit_bias" or not (has_text or name.startswith("visual.")):
            continue
        found |= _renamed(name, tensor.detach())
    return {name: tensor.contiguous().clone() for name, tensor in found.items()}


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return one weight under its name in CLIPModel; the joint projection of an attention layer as three."""
    if name in _PLACES:
        return {_PLACES[name]: tensor.reshape(()) if name == "logit_scale" else tensor}
    if name in _TURNED:
        return {_TURNED[name]: tensor.T}
    block = re.fullmatch(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)", name)
    assert block is not None, f"{name} has no place in CLIPModel, and `why_not_clip` did not say so"
    layer = f"{'vision' if block[1] else 'text'}_model.encoder.layers.{block[2]}"
    if (joint := re.fullmatch(r"attn\.in_proj_(weight|bias)", block[3])) is not None:
        thirds = zip("qkv", torch.chunk(tensor, 3), strict=True)
        return {f"{layer}.self_attn.{one}_proj.{joint[1]}": part for one, part in thirds}
    part, _, kind = block[3].rpartition(".")
    return {f"{layer}.{_BLOCK[part]}.{kind}": tensor}
