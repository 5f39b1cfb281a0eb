"""Everything that is computed once a set: the reference's embeddings, packed pixels, token ids (`data/04_feature/<set>/`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCacheWriter
from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader, PackedPixels, pack_pixels
from superbatch.data.tokens import Tokens, tokenize_captions
from superbatch.files import fingerprint, write_json
from superbatch.models import ClipModel, pick_device
from superbatch.options import EmbedSettings
from superbatch.progress import progress
from superbatch.training.flops import count_forward
from superbatch.training.source import Pixels
from superbatch.training.step import Batch, Towers


@dataclass(frozen=True)
class View:
    """How a model wants its input: image side in pixels, tokenizer and context length."""

    image_size: int
    tokenizer_name: str
    context_length: int

    @classmethod
    def of(cls, clip: ClipModel) -> View:
        """Return the view of a model."""
        return cls(clip.image_size, clip.tokenizer_id, clip.context_length)

    @property
    def pixels_dir(self) -> str:
        """Folder of packed pixels at this size."""
        return f"pixels-{self.image_size}"

    @property
    def tokens_dir(self) -> str:
        """Folder of token ids of this tokenizer."""
        return f"tokens-{fingerprint([self.tokenizer_name, self.context_length])}"


def write_view(clip: ClipModel, manifest: Manifest, out: Path, *, pack_limit_bytes: int, jobs: int) -> None:
    """Write token ids, and pixels packed as uint8 where they stay under the limit, for one model's view of a set."""
    view = View.of(clip)
    if not (out / view.tokens_dir).exists():
        tokenize_captions(manifest, clip.tokenizer(), view.context_length, out / view.tokens_dir, view.tokenizer_name)
    size = len(manifest) * 3 * view.image_size**2
    if size <= pack_limit_bytes and not (out / view.pixels_dir).exists():
        pack_pixels(ImageReader(manifest, view.image_size), out / view.pixels_dir, jobs=jobs)


def open_pixels(view: View, manifest: Manifest, features: Path | None) -> Pixels:
    """Open the packed pixels of a view if the embed stage wrote them, else a reader of the shards themselves."""
    packed = features / view.pixels_dir if features else None
    return (
        PackedPixels(packed, manifest.fingerprint)
        if packed is not None and packed.exists()
        else ImageReader(manifest, view.image_size)
    )


def open_tokens(clip: ClipModel, manifest: Manifest, features: Path | None, scratch: Path) -> Tokens:
    """Open the token ids of a model's tokenizer; tokenise into `scratch` where the embed stage did not."""
    view = View.of(clip)
    stored = features / view.tokens_dir if features else None
    if stored is None or not stored.exists():
        stored = scratch / f"{manifest.fingerprint}-{view.tokens_dir}"
        if not stored.exists():
            tokenize_captions(manifest, clip.tokenizer(), view.context_length, stored, view.tokenizer_name)
    return Tokens(stored, manifest.fingerprint)


def reference_loss(clip: ClipModel) -> str:
    """Tell which loss a model was trained with: only the sigmoid loss has a bias."""
    return "softmax" if getattr(clip.model, "logit_bias", None) is None else "sigmoid"


def embedding_fingerprint(weights_sha256: str, manifest: Manifest, view: View) -> str:
    """Name an embedding cache by reference, set, preprocessing and tokenizer: another name is refused."""
    return fingerprint([weights_sha256, manifest.fingerprint, vars(view)])


@torch.inference_mode()
def embed_set(
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
            image_nd, text_nd = towers.embed(Batch(rows, images, torch.from_numpy(tokens.of_rows(rows)).to(place)))
            writer.append(image_nd.cpu().numpy(), text_nd.cpu().numpy())


def write_features(
    name: str,
    manifest: Manifest,
    reference: ClipModel,
    reference_sha256: str,
    learner: ClipModel | None,
    out: Path,
    settings: EmbedSettings,
) -> None:
    """Fill a set's feature directory: views of reference and learner, the reference's embeddings, what they cost.

    Args:
        name: of the set, for the progress bar.
        manifest: of the set.
        reference, reference_sha256: the frozen reference and the hash of its weights.
        learner: a model of the learner's configuration (its weights are not used); None where no learner's view is wanted.
        out: the directory.
        settings: batch, device, limit of packed pixels, processes.
    """
    for clip in [reference] if learner is None else [learner, reference]:
        write_view(clip, manifest, out, pack_limit_bytes=settings.pack_limit_mb * 1_000_000, jobs=settings.jobs)
    view = View.of(reference)
    cache_name = embedding_fingerprint(reference_sha256, manifest, view)
    metadata: dict[str, object] = {
        "fingerprint": cache_name,
        "loss": reference_loss(reference),
        "reference": reference_sha256,
        "manifest": manifest.fingerprint,
    }
    pixels, tokens = open_pixels(view, manifest, out), Tokens(out / view.tokens_dir)
    embed_set(
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
