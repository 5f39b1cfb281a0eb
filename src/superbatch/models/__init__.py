"""A thin layer over open_clip: build from a configuration, train on a compact vocabulary, save in open_clip's checkpoint format."""

from superbatch.models.build import ClipModel, build_model, read_config
from superbatch.models.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from superbatch.models.device import pick_device
from superbatch.models.hub import checkpoint_directory, located
from superbatch.models.modes import evaluating
from superbatch.models.vocabulary import Vocabulary
from superbatch.models.weights import find_weights

__all__ = [
    "ClipModel",
    "Vocabulary",
    "build_model",
    "checkpoint_directory",
    "evaluating",
    "find_weights",
    "load_checkpoint",
    "located",
    "pick_device",
    "read_config",
    "read_metadata",
    "save_checkpoint",
]
