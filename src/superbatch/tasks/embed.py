"""Everything that is computed once a set: the reference's embeddings, packed pixels, token ids (`data/04_feature/<set>/`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from superbatch.artifacts.atomic import write_json
from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCacheWriter
from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader, Pixels, pack_pixels
from superbatch.data.tokens import Tokens, tokenize_captions
from superbatch.losses import LossName
from superbatch.models import ClipModel, load_checkpoint, pick_device, read_metadata
from superbatch.models.cost import count_forward
from superbatch.models.towers import Towers
from superbatch.options import EmbedSettings
from superbatch.progress import progress
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.view import View, embedding_fingerprint, open_pixels


def write_view(clip: ClipModel, manifest: Manifest, out: Path, *, pack_limit_bytes: int, jobs: int) -> None:
    """Write token ids, and pixels packed as uint8 where they stay under the limit, for one model's view of a set."""
    view = View.of(clip)
    if not (out / view.tokens_dir).exists():
        tokenize_captions(manifest, clip.tokenizer(), view.context_length, out / view.tokens_dir, view.tokenizer_name)
    size = len(manifest) * 3 * view.image_size**2
    if size <= pack_limit_bytes and not (out / view.pixels_dir).exists():
        pack_pixels(ImageReader(manifest, view.image_size), out / view.pixels_dir, jobs=jobs)


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
) -> None:
    """Embed every row of a set, image and first caption, into an Arrow file of float16 rows."""
    place = pick_device(device)
    clip.model.to(place).eval()
    towers = Towers.of(clip, place, "auto")
    width = int(clip.config["model_cfg"]["embed_dim"])
    scale, bias = clip.scale_and_bias()
    with EmbeddingCacheWriter(out, width, width, {"scale": scale, "bias": bias, **metadata}) as writer:
        starts = range(0, len(tokens), batch)
        for start in progress(starts, description=f"embed {name}", unit="batch"):
            rows = np.arange(start, min(start + batch, len(tokens)))
            images = torch.from_numpy(pixels.read(rows)).to(place)
            image_nd, text_nd = towers.embed(images, torch.from_numpy(tokens.of_rows(rows)).to(place))
            writer.append(image_nd.cpu().numpy(), text_nd.cpu().numpy())


def embed(
    files: SetFiles,
    reference_dir: Path,
    *,
    learner: ClipModel | None = None,
    settings: EmbedSettings | None = None,
    name: str = "set",
) -> None:
    """Fill a set's feature directory: views of reference and learner, the reference's embeddings, what they cost.

    Args:
        files: the ingested set, and the directory to fill.
        reference_dir: the reference's checkpoint.
        learner: a model of the learner's configuration (its weights are not used); None where it is the reference's.
        settings: batch, device, limit of packed pixels, processes; None: their defaults.
        name: of the set, for the progress bar.
    """
    assert files.features is not None, "the directory to fill"
    settings = settings or EmbedSettings()
    out, manifest, reference = files.features, files.manifest(), load_checkpoint(reference_dir)
    reference_sha256 = read_metadata(reference_dir)["weights_sha256"]
    out.mkdir(parents=True, exist_ok=True)
    for clip in [reference] if learner is None else [learner, reference]:
        write_view(clip, manifest, out, pack_limit_bytes=settings.pack_limit_mb * 1_000_000, jobs=settings.jobs)
    view = View.of(reference)
    cache_name = embedding_fingerprint(reference_sha256, manifest, reference)
    metadata: dict[str, object] = {
        "fingerprint": cache_name,
        "loss": reference_loss(reference),
        "reference": reference_sha256,
        "manifest": manifest.fingerprint,
    }
    pixels, tokens = open_pixels(view, manifest, out), Tokens(out / view.tokens_dir)
    write_embeddings(
        reference,
        pixels,
        tokens,
        out / EMBEDDINGS,
        name=name,
        batch=settings.batch,
        device=settings.device,
        metadata=metadata,
    )
    flops = count_forward(reference).total * len(manifest)
    write_json(out / "features.json", {**metadata, "rows": len(manifest), "flops": flops})
