"""Write an exported model: one folder for each format, each complete with its card."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from superbatch.artifacts.stamps import STAMP
from superbatch.exporting.card import Facts, write_card
from superbatch.exporting.graphs import preprocessing, require_onnx, write_graphs
from superbatch.exporting.loading import huggingface_lines, onnx_lines, open_clip_lines, siglip_lines
from superbatch.exporting.parts import Exported
from superbatch.exporting.transformers_folder import (
    has_clips_tokenizer,
    has_timm,
    why_not,
    write_tokenizer,
    write_transformers,
)

OPEN_CLIP, HUGGINGFACE, ONNX = "open_clip", "huggingface", "onnx"
log = logging.getLogger(__name__)


def write_formats(checkpoint: Path, facts: Facts, formats: Sequence[str], out: Path) -> None:
    """Write a checkpoint in some formats, each into a folder of its own.

    Args:
        checkpoint: an open_clip checkpoint directory of this project.
        facts: what its card says.
        formats: of `open_clip`, `huggingface`, `onnx`.
        out: an existing directory.

    Raises:
        UserError: packages that a format needs and that are missing, before anything is written; a graph that is not the model.
    """
    require_formats(formats)
    exported = Exported.load(checkpoint)
    writers = {OPEN_CLIP: _write_open_clip, HUGGINGFACE: _write_huggingface, ONNX: _write_onnx}
    for name in formats:
        folder = out / name
        folder.mkdir()
        write_card(folder, facts, writers[name](exported, folder))


def require_formats(formats: Sequence[str]) -> None:
    """Make sure that some formats can be written here.

    Raises:
        UserError: a package that one of them needs and that is missing.
    """
    if ONNX in formats:
        require_onnx("export.formats, onnx")


def _write_open_clip(exported: Exported, folder: Path) -> str:
    """Copy the checkpoint as it is; returns how it is loaded."""
    for file in sorted(exported.checkpoint.iterdir()):
        if file.is_file() and file.name != STAMP:
            shutil.copyfile(file, folder / file.name)
    return open_clip_lines(exported.has_text)


def _write_huggingface(exported: Exported, folder: Path) -> str:
    """Copy the checkpoint, and write it for transformers too where that can hold it; returns how it is loaded."""
    _write_open_clip(exported, folder)
    reason = why_not(exported)
    if reason is None:
        write_transformers(exported, folder)
    else:
        log.info("export: no files for transformers, because %s", reason)
    if reason is None and has_timm(exported.clip):
        return siglip_lines()
    bias = getattr(exported.clip.model, "logit_bias", None)
    return huggingface_lines(exported.has_text, reason, None if bias is None else float(bias.detach()))


def _write_onnx(exported: Exported, folder: Path) -> str:
    """Write the graphs, check them, and put CLIP's tokenizer beside them if it is the model's; returns how they are loaded."""
    towers, how = write_graphs(exported, folder)["towers"], preprocessing(exported.clip, exported.has_text)
    difference = max(value for one in towers.values() for value in one["largest_difference"].values())
    has_tokenizer = exported.has_text and has_clips_tokenizer(exported.clip)
    if has_tokenizer:
        write_tokenizer(exported.clip, folder)
    return onnx_lines(how, difference, exported.some_ids(1)[0].tolist() if exported.has_text else None, has_tokenizer)
