"""Everything that is computed once for each set: the reference's embeddings, packed pixels, token ids (`data/04_feature/<set>/`)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch

from superbatch.artifacts.atomic import write_json
from superbatch.data.embeddings import embeddings_file
from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader, pack_pixels
from superbatch.data.tokens import Tokens, tokenize_captions
from superbatch.losses import LossName
from superbatch.models import ClipModel, load_checkpoint, read_metadata
from superbatch.models.classifier import is_classifier
from superbatch.models.cost import count_forward, count_low
from superbatch.models.flexible import LowView
from superbatch.options import EmbedSettings, LowSettings
from superbatch.tasks.embed_blocks import Embedding, Workers, write_embeddings
from superbatch.tasks.embed_labels import write_losses
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.view import View, embedding_fingerprint, open_pixels


def write_view(
    clip: ClipModel, manifest: Manifest, out: Path, settings: EmbedSettings, workers: Workers | None = None
) -> None:
    """Write token ids, and pixels packed as uint8 where they stay under the limit, for one model's view of a set."""
    workers = workers or Workers()
    view = View.of(clip)
    if not (out / view.tokens_dir).exists():
        tokenize_captions(manifest, clip.tokenizer(), view.context_length, out / view.tokens_dir, view.tokenizer_name)
    size = len(manifest) * 3 * view.image_size**2
    if size <= settings.pack_limit_mb * 1_000_000 and not (out / view.pixels_dir).exists():
        jobs = workers.jobs.of_stage(settings.jobs)
        pack_pixels(ImageReader(manifest, view.image_size), out / view.pixels_dir, jobs, workers.kept)


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 3)


def reference_loss(clip: ClipModel) -> LossName:
    """Tell which loss a model was trained with: only the sigmoid loss has a bias."""
    return "softmax" if getattr(clip.model, "logit_bias", None) is None else "sigmoid"


def embed(
    files: SetFiles,
    reference_dir: Path,
    *,
    learner: ClipModel | None = None,
    settings: EmbedSettings | None = None,
    name: str = "set",
    workers: Workers | None = None,
) -> None:
    """Fill a set's feature directory: views of reference and learner, the reference's embeddings or losses, what they cost.

    Args:
        files: the ingested set, and the directory to fill.
        reference_dir: the reference's checkpoint.
        learner: a model of the learner's configuration (its weights are not used); None where it is the reference's.
        settings: batch, device, limit of packed pixels, processes, a low view to embed in besides; None: their defaults.
        name: of the set, for the progress bar.
        workers: who does it, on a cluster; None: this machine, and nothing is kept of what was not finished.
    """
    assert files.features is not None, "the directory to fill"
    settings, workers = settings or EmbedSettings(), workers or Workers()
    out, manifest, reference = files.features, files.manifest(), load_checkpoint(reference_dir)
    reference_sha256 = read_metadata(reference_dir)["weights_sha256"]
    if settings.low is not None and not is_classifier(reference_dir):
        LowView(reference, settings.low, "embed.low")  # impossible settings are refused before anything long starts
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    write_view(learner or reference, manifest, out, settings, workers)
    found: dict[str, object] = {"seconds_decoding": _since(start)}
    if learner is not None:
        write_view(reference, manifest, out, settings, workers)
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
        how = _embedding(reference, reference_dir, manifest, out, settings, low)
        found |= _embed_view(how, reference, out, word, metadata, workers)
    write_json(out / "features.json", found)


def _embedding(
    clip: ClipModel,
    checkpoint: Path,
    manifest: Manifest,
    features: Path,
    settings: EmbedSettings,
    low: LowSettings | None,
) -> Embedding:
    """Return how a set is embedded in one view of its images, by a model that is loaded and on as many threads as there are here."""
    view, weights = View.of(clip), str(read_metadata(checkpoint)["weights_sha256"])
    tokens = Tokens(features / view.tokens_dir)
    if low is not None and low.image_size is not None:
        view = replace(view, image_size=low.image_size)
    pixels, threads = open_pixels(view, manifest, features), torch.get_num_threads()
    return Embedding(checkpoint, weights, pixels, tokens, settings.batch, settings.device, low, threads, clip)


def _embed_view(
    how: Embedding, clip: ClipModel, out: Path, name: str, metadata: dict[str, object], workers: Workers
) -> dict[str, object]:
    """Write the reference's embeddings in one view of the images; returns what `features.json` says of it."""
    start, low, rows = time.perf_counter(), how.low, len(how.tokens)
    write_embeddings(how, clip, out / embeddings_file(low), name, metadata, workers)
    seconds = _since(start)
    if low is not None:
        flops = count_low(clip, LowView(clip, low, "embed.low")).total * rows
        return {"fingerprint_low": metadata["fingerprint"], "flops_low": flops, "seconds_low": seconds}
    return {**metadata, "rows": rows, "flops": count_forward(clip).total * rows, "seconds": seconds}
