"""Checkpoints in open_clip's own format: `open_clip.create_model("local-dir:...")` loads them."""

from __future__ import annotations

import hashlib
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
    find_weights,
    instantiate,
    load_pretrained,
    read_config,
    tokenizer_files,
    tokenizer_name,
)
from superbatch.models.layout import CLASSIFIER_FILE, CONFIG_FILE, LOCAL, METADATA_FILE, WEIGHTS_FILE
from superbatch.models.vocabulary import Vocabulary, full_vocabulary


def save_checkpoint(
    directory: Path,
    clip: ClipModel,
    metadata: dict[str, Any],
    vocabulary: Vocabulary | None = None,
    classifier: Mapping[str, Tensor] | None = None,
) -> str:
    """Write configuration, weights and metadata into a directory (made if need be); the caller renames it into place.

    Args:
        directory, clip, metadata: what, and where.
        vocabulary: that the model was trained on; it is written whole.
        classifier: its class weights, for a file of their own.

    Returns:
        The SHA-256 of the weight file, with a classifier of the digests of both: the checkpoint's fingerprint, also in the metadata as
        `weights_sha256`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with full_vocabulary(clip.model, vocabulary) as model:
        digest = _save_tensors(model.state_dict(), directory / WEIGHTS_FILE)
    if classifier is not None:
        digest = _digest_of_both(digest, _save_tensors(classifier, directory / CLASSIFIER_FILE))
    mean, std = clip.mean_std
    config = {**clip.config, "preprocess_cfg": {**(clip.config.get("preprocess_cfg") or {}), "mean": mean, "std": std}}
    write_json(directory / CONFIG_FILE, config)
    _copy_tokenizer(clip, directory)
    write_json(directory / METADATA_FILE, {**metadata, "weights_sha256": digest})
    return digest


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
        UserError: no such directory, weights that don't fit or can't be read; one of ours whose weights were changed since.
    """
    directory = _existing(directory)
    _require_as_saved(directory)
    config = read_config(directory)
    clip = ClipModel(instantiate(config, seed=0), config, tokenizer_name(directory, config))
    load_pretrained(clip, directory)
    clip.model.eval()
    return clip


def _require_as_saved(directory: Path) -> None:
    """Refuse a checkpoint of ours whose weights have changed since: its stamp knows only sizes, and later stages rely on the digest."""
    file, metadata = directory / WEIGHTS_FILE, directory / METADATA_FILE
    saved = read_json(metadata).get("weights_sha256") if metadata.is_file() else None
    if saved is None or not file.is_file():
        return
    digest, beside = file_sha256(file), directory / CLASSIFIER_FILE
    if beside.is_file():
        digest = _digest_of_both(digest, file_sha256(beside))
    if digest != saved:
        remedy = "put the file back, or delete this folder and run the stage that makes it again"
        raise UserError(str(file), "the weights are not those that were saved (their checksum differs)", remedy)


def _digest_of_both(weights: str, classifier: str) -> str:
    return hashlib.sha256((weights + classifier).encode()).hexdigest()


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
