"""How each format is loaded, as its card shows it. The tests run these lines as they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OPEN_CLIP = """With open_clip:

```python
import open_clip
import torch
from PIL import Image

model, preprocess = open_clip.create_model_from_pretrained("local-dir:.")
tokenizer = open_clip.get_tokenizer("local-dir:.")
with torch.no_grad():
    images = model.encode_image(preprocess(Image.open("photo.jpg"))[None], normalize=True)
    texts = model.encode_text(tokenizer(["a red square", "a blue star"]), normalize=True)
print(images @ texts.T)
```"""
_OPEN_CLIP_IMAGES = """With open_clip; the text tower was never trained, and `encode_text` gives nothing of use:

```python
import open_clip
import torch
from PIL import Image

model, preprocess = open_clip.create_model_from_pretrained("local-dir:.")
with torch.no_grad():
    images = model.encode_image(preprocess(Image.open("photo.jpg"))[None], normalize=True)
```"""
_TRANSFORMERS = """With transformers:

```python
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

model, processor = CLIPModel.from_pretrained("."), CLIPProcessor.from_pretrained(".")
given = processor(text=["a red square", "a blue star"], images=Image.open("photo.jpg").convert("RGB"), return_tensors="pt", padding=True, truncation=True)
with torch.no_grad():
    found = model(**given)
images, texts = found.image_embeds, found.text_embeds
print(images @ texts.T)
```"""
_TRANSFORMERS_IMAGES = """With transformers:

```python
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

model, processor = CLIPVisionModelWithProjection.from_pretrained("."), CLIPImageProcessor.from_pretrained(".")
given = processor(images=Image.open("photo.jpg").convert("RGB"), return_tensors="pt")
with torch.no_grad():
    images = torch.nn.functional.normalize(model(**given).image_embeds, dim=-1)
```"""
_SIGLIP = """With transformers; the token ids are open_clip's, since a tokenizer that pads otherwise would change the embeddings:

```python
import open_clip
import torch
from PIL import Image
from transformers import CLIPImageProcessor, SiglipModel

model, processor = SiglipModel.from_pretrained("."), CLIPImageProcessor.from_pretrained(".")
pixels = processor(images=Image.open("photo.jpg").convert("RGB"), return_tensors="pt")["pixel_values"]
ids = open_clip.get_tokenizer("local-dir:.")(["a red square", "a blue star"])
with torch.no_grad():
    found = model(input_ids=ids, pixel_values=pixels)
images, texts = found.image_embeds, found.text_embeds
print(images @ texts.T)
```"""
_ONNX = """With onnxruntime; `preprocessing.json` says in full how {inputs}:

```python
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
{imported}
how = json.load(open("preprocessing.json"))["image"]
picture = {fit}(Image.open("photo.jpg").convert("RGB"), (how["size"], how["size"]), Image.Resampling.{resampling})
pixels = (np.asarray(picture, np.float32) * how["rescale"] - how["mean"]) / how["std"]
pixels = pixels.transpose(2, 0, 1)[None].astype(np.float32)
(images,) = onnxruntime.InferenceSession("image.onnx").run(None, {{"pixel_values": pixels}})
{texts}```

Any number of samples a call is fine, and embeddings have length 1. They differ from the model's own by {difference:.1g} at most (`check.json`)."""
_ONNX_TEXTS = """
tokenizer = CLIPTokenizer.from_pretrained(".")
ids = tokenizer(["a red square", "a blue star"], padding="max_length", truncation=True, return_tensors="np")["input_ids"]
(texts,) = onnxruntime.InferenceSession("text.onnx").run(None, {"input_ids": ids})
print(images @ texts.T)
"""
_ONNX_IDS = """
ids = np.array([{ids}])  # of a text, as the model's own tokenizer has them
(texts,) = onnxruntime.InferenceSession("text.onnx").run(None, {{"input_ids": ids}})
print(images @ texts.T)
"""


_FITTING = {"shortest": "ImageOps.fit", "squash": "Image.Image.resize", "longest": "ImageOps.pad"}


def open_clip_lines(has_text: bool) -> str:
    """Say how an open_clip folder is loaded."""
    return _OPEN_CLIP if has_text else _OPEN_CLIP_IMAGES


def huggingface_lines(has_text: bool, reason: str | None, bias: float | None) -> str:
    """Say how the Hugging Face layout is loaded.

    Args:
        has_text: whether the text tower was trained.
        reason: why transformers cannot hold the model; None where it can.
        bias: of the model's logits, which CLIPModel has no place for; None: it has none.
    """
    lines = open_clip_lines(has_text)
    if reason is not None:
        return f"{lines}\n\nNot with transformers: {reason}."
    if not has_text:
        return f"{lines}\n\n{_TRANSFORMERS_IMAGES}"
    lines = f"{lines}\n\n{_TRANSFORMERS}"
    if bias is None:
        return lines
    return (
        f"{lines}\n\nThe model was trained with a sigmoid loss. CLIPModel has no place for its bias of {bias:.4g}: a pair's probability is "
        "the sigmoid of its logit plus this bias. Embeddings are the same."
    )


def siglip_lines() -> str:
    """Say how the Hugging Face layout of a SiglipModel is loaded."""
    return f"{_OPEN_CLIP}\n\n{_SIGLIP}"


def onnx_lines(how: Mapping[str, Any], difference: float, ids: list[int] | None, has_tokenizer: bool) -> str:
    """Say how the graphs are loaded.

    Args:
        how: what `preprocessing.json` holds.
        difference: the largest of the graphs' embeddings from the model's.
        ids: token ids of some text; None where there is no text tower.
        has_tokenizer: whether CLIP's tokenizer is among the files.
    """
    texts = "" if ids is None else _ONNX_TEXTS if has_tokenizer else _ONNX_IDS.format(ids=ids)
    return _ONNX.format(
        inputs="pictures become the input" if ids is None else "pictures and texts become the inputs",
        imported="from transformers import CLIPTokenizer\n" if has_tokenizer else "",
        fit=_FITTING[how["image"]["resize"]],
        resampling=how["image"]["interpolation"].upper(),
        texts=texts,
        difference=difference,
    )
