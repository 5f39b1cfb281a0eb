"""A model with timm's SigLIP image tower and open_clip's text tower as transformers' SiglipModel: the same weights under other names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from superbatch.models import ClipModel

ACTIVATIONS = {
    "none": "gelu",
    "tanh": "gelu_pytorch_tanh",
}  # torch's ways to approximate GELU, as transformers calls them
_PLACES = {
    "visual.trunk.patch_embed.proj": "vision_model.embeddings.patch_embedding",
    "visual.trunk.norm": "vision_model.post_layernorm",
    "visual.trunk.attn_pool.proj": "vision_model.head.attention.out_proj",
    "visual.trunk.attn_pool.norm": "vision_model.head.layernorm",
    "visual.trunk.attn_pool.mlp.fc1": "vision_model.head.mlp.fc1",
    "visual.trunk.attn_pool.mlp.fc2": "vision_model.head.mlp.fc2",
    "text.token_embedding": "text_model.embeddings.token_embedding",
    "text.ln_final": "text_model.final_layer_norm",
    "text.text_projection": "text_model.head",
}
_PARTS = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.proj": "self_attn.out_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_BLOCK = re.compile(r"(visual\.trunk\.blocks|text\.transformer\.resblocks)\.(\d+)\.(.+)\.(weight|bias)")
_JOINT = re.compile(
    r"(visual\.trunk\.blocks|text\.transformer\.resblocks)\.(\d+)\.attn\.(?:qkv\.|in_proj_)(weight|bias)"
)
_NEEDED = [
    f"visual.trunk.{name}"
    for name in ("pos_embed", "attn_pool.latent", "attn_pool.q.weight", "attn_pool.q.bias", "attn_pool.kv.bias")
]
_TOWER = {"visual.trunk.blocks": "vision_model", "text.transformer.resblocks": "text_model"}


def why_not_siglip(clip: ClipModel) -> str | None:
    """Say why SiglipModel cannot hold a model with a timm tower; None where it can."""
    from open_clip.transformer import TextTransformer
    from timm.layers import AttentionPoolLatent
    from timm.models.vision_transformer import Block, VisionTransformer

    model: Any = clip.model
    trunk, text = getattr(model.visual, "trunk", None), getattr(model, "text", None)
    name = clip.config["model_cfg"]["vision_cfg"].get("timm_model_name")
    if not isinstance(trunk, VisionTransformer) or not isinstance(trunk.attn_pool, AttentionPoolLatent):
        return f"its image tower is timm's {name}, and transformers' models have open_clip's own ViT or SigLIP's"
    text_is = isinstance(text, TextTransformer) and text.attn_mask is None and text.pool_type == "last"
    projection = getattr(text, "text_projection", None)
    if not text_is or not isinstance(projection, nn.Linear) or getattr(model, "logit_bias", None) is None:
        return "its image tower is SigLIP's and its text tower or its loss is not"
    blocks: list[Any] = list(trunk.blocks)
    blocks_are = all(type(block) is Block for block in blocks)
    acts: list[Any] = [layer.mlp.act for layer in (*blocks, model.visual.trunk.attn_pool)]
    text_acts: list[Any] = [block.mlp.gelu for block in model.text.transformer.resblocks]
    if not blocks_are or not _one_gelu(acts) or not _one_gelu(text_acts):
        return "its blocks or their activations are not SigLIP's"
    state = model.state_dict()
    odd = [key for key in state if not _is_known(key)] + [key for key in _NEEDED if key not in state]
    return f"SiglipModel has another place for {odd[0]}, or none" if odd else None


def _one_gelu(acts: Sequence[Any]) -> bool:
    return all(isinstance(act, nn.GELU) for act in acts) and len({act.approximate for act in acts}) == 1


def _is_known(name: str) -> bool:
    block = _BLOCK.fullmatch(name)
    return (
        name in ("logit_scale", "logit_bias", "visual.trunk.pos_embed", "text.positional_embedding")
        or name.rpartition(".")[0] in _PLACES
        or bool(_JOINT.fullmatch(name))
        or (block is not None and block[3] in _PARTS)
        or name.startswith(("visual.trunk.attn_pool.latent", "visual.trunk.attn_pool.q.", "visual.trunk.attn_pool.kv."))
    )


def siglip_config(clip: ClipModel) -> dict[str, Any]:
    """Return `config.json` of a SiglipModel."""
    model: Any = clip.model
    trunk, text = model.visual.trunk, model.text
    block, resblock = trunk.blocks[0], text.transformer.resblocks[0]
    vision = _tower(trunk.embed_dim, block.mlp.fc1, len(trunk.blocks), block.attn.num_heads, block.mlp.act, trunk.norm)
    texts = _tower(
        text.width, resblock.mlp.c_fc, len(text.transformer.resblocks), text.heads, resblock.mlp.gelu, text.ln_final
    )
    return {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "vision_config": vision
        | {"image_size": trunk.patch_embed.img_size[0], "patch_size": trunk.patch_embed.patch_size[0]},
        "text_config": texts
        | {
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context_length,
            "projection_size": text.text_projection.out_features,
        },
    }


def _tower(width: int, hidden: nn.Linear, layers: int, heads: int, act: nn.GELU, norm: nn.LayerNorm) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": hidden.out_features,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": ACTIVATIONS[act.approximate],
        "layer_norm_eps": norm.eps,
    }


def siglip_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights the names and shapes of a SiglipModel's; the caller asks `why_not_siglip` before."""
    pool = "visual.trunk.attn_pool"
    found = {
        "vision_model.embeddings.position_embedding.weight": state["visual.trunk.pos_embed"][0],
        "text_model.embeddings.position_embedding.weight": state["text.positional_embedding"],
        "vision_model.head.probe": state[f"{pool}.latent"],
        "logit_scale": state["logit_scale"].reshape(1),
        "logit_bias": state["logit_bias"].reshape(1),
    }
    for kind in ("weight", "bias"):
        joint = torch.cat([state[f"{pool}.q.{kind}"], state[f"{pool}.kv.{kind}"]])
        found[f"vision_model.head.attention.in_proj_{kind}"] = joint
    for name, tensor in state.items():
        place, _, kind = name.rpartition(".")
        if place in _PLACES:
            found[f"{_PLACES[place]}.{kind}"] = tensor
        elif (joint_of := _JOINT.fullmatch(name)) is not None:
            layer = f"{_TOWER[joint_of[1]]}.encoder.layers.{joint_of[2]}.self_attn"
            thirds = zip("qkv", torch.chunk(tensor, 3), strict=True)
            found |= {f"{layer}.{one}_proj.{joint_of[3]}": part for one, part in thirds}
        elif (block := _BLOCK.fullmatch(name)) is not None:
            found[f"{_TOWER[block[1]]}.encoder.layers.{block[2]}.{_PARTS[block[3]]}.{block[4]}"] = tensor
    return {name: tensor.detach().contiguous().clone() for name, tensor in found.items()}
