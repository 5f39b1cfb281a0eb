"""Write both towers as ONNX graphs, and check them against the model that they come from."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superbatch.artifacts.atomic import write_json
from superbatch.errors import UserError
from superbatch.exporting.parts import Exported
from superbatch.extras import require_packages
from superbatch.models import ClipModel

CHECK_FILE, PREPROCESSING_FILE = "check.json", "preprocessing.json"
TOLERANCE = 1e-4  # of any number of an embedding, whose length is 1
TRACED, CHECKED = 2, (1, 5)  # samples: the batch to trace the graph with, and the batches to check it with
ONE_FILE = (
    1_500_000_000  # bytes of weights; a larger graph stores them in a separate file, since protobuf is limited to 2 GiB
)
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_onnx(where: str) -> None:
    """Make sure that a graph can be written and run here.

    Args:
        where: the setting that asks for it.

    Raises:
        UserError: a package that is missing.
    """
    require_packages(where, "export", *PACKAGES)


def write_graphs(exported: Exported, directory: Path, where: str = "export.formats") -> dict[str, Any]:
    """Write `image.onnx`, and `text.onnx` where the text tower was trained; how images and texts become inputs; what the check found.

    Args:
        exported: the model.
        directory: an existing one.
        where: the setting that asks for it, for messages.

    Returns:
        What `check.json` holds: by tower its file, input and output, and the largest difference at each batch size.

    Raises:
        UserError: packages that are missing, a tower that ONNX cannot hold, a graph whose embeddings are not the model's.
    """
    require_onnx(where)
    towers: dict[str, tuple[nn.Module, str, Callable[[int], Tensor]]] = {
        "image": (exported.image_tower, "pixel_values", exported.some_pixels)
    }
    if exported.has_text:
        towers["text"] = (exported.text_tower, "input_ids", exported.some_ids)
    found = {
        name: _write(tower.eval(), given, draw, directory / f"{name}.onnx", where)
        for name, (tower, given, draw) in towers.items()
    }
    check = {"tolerance": TOLERANCE, "versions": _versions(), "towers": found}
    write_json(directory / CHECK_FILE, check)
    write_json(directory / PREPROCESSING_FILE, preprocessing(exported.clip, exported.has_text))
    return check


def _write(tower: nn.Module, given: str, draw: Callable[[int], Tensor], file: Path, where: str) -> dict[str, Any]:
    """Write one tower's graph and check it; returns what was found."""
    output = f"{file.stem}_embedding"
    size = sum(weight.numel() * weight.element_size() for weight in tower.parameters())
    try:
        with _silent():
            torch.onnx.export(
                tower, (draw(TRACED),), f=str(file), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[given], output_names=[output], external_data=size > ONE_FILE, verbose=False,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
        what = f"the {file.stem} tower can't be written as ONNX ({reason})"
        raise UserError(where, what, "leave onnx out of the formats") from None
    differences = {str(count): _difference(tower, file, given, draw(count)) for count in CHECKED}
    _require_equal(differences, file, where)
    shape = ["batch", *draw(1).shape[1:]]
    return {"file": file.name, "input": given, "shape": shape, "output": output, "largest_difference": differences}


def _require_equal(differences: dict[str, float], file: Path, where: str) -> None:
    worst = max(differences.values())
    if not worst <= TOLERANCE:  # a NaN is not
        what = f"{file.name} differs from the model by {worst:.2g}, and {TOLERANCE:g} is allowed"
        raise UserError(where, what, "leave onnx out of the formats, or try another version of onnxruntime")


def _difference(tower: nn.Module, file: Path, given: str, inputs: Tensor) -> float:
    """Return the largest difference of the graph's embeddings from the module's."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {given: inputs.numpy()})
    with torch.no_grad():
        wanted = tower(inputs).numpy()
    return float(np.abs(found - wanted).max()) if found.shape == wanted.shape else float("inf")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hide the exporter's progress messages; errors are raised anyway."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", *PACKAGES)}


def preprocessing(clip: ClipModel, has_text: bool = True) -> dict[str, Any]:
    """Say how a picture and a text become the graphs' inputs."""
    given = clip.config.get("preprocess_cfg") or {}
    mean, std = clip.mean_std
    image = {
        "color": "RGB, transparency over white, upright by EXIF",
        "resize": given.get("resize_mode", "shortest"),
        "interpolation": given.get("interpolation", "bicubic"),
        "center_crop": given.get("resize_mode", "shortest") == "shortest",
        "size": clip.image_size,
        "rescale": 1 / 255,
        "mean": mean,
        "std": std,
        "layout": "float32 [batch, channel, row, column]",
    }
    text = {
        "tokenizer": clip.tokenizer_name.rpartition("/")[2],
        "context_length": clip.context_length,
        "layout": "int64 [batch, token]",
    }
    return {"image": image} | ({"text": text} if has_text else {})
