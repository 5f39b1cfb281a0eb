"""Build an open_clip model from a configuration file or from a checkpoint directory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from superbatch.artifacts.fingerprints import file_sha256, fingerprint
from superbatch.errors import UserError
from superbatch.extras import missing_package
from superbatch.files import read_json
from superbatch.models.hub import located, network
from superbatch.models.layout import CONFIG_FILE, LOCAL, is_tokenizer_file
from superbatch.models.pixels import warn_of_fitting
from superbatch.models.weights import first_line, load_pretrained, quiet, require_as_saved
from superbatch.options import ModelSettings

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

Tokenizer = Callable[[list[str]], Tensor]
# What comes of a mistake in a configuration: open_clip, timm and torch check little of it themselves.
REFUSALS = (TypeError, ValueError, AttributeError, LookupError, AssertionError, ArithmeticError, RuntimeError, OSError)


@dataclass
class ClipModel:
    """An open_clip model with what is needed to prepare its input.

    Attributes:
        model: the open_clip module (`encode_image`, `encode_text`, `logit_scale`, `logit_bias`).
        config: open_clip's own JSON: `model_cfg` and `preprocess_cfg`; written into every checkpoint.
        tokenizer_name: `SimpleTokenizer` (CLIP's own), a Hugging Face name, or `local-dir:<folder>` with a tokenizer's files.
        kept_bias: whether its weights came without a bias, so that this kept its start.
    """

    model: nn.Module
    config: dict[str, Any]
    tokenizer_name: str
    kept_bias: bool = False

    @property
    def run_by(self) -> tuple[str, ...]:
        """The methods of the module that run it."""
        return "encode_image", "encode_text"

    @property
    def image_size(self) -> int:
        """Side of the square input image, in pixels."""
        size = self.config["model_cfg"]["vision_cfg"].get("image_size", 224)
        return int(size[0] if isinstance(size, (list, tuple)) else size)

    @property
    def context_length(self) -> int:
        """Tokens of a caption, start and end included."""
        return int(self.config["model_cfg"]["text_cfg"].get("context_length", 77))

    @property
    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per-channel mean and standard deviation of the input, on pixels in [0, 1]."""
        cfg = self.config.get("preprocess_cfg") or {}
        from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        return tuple(cfg.get("mean", OPENAI_DATASET_MEAN)), tuple(cfg.get("std", OPENAI_DATASET_STD))

    def tokenizer(self) -> Tokenizer:
        """Return open_clip's tokenizer for this model: list of n captions -> int64 ids of shape (n, context_length)."""
        from open_clip.tokenizer import HFTokenizer

        text_cfg, options = self.config["model_cfg"]["text_cfg"], self._tokenizer_options
        if not text_cfg.get("hf_tokenizer_name"):
            return _clips_own(self.context_length, options)
        # open_clip.get_tokenizer would take CLIP's own for a name that is not one of its configurations, with no more than a warning.
        source = self.tokenizer_name.removeprefix(LOCAL)
        try:
            return HFTokenizer(source, self.context_length, tokenizer_mode=text_cfg.get("tokenizer_mode"), **options)
        except ImportError:
            raise missing_package(f"tokenizer of {source}", "transformers", "transformers") from None
        except (OSError, ValueError) as error:
            what = f"no tokenizer could be read ({first_line(error)})"
            raise UserError(source, what, "name a checkpoint directory that holds the tokenizer's files") from None

    @property
    def tokenizer_id(self) -> str:
        """Name the tokenizer by what it does: models of one id and one context length share token ids."""
        name, options = self.tokenizer_name, self._tokenizer_options
        if name.startswith(LOCAL):
            files = tokenizer_files(Path(name.removeprefix(LOCAL)))
            name = f"tokenizer {fingerprint([[file.name, file_sha256(file)] for file in files])}"
        return f"{name} {fingerprint(options)}" if options else name

    @property
    def _tokenizer_options(self) -> dict[str, Any]:
        return dict(self.config["model_cfg"]["text_cfg"].get("tokenizer_kwargs") or {})

    def scale_and_bias(self) -> tuple[float, float]:
        """Return exp(logit_scale) and logit_bias (0 where the model has none)."""
        bias = getattr(self.model, "logit_bias", None)
        return float(self.model.logit_scale.detach().exp()), 0.0 if bias is None else float(bias.detach())


def _clips_own(context_length: int, options: dict[str, Any]) -> Tokenizer:
    """Return a new copy of CLIP's tokenizer, so that its cache of words is freed with it."""
    tokenizer = copy(_read_clips_own(context_length, json.dumps(options, sort_keys=True)))
    tokenizer.cache = dict(tokenizer.cache)
    return tokenizer


@cache
def _read_clips_own(context_length: int, options: str) -> SimpleTokenizer:
    """Read its 49,000 merges, which takes a tenth of a second; `options` are JSON."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=context_length, **json.loads(options))


def read_config(path: str | Path) -> dict[str, Any]:
    """Read an open_clip configuration: a JSON file, a checkpoint directory that holds one, or open_clip's name of a model.

    A bare model configuration, as open_clip ships them, is wrapped into `model_cfg`.
    """
    file = Path(path) / CONFIG_FILE if Path(path).is_dir() else Path(path)
    config = read_json(file, "correct it") if file.is_file() else _shipped(str(path), file)
    if not isinstance(config, dict):
        raise UserError(str(file), "is not a model configuration", "use an open_clip model configuration")
    if "model_cfg" not in config:
        config = {"model_cfg": config}
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - set(config["model_cfg"])
    if missing:
        raise UserError(str(file), f"lacks {', '.join(sorted(missing))}", "use an open_clip model configuration")
    return config


def _shipped(name: str, file: Path) -> dict[str, Any]:
    """Return the configuration that open_clip ships under a name, such as ViT-B-32."""
    import open_clip

    if name in open_clip.list_models():
        return dict(open_clip.get_model_config(name))
    remedy = f"name an open_clip JSON file, a checkpoint directory with {CONFIG_FILE}, or one of open_clip's models (ViT-B-32)"
    raise UserError(str(file), "no such model configuration", remedy)


def build_model(settings: ModelSettings, *, loss: str, batch_size: int, seed: int) -> ClipModel:
    """Build a model in float32 on the CPU, with random weights (by seed) or pretrained ones.

    Args:
        settings: configuration file and optional pretrained weights (a checkpoint directory or a weight file), or open_clip's names of them.
        loss: `sigmoid` gives the model a bias; `softmax` does not.
        batch_size: b of the training; sets the bias where `init_logit_bias` is None (papers.md 5.1).
        seed: of the random initialisation; the global random state is left as it was.

    Raises:
        UserError: no such configuration, one that open_clip can't build, or weights that don't fit it or are not those that were saved.
    """
    settings = located(settings)
    config = deepcopy(read_config(settings.config))
    model_cfg = config["model_cfg"]
    if loss == "sigmoid":
        bias = settings.init_logit_bias
        model_cfg["init_logit_bias"] = -math.log(batch_size - 1) if bias is None else bias
    else:
        model_cfg.pop("init_logit_bias", None)
    model_cfg["init_logit_scale"] = math.log(settings.init_logit_scale)
    module = instantiate(config, seed, settings.config)
    if model_cfg["text_cfg"].get("hf_model_name") and not settings.pretrained:
        # It names another run than one that began with weights which the hub's cache happened to have.
        model_cfg["text_cfg"]["hf_model_pretrained"] = False
    clip = ClipModel(module, config, tokenizer_name(settings.config, config))
    if settings.pretrained:
        require_as_saved(Path(settings.pretrained))  # a run's identity has the digest that they were saved with
        clip.kept_bias = load_pretrained(module, Path(settings.pretrained))
        warn_of_fitting(settings.config, config)
    if loss != "sigmoid":
        module.logit_bias = None  # type: ignore[assignment]  # it came with weights of a sigmoid loss
    return clip


def tokenizer_files(directory: Path) -> list[Path]:
    """List the files of a Hugging Face tokenizer in a checkpoint directory."""
    return sorted(file for file in directory.iterdir() if is_tokenizer_file(file.name))


def tokenizer_name(path: str | Path, config: dict[str, Any]) -> str:
    """Tell where a configuration's tokenizer comes from (see `ClipModel.tokenizer_name`)."""
    local = config["model_cfg"]["text_cfg"].get("hf_tokenizer_name")
    return f"{LOCAL}{path}" if local and Path(path).is_dir() else (local or "SimpleTokenizer")


def instantiate(config: dict[str, Any], seed: int, where: str = "model.config") -> nn.Module:
    """Make the open_clip module of a configuration, weights drawn from `seed`; needs no network.

    Args:
        config, seed: what, and of which weights. where: the configuration's file or key, for messages.

    Raises:
        UserError: open_clip can't build it, or its input is not square.
    """
    try:
        made = _drawn(config, seed)
    except REFUSALS as error:
        raise _refused(where, config, error) from error
    size = config["model_cfg"]["vision_cfg"].get("image_size")
    if isinstance(size, (list, tuple)) and len(set(size)) > 1:
        what = f"image_size is {list(size)}, and a model is shown square pictures"
        raise UserError(where, what, "give it one number, or another model")
    return made


def _drawn(config: dict[str, Any], seed: int) -> nn.Module:
    cfg = deepcopy(config["model_cfg"])
    custom = cfg.pop("custom_text", False) or "hf_model_name" in cfg["text_cfg"]
    if "timm_model_name" in cfg["vision_cfg"]:
        cfg["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in cfg["text_cfg"]:
        cfg["text_cfg"]["hf_model_pretrained"] = False
    with network(allowed=False), torch.random.fork_rng(devices=[]), quiet():
        import open_clip

        torch.manual_seed(seed)
        return open_clip.CustomTextCLIP(**cfg) if custom else open_clip.CLIP(**cfg)


def _refused(where: str, config: dict[str, Any], error: Exception) -> UserError:
    tower = config["model_cfg"]["text_cfg"]
    if isinstance(error, OSError) and "hf_model_name" in tower:
        what = f"the configuration of its text tower, {tower['hf_model_name']}, can't be read on this machine"
        return UserError(
            where, what, f"fetch it (hf download {tower['hf_model_name']} config.json), or correct the name"
        )
    what = f"open_clip can't build this model ({first_line(error)})"
    return UserError(where, what, "compare it with one of open_clip's model configurations")
