"""Models by open_clip's names: `hf-hub:org/name`, `local-dir:folder`, and `ViT-B-32:laion2b_s34b_b79k`, a model with a tag of its weights; and by
address (`s3://bucket/models/vit`).

Whatever is named so becomes a checkpoint directory of this machine, and is from then on what any such directory is: its weights' SHA-256 goes
into a run's identity. What was fetched once is found again without a network. open_clip and huggingface_hub do the fetching, into their caches.
"""

from __future__ import annotations

import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import atomic_directory, write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.models.layout import (
    CLASSIFIER_FILE,
    CONFIG_FILE,
    LOCAL,
    METADATA_FILE,
    TOKENIZER_FILES,
    WEIGHTS_FILE,
    is_tokenizer_file,
)
from superbatch.options import ModelSettings
from superbatch.stores.address import is_address

HUB = "hf-hub:"  # open_clip's prefix of a repository of the Hugging Face hub
SMALL_FILES = (CONFIG_FILE, METADATA_FILE, CLASSIFIER_FILE)  # beside the weights and the tokenizer
WEIGHTS = (".safetensors", ".bin", ".pth")  # endings of weight files
PATIENCE = 5.0  # seconds that a server may take to answer; huggingface_hub would try six times, for half a minute
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")  # of open_clip's tags
DIRECTORY = "download it where there is a network, and name its folder (local-dir:<folder>) or copy the cache"


def located(settings: ModelSettings) -> ModelSettings:
    """Return a model's settings with paths of this machine in the place of open_clip's names.

    As in open_clip, a configuration `hf-hub:...` or `local-dir:...` brings its weights, unless others are named.

    Raises:
        UserError: an unknown tag, no such repository, no network.
    """
    config, weights = _here(settings.config), settings.pretrained and _here(settings.pretrained)
    if config.startswith((HUB, LOCAL)):
        config = str(checkpoint_directory(config))
        weights = weights or config
    elif weights and _is_tag(config, weights):
        config = weights = str(_of_tag(config, weights))
    if weights and _is_name(weights):
        weights = str(checkpoint_directory(weights))
    return replace(settings, config=config, pretrained=weights)


def checkpoint_directory(name: str) -> Path:
    """Return the checkpoint directory of a name, fetched if need be; a path stays what it is.

    Args:
        name: a folder, `local-dir:<folder>`, `hf-hub:<org>/<name>`, `<model>:<tag>` of open_clip's, or the address of a folder.

    Raises:
        UserError: an unknown tag, no such repository, no network; a store that can't be read.
    """
    if is_address(name):
        return _copied(name)
    if name.startswith(LOCAL):
        return Path(name.removeprefix(LOCAL))
    if name.startswith(HUB):
        return _of_hub(name)
    return _of_tag(*name.split(":", 1)) if _is_name(name) else Path(name)


def _here(name: str) -> str:
    """Return a name as it is, and the path of what was copied from an address."""
    return str(_copied(name)) if is_address(name) else name


@cache
def _copied(address: str) -> Path:
    """Copy a checkpoint directory or a file to the user's cache, and return where; a process asks for it once, and keeps to what it got."""
    from superbatch.stores.copies import local_copy

    return local_copy(address, _cache(), _parts_of_checkpoint)


def _parts_of_checkpoint(names: list[str]) -> list[str]:
    """Choose what a checkpoint directory is read from: a repository may hold the same weights in four formats."""
    small = [name for name in names if name in SMALL_FILES or is_tokenizer_file(name)]
    return small + ([WEIGHTS_FILE] if WEIGHTS_FILE in names else [name for name in names if name.endswith(WEIGHTS)])


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "superbatch"


def _is_name(name: str) -> bool:
    """Whether a checkpoint goes by a name of open_clip's, not by its path."""
    return name.startswith((HUB, LOCAL)) or (":" in name and not Path(name).exists() and _is_model(name.split(":")[0]))


def _is_tag(config: str, weights: str) -> bool:
    """Whether weights are named by a tag: the model is one of open_clip's, and the name is neither path-like nor an existing file."""
    return not (Path(weights).exists() or set(weights) & set(":/.")) and not Path(config).exists() and _is_model(config)


def _is_model(name: str) -> bool:
    import open_clip

    return name in open_clip.list_models()


@cache
def _of_hub(name: str) -> Path:
    """Fetch a repository's configuration, tokenizer and weights; returns the folder that the hub's cache has them in."""
    from open_clip.pretrained import download_pretrained_from_hf

    repository = name.removeprefix(HUB)
    with fetching(name, _hub_address()):
        folder = _small_files(repository, *SMALL_FILES, *TOKENIZER_FILES, "*.model")
        if not (folder / CONFIG_FILE).is_file():
            raise UserError(name, f"has no {CONFIG_FILE}, so it is not an open_clip model", "name another repository")
        _config_of_text_tower(read_json(folder / CONFIG_FILE))
        return Path(download_pretrained_from_hf(repository)).parent


def _small_files(repository: str, *patterns: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, allow_patterns=list(patterns)))


def _config_of_text_tower(config: dict[str, Any]) -> None:
    """Fetch what transformers builds a text tower by, where it is one of its own; its weights are among the model's."""
    name = config.get("model_cfg", config).get("text_cfg", {}).get("hf_model_name")
    if name and not Path(name).is_dir():
        _small_files(name, "config.json")


@cache
def _of_tag(model: str, tag: str) -> Path:
    """Fetch the weights of a tag, and lay a checkpoint directory around them, in the user's cache."""
    import open_clip
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    known: dict[str, Any] = get_pretrained_cfg(model, tag)
    if not known:
        raise _unknown(model, tag)
    config = {"model_cfg": deepcopy(open_clip.get_model_config(model))}
    config["preprocess_cfg"] = {name: known[name] for name in PREPROCESSING if name in known}
    if bool(known.get("quick_gelu")) != bool(config["model_cfg"].get("quick_gelu")):
        config["model_cfg"]["quick_gelu"] = bool(known.get("quick_gelu"))  # as the weights were trained
    with fetching(f"{model}:{tag}", _hub_address() if known.get("hf_hub") else known["url"]):
        weights = Path(download_pretrained(known))
        tokenizer = config["model_cfg"]["text_cfg"].get("hf_tokenizer_name")
        words = _small_files(tokenizer, *TOKENIZER_FILES, "*.model") if tokenizer else None
        _config_of_text_tower(config)
    return _laid_out(f"{model}-{tag}", config, weights, words)


def _laid_out(name: str, config: dict[str, Any], weights: Path, words: Path | None) -> Path:
    """Make a checkpoint directory from parts: links to large files, copies of small ones."""
    mark = fingerprint([config, str(weights.absolute()), str(words)])
    made = _cache() / f"{name}-{mark}"
    if not made.is_dir():
        with atomic_directory(made) as folder:
            safe = weights.suffix == ".safetensors"
            link = WEIGHTS_FILE if safe else "open_clip_pytorch_model.bin"
            (folder / link).symlink_to(weights.absolute())
            write_json(folder / CONFIG_FILE, config)
            for file in [] if words is None else filter(lambda file: is_tokenizer_file(file.name), words.iterdir()):
                shutil.copyfile(file, folder / file.name)
    return made


def _unknown(model: str, tag: str) -> UserError:
    import open_clip

    tags = [one for name, one in open_clip.list_pretrained() if name == model]
    near = get_close_matches(tag, tags, 3, 0.3) or tags[:3]
    remedy = f"did you mean {' or '.join(near)}?" if near else "name a checkpoint's folder"
    return UserError("model.pretrained", f"open_clip has no weights {tag!r} of {model}", remedy)


def _hub_address() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


@contextmanager
def fetching(name: str, address: str) -> Iterator[None]:
    """Fetch within: from a server that answers, else from the cache alone; what fails is told in one line."""
    answers = not _offline() and _answers(address)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(4 * PATIENCE)
    try:
        with network(answers):
            yield
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise _failed(name, address, answers, error) from None
    finally:
        socket.setdefaulttimeout(before)


def _failed(name: str, address: str, answers: bool, error: Exception) -> UserError:
    if answers:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return UserError(
            name,
            f"could not be fetched from {address} ({said})",
            "look at the name, and whether it asks for a login (hf auth login)",
        )
    why = "HF_HUB_OFFLINE is set" if _offline() else f"{address} does not answer"
    return UserError(name, f"is not in the cache on this machine, and {why}", DIRECTORY)


@contextmanager
def network(allowed: bool) -> Iterator[None]:
    """Let huggingface_hub and what stands on it ask servers within, unless the user forbade it; or keep it to its cache."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not allowed
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _answers(address: str) -> bool:
    """Whether a server answers at all, through the environment's proxy if there is one."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True
