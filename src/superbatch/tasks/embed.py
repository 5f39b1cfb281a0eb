"""Everything that is computed once a set: the reference's embeddings, packed pixels, token ids (`data/04_feature/<set>/`)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from superbatch.artifacts.atomic import write_json
from superbatch.data.embeddings import EmbeddingCacheWriter, embeddings_file
from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader, Pixels, pack_pixels
from superbatch.data.tokens import Tokens, tokenize_captions
from superbatch.losses import LossName
from superbatch.models import ClipModel, load_checkpoint, pick_device, read_metadata
from superbatch.models.classifier import is_classifier
from superbatch.models.cost import count_forward, count_low
from superbatch.models.flexible import LowView
from superbatch.models.towers import Towers
from superbatch.options import EmbedSettings, LowSettings
from superbatch.progress import progress
from superbatch.tasks.embed_labels import write_losses
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.view import View, embedding_fingerprint, open_pixels


def write_view(clip: ClipModel, manifest: Manifest, out: Path, settings: EmbedSettings) -> None:
    """Write token ids, and pixels packed as uint8 where they stay under the limit, for one model's view of a set."""
    view = View.of(clip)
    if not (out / view.tokens_dir).exists():
        tokenize_captions(manifest, clip.tokenizer(), view.context_length, out / view.tokens_dir, view.tokenizer_name)
    size = len(manifest) * 3 * view.image_size**2
    if size <= settings.pack_limit_mb * 1_000_000 and not (out / view.pixels_dir).exists():
        pack_pixels(ImageReader(manifest, view.image_size), out / view.pixels_dir, jobs=settings.jobs)


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 3)


def reference_loss(clip: ClipModel) -> LossName:
    """Tell which loss a model was trained with: only the sigmoid loss has a bias."""
    return "softmax" if getattr(clip.model, "logit_bias", None) is None else "sigmoid"


@torch.inference_mode()
def write_embeddings(
    clip: ClipModel,
    pixels: Pixels,
    tokens: Tokens,
    out: Path,
    *,
    name: str,
    batch: int,
    device: str,
    metadata: dict[str, object],
    low: LowSettings | None = None,
) -> None:
    """Embed every row of a set, image and first caption, into an Arrow file of float16 rows; images at full view, or at low."""
    place = pick_device(device)
    clip.model.to(place).eval()
    towers, view = Towers.of(clip, place, "auto"), None if low is None else LowView(clip, low, "embed.low")
    width = int(clip.config["model_cfg"]["embed_dim"])
    scale, bias = clip.scale_and_bias()
    with EmbeddingCacheWriter(out, width, width, {"scale": scale, "bias": bias, **metadata}) as writer:
        starts = range(0, len(tokens), batch)
        for start in progress(starts, description=f"embed {name}", unit="batch"):
            rows = np.arange(start, min(start + batch, len(tokens)))
            images = torch.from_numpy(pixels.read(rows)).to(place)
            image_nd = towers.images(images, None if view is None else view.encode_image)
            text_nd = towers.texts(torch.from_numpy(tokens.of_rows(rows)).to(place))
            writer.append(image_nd.cpu().numpy(), text_nd.cpu().numpy())


def embed(
    files: SetFiles,
    reference_dir: Path,
    *,
    learner: ClipModel | None = None,
    settings: EmbedSettings | None = None,
    name: str = "set",
) -> None:
    """Fill a set's feature directory: views of reference and learner, the reference's embeddings or losses, what they cost.

    Args:
        files: the ingested set, and the directory to fill.
        reference_dir: the reference's checkpoint.
        learner: a model of the learner's configuration (its weights are not used); None where it is the reference's.
        settings: batch, device, limit of packed pixels, processes, a low view to embed in besides; None: their defaults.
        name: of the set, for the progress bar.
    """
    assert files.features is not None, "the directory to fill"
    settings = settings or EmbedSettings()
    out, manifest, reference = files.features, files.manifest(), load_checkpoint(reference_dir)
    reference_sha256 = read_metadata(reference_dir)["weights_sha256"]
    if settings.low is not None and not is_classifier(reference_dir):
        LowView(reference, settings.low, "embed.low")  # what cannot be is refused before anything long
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    write_view(learner or reference, manifest, out, settings)
    found: dict[str, object] = {"seconds_decoding": _since(start)}
    if learner is not None:
        write_view(reference, manifest, out, settings)
    if is_classifier(reference_dir):
        write_json(out / "features.json", found | write_losses(reference_dir, manifest, out, settings, name))
        return
    for low in (None,) if settings.low is None else (None, settings.low):
        metadata: dict[str, object] = {
            "fingerprint": embedding_fingerprint(reference_sha256, manifest, reference, low),
            "loss": reference_loss(reference),
            "reference": reference_sha256,
            "manifest": manifest.fingerprint,
        }
        word = name if low is None else f"{name} at {low.name}"
        found |= _embed_view(files, reference, manifest, low, settings, word, metadata)
    write_json(out / "features.json", found)


def _embed_view(
    files: SetFiles,
    reference: ClipModel,
    manifest: Manifest,
    low: LowSettings | None,
    settings: EmbedSettings,
    name: str,
    metadata: dict[str, object],
) -> dict[str, object]:
    """Write the reference's embeddings in one view of the images; returns what `features.json` says of it."""
    out, view = files.features, View.of(reference)
    assert out is not None, "the directory to fill"
    tokens = Tokens(out / view.tokens_dir)
    start = time.perf_counter()
    if low is not None and low.image_size is not None:
        view = replace(view, image_size=low.image_size)
    write_embeddings(
        reference,
        open_pixels(view, manifest, out),
        tokens,
        out / embeddings_file(low),
        name=name,
        batch=settings.batch,
        device=settings.device,
        metadata=metadata,
        low=low,
    )
    seconds = _since(start)
    if low is not None:
        flops = count_low(reference, LowView(reference, low, "embed.low")).total * len(manifest)
        return {"fingerprint_low": metadata["fingerprint"], "flops_low": flops, "seconds_low": seconds}
    flops = count_forward(reference).total * len(manifest)
    return {**metadata, "rows": len(manifest), "flops": flops, "seconds": seconds}
