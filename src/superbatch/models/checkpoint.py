"""Checkpoints in open_clip's own format: `open_clip.create_model("local-dir:...")` loads them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import file_sha256
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.models.build import (
    CONFIG_FILE,
    LOCAL,
    ClipModel,
    find_weights,
    instantiate,
    load_pretrained,
    read_config,
    tokenizer_files,
    tokenizer_name,
)
from superbatch.models.vocabulary import Vocabulary, full_vocabulary

WEIGHTS_FILE = "open_clip_model.safetensors"
METADATA_FILE = "superbatch.json"


def save_checkpoint(
    directory: Path, clip: ClipModel, metadata: dict[str, Any], vocabulary: Vocabulary | None = None
) -> str:
    """Write configuration, weights and metadata into a directory (made if need be); the caller renames it into place.

    Returns:
        The SHA-256 of the weight file: the checkpoint's fingerprint, also in the metadata as `weights_sha256`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with full_vocabulary(clip.model, vocabulary) as model:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, directory / WEIGHTS_FILE)
    os.chmod(directory / WEIGHTS_FILE, 0o644)
    mean, std = clip.mean_std
    config = {**clip.config, "preprocess_cfg": {**(clip.config.get("preprocess_cfg") or {}), "mean": mean, "std": std}}
    write_json(directory / CONFIG_FILE, config)
    _copy_tokenizer(clip, directory)
    digest = file_sha256(directory / WEIGHTS_FILE)
    write_json(directory / METADATA_FILE, {**metadata, "weights_sha256": digest})
    return digest


def _copy_tokenizer(clip: ClipModel, directory: Path) -> None:
    """Keep a tokenizer that came in files with the weights: open_clip looks for it there, and nowhere else without a network."""
    if clip.tokenizer_name.startswith(LOCAL):
        for file in tokenizer_files(Path(clip.tokenizer_name.removeprefix(LOCAL))):
            shutil.copyfile(file, directory / file.name)


def load_checkpoint(directory: Path) -> ClipModel:
    """Load an open_clip checkpoint directory, ours or any other, in evaluation mode on the CPU."""
    directory = _existing(directory)
    config = read_config(directory)
    clip = ClipModel(instantiate(config, seed=0), config, tokenizer_name(directory, config))
    load_pretrained(clip, directory)
    clip.model.eval()
    return clip


def _existing(directory: Path) -> Path:
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(str(directory), "no such checkpoint directory", "train it first, or name another")
    return directory


def read_metadata(directory: Path) -> dict[str, Any]:
    """Return a checkpoint's metadata; for one that is not ours, the hash of its weights."""
    directory = _existing(directory)
    file = directory / METADATA_FILE
    if file.is_file():
        return read_json(file)
    return {"weights_sha256": file_sha256(find_weights(directory))}
