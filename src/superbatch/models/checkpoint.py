"""Checkpoints in open_clip's own format: `open_clip.create_model("local-dir:...")` loads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import file_sha256
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.models.build import (
    ClipModel,
    instantiate,
    read_config,
    tokenizer_files,
    tokenizer_name,
)
from superbatch.models.layout import CLASSIFIER_FILE, CONFIG_FILE, LOCAL, METADATA_FILE, WEIGHTS_FILE
from superbatch.models.pixels import as_trained, warn_of_fitting
from superbatch.models.vocabulary import Vocabulary, full_vocabulary
from superbatch.models.weights import digest_of_both, find_weights, load_pretrained, require_as_saved


def save_checkpoint(
    directory: Path,
    clip: ClipModel,
    metadata: dict[str, Any],
    vocabulary: Vocabulary | None = None,
    classifier: Mapping[str, Tensor] | None = None,
    imported: bool = False,
) -> str:
    """Write configuration, weights and metadata into a directory (made if need be); the caller renames it into place.

    Args:
        directory, clip, metadata: what, and where.
        vocabulary: that the model was trained on; it is written whole.
        classifier: its class weights, for a file of their own.
        imported: whether it was trained elsewhere, so that its pictures are fitted as its configuration says.

    Returns:
        The SHA-256 of the weight file, with a classifier of the digests of both: the checkpoint's fingerprint, also in the metadata as
        `weights_sha256`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with full_vocabulary(clip.model, vocabulary) as model:
        digest = _save_tensors(model.state_dict(), directory / WEIGHTS_FILE)
    if classifier is not None:
        digest = digest_of_both(digest, _save_tensors(classifier, directory / CLASSIFIER_FILE))
    config = _config_of(clip)
    write_json(directory / CONFIG_FILE, config if imported else as_trained(config))
    _copy_tokenizer(clip, directory)
    write_json(directory / METADATA_FILE, {**metadata, "weights_sha256": digest})
    return digest


def _config_of(clip: ClipModel) -> dict[str, Any]:
    """Return a model's configuration with all that open_clip needs to load it: it takes no bias whose start isn't named."""
    (mean, std), model_cfg = clip.mean_std, clip.config["model_cfg"]
    if getattr(clip.model, "logit_bias", None) is not None:
        model_cfg = {**model_cfg, "init_logit_bias": model_cfg.get("init_logit_bias", clip.scale_and_bias()[1])}
    pixels = {**(clip.config.get("preprocess_cfg") or {}), "mean": mean, "std": std}
    return {**clip.config, "model_cfg": model_cfg, "preprocess_cfg": pixels}


def _save_tensors(tensors: Mapping[str, Tensor], file: Path) -> str:
    """Write tensors into a file; returns its SHA-256."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)
    os.chmod(file, 0o644)
    return file_sha256(file)


def _copy_tokenizer(clip: ClipModel, directory: Path) -> None:
    """Copy a tokenizer that came as files with the weights: without a network, open_clip looks nowhere else."""
    if clip.tokenizer_name.startswith(LOCAL):
        for file in tokenizer_files(Path(clip.tokenizer_name.removeprefix(LOCAL))):
            shutil.copyfile(file, directory / file.name)


def load_checkpoint(directory: Path) -> ClipModel:
    """Load an open_clip checkpoint directory, ours or any other, in evaluation mode on the CPU.

    Raises:
        UserError: no such directory, a configuration that can't be built, weights that don't fit or can't be read; one of ours whose weights
            were changed since.
    """
    directory = _existing(directory)
    require_as_saved(directory)
    config = read_config(directory)
    clip = ClipModel(instantiate(config, 0, str(directory)), config, tokenizer_name(directory, config))
    load_pretrained(clip.model, directory)
    warn_of_fitting(str(directory), config)
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
