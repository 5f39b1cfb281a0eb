"""A model's folder for transformers: configuration, weights, image processor and CLIP's tokenizer.

Nothing here needs transformers: the files are written as its `from_pretrained` reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from superbatch.artifacts.atomic import write_json
from superbatch.exporting.parts import Exported
from superbatch.exporting.transformers_clip import clip_config, clip_tensors, why_not_clip
from superbatch.exporting.transformers_siglip import siglip_config, siglip_tensors, why_not_siglip
from superbatch.models import ClipModel

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
RESAMPLING = {"bicubic": 3, "bilinear": 2}  # Pillow's numbers


def why_not(exported: Exported) -> str | None:
    """Say why transformers cannot hold a model; None where it can, as CLIPModel or SiglipModel."""
    given = exported.clip.config.get("preprocess_cfg") or {}
    if given.get("resize_mode", "shortest") not in ("shortest", "squash"):
        return f"its pictures are fitted another way ({given['resize_mode']}) than CLIP's image processor does"
    if not has_timm(exported.clip):
        return why_not_clip(exported.clip.config, exported.has_text)
    return why_not_siglip(exported.clip) if exported.has_text else "it is a timm tower without a trained text tower"


def has_timm(clip: ClipModel) -> bool:
    """Whether the image tower is timm's; of those SiglipModel may hold one, and CLIPModel none."""
    return bool(clip.config["model_cfg"]["vision_cfg"].get("timm_model_name"))


def write_transformers(exported: Exported, directory: Path) -> None:
    """Write a model as transformers has it; the caller asks `why_not` before."""
    clip, has_text = exported.clip, exported.has_text
    state = clip.model.state_dict()
    if has_timm(clip):
        config, tensors = siglip_config(clip), siglip_tensors(state)
    else:
        config, tensors = clip_config(clip.config["model_cfg"], has_text), clip_tensors(state, has_text)
        if has_text:
            write_tokenizer(
                clip, directory
            )  # not for SiglipModel, which attends to the padding, and this tokenizer pads differently
    write_json(directory / CONFIG_FILE, config)
    save_file(tensors, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    (directory / WEIGHTS_FILE).chmod(0o644)
    write_json(directory / "preprocessor_config.json", _image_processor(clip))


def _image_processor(clip: ClipModel) -> dict[str, Any]:
    mean, std = clip.mean_std
    given = clip.config.get("preprocess_cfg") or {}
    square, squash = {"height": clip.image_size, "width": clip.image_size}, given.get("resize_mode") == "squash"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": square if squash else {"shortest_edge": clip.image_size},
        "resample": RESAMPLING.get(given.get("interpolation", "bicubic"), RESAMPLING["bicubic"]),
        "do_center_crop": not squash,
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }


def has_clips_tokenizer(clip: ClipModel) -> bool:
    """Whether a model has CLIP's own tokenizer, as CLIP has it."""
    text_cfg = clip.config["model_cfg"]["text_cfg"]
    return clip.tokenizer_name == "SimpleTokenizer" and not text_cfg.get("tokenizer_kwargs")


def write_tokenizer(clip: ClipModel, directory: Path) -> None:
    """Write CLIP's own vocabulary and merges, which open_clip brings with it, as transformers reads them."""
    own: Any = clip.tokenizer()
    start, end = "<|startoftext|>", "<|endoftext|>"
    names = {"<start_of_text>": start, "<end_of_text>": end}  # open_clip's, and those that transformers expects
    write_json(directory / "vocab.json", {names.get(token, token): number for token, number in own.encoder.items()})
    merges = sorted(own.bpe_ranks, key=own.bpe_ranks.get)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    kind = {"tokenizer_class": "CLIPTokenizer", "do_lower_case": True, "model_max_length": clip.context_length}
    write_json(directory / "tokenizer_config.json", kind | special)
    write_json(directory / "special_tokens_map.json", special)
