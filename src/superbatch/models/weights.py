"""Weight files of open_clip's: find one, make sure that it is as it was saved, load it into a model."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.models.layout import CLASSIFIER_FILE, METADATA_FILE, WEIGHTS_FILE


def find_weights(path: Path) -> Path:
    """Return the weight file that open_clip would load from a checkpoint directory; a file is returned as it is.

    Raises:
        UserError: no such file.
    """
    from open_clip.factory import _find_checkpoint_in_dir

    with quiet():
        file = _find_checkpoint_in_dir(path) if path.is_dir() else path
    if file is None or not Path(file).is_file():
        raise UserError(str(path), "no open_clip weights there", "name a checkpoint directory or a weight file")
    return Path(file)


def load_pretrained(model: nn.Module, path: Path) -> bool:
    """Load weights from a checkpoint directory or a weight file into an open_clip model.

    A bias that the file lacks keeps its start; one that the model lacks is given to it.

    Returns:
        Whether the model has a bias that kept its start.

    Raises:
        UserError: no such file, or weights of another architecture.
    """
    from safetensors import SafetensorError

    file = find_weights(path)
    try:
        found, kept = _load(model, file)
    except RuntimeError as error:
        raise _misfit(file, str(error).splitlines()[-1].strip()) from None
    except (SafetensorError, UnpicklingError, EOFError, OSError, KeyError) as error:
        raise UserError(
            str(file), f"is not a readable weight file ({first_line(error)})", "fetch or train it again"
        ) from None
    odd = sorted({*found.missing_keys, *found.unexpected_keys})[:3]
    if odd:
        raise _misfit(file, f"for example {', '.join(odd)}")
    return kept


def _load(model: Any, file: Path) -> tuple[Any, bool]:
    """Load a file; returns open_clip's account of the keys, and whether the model has a bias that the file lacks.

    open_clip fails where only the file has a bias, and sets it to 0 where only the model has one.
    """
    from open_clip.factory import load_checkpoint

    own, has_bias = model.logit_bias, _has_bias(file)
    if has_bias and own is None:
        model.logit_bias = nn.Parameter(torch.zeros(()))
    elif not has_bias:
        model.logit_bias = None
    try:
        found = load_checkpoint(model, str(file), strict=False, weights_only=True)
    finally:
        if not has_bias:
            model.logit_bias = own
    return found, own is not None and not has_bias


def _has_bias(file: Path) -> bool:
    from open_clip.factory import load_state_dict
    from safetensors import safe_open

    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as tensors:
            names = set(tensors.keys())
    else:
        names = set(load_state_dict(str(file), device="meta", weights_only=True))  # names alone, no numbers
    return not names.isdisjoint(("logit_bias", "module.logit_bias"))


def require_as_saved(directory: Path) -> None:
    """Refuse a checkpoint of ours whose weights have changed since: its stamp knows only sizes, and a run's identity relies on the digest."""
    file, metadata = directory / WEIGHTS_FILE, directory / METADATA_FILE
    saved = read_json(metadata).get("weights_sha256") if metadata.is_file() else None
    if saved is None or not file.is_file():
        return
    digest, beside = file_sha256(file), directory / CLASSIFIER_FILE
    if beside.is_file():
        digest = digest_of_both(digest, file_sha256(beside))
    if digest != saved:
        remedy = "put the file back, or delete this folder and run the stage that makes it again"
        raise UserError(str(file), "the weights are not those that were saved (their checksum differs)", remedy)


def digest_of_both(weights: str, classifier: str) -> str:
    """Return the fingerprint of a checkpoint with a classifier, from the digests of its two files."""
    return hashlib.sha256((weights + classifier).encode()).hexdigest()


def first_line(error: Exception) -> str:
    """Return the first line of an error about a file: torch's further lines recommend unsafe unpickling."""
    known = (
        "neither safetensors nor a torch checkpoint of tensors" if isinstance(error, UnpicklingError) else str(error)
    )
    return (known.splitlines() or [type(error).__name__])[0]


def _misfit(file: str | Path, detail: str) -> UserError:
    what = f"weights do not fit the model configuration ({detail})"
    return UserError(str(file), what, "set model.config to the configuration they came with")


class quiet:
    """Keep open_clip's INFO lines about what it parsed out of a user's terminal."""

    def __enter__(self) -> None:
        self.level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self.level)
