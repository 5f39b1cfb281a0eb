"""The reference's embeddings of a set, block by block of its rows: here, or by the workers of a cluster.

Legend: n rows of a block, D embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superbatch.data.embeddings import EmbeddingCacheWriter
from superbatch.data.reader import Pixels
from superbatch.data.tokens import Tokens
from superbatch.jobs.backends import Needs
from superbatch.jobs.blocks import folder_of_blocks, make_blocks
from superbatch.models import ClipModel, load_checkpoint, pick_device, read_metadata
from superbatch.models.flexible import LowView
from superbatch.models.towers import Towers
from superbatch.options import JobsSettings, LowSettings

ROWS_PER_BLOCK = 2_048  # of a file, or a batch where that is more


@dataclass(frozen=True)
class Workers:
    """Who works on a set: by which back end, and the folder that keeps the blocks of rows they finished, of this set and model alone."""

    jobs: JobsSettings = field(default_factory=JobsSettings)
    kept: Path | None = None


@dataclass(frozen=True)
class Embedding:
    """How rows are embedded: by which model, from which images and token ids, in which batches.

    On its way to a worker it leaves the model behind; the worker loads it from its checkpoint, once.

    Attributes:
        checkpoint: the model's directory; `weights`: what its weights are to be.
        pixels, tokens: of the set.
        batch: rows a forward pass; blocks begin at its multiples, so that the batches are those of one process.
        device: where the model runs; auto takes the GPU if there is one.
        low: the view of the images; None: full.
        threads: that the arithmetic takes, because their number may decide last bits.
        clip: the model, where it is loaded already.
    """

    checkpoint: Path
    weights: str
    pixels: Pixels
    tokens: Tokens
    batch: int
    device: str
    low: LowSettings | None
    threads: int
    clip: ClipModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "clip": None}

    @torch.inference_mode()
    def __call__(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Embed rows `start` to `end` (not included), image and first caption: float16 (n, D) each."""
        clip, place = self._model(), pick_device(self.device)
        clip.model.to(place).eval()
        towers = Towers.of(clip, place, "auto")
        view = None if self.low is None else LowView(clip, self.low, "embed.low")
        images, texts = [], []
        for first in range(start, end, self.batch):
            rows = np.arange(first, min(first + self.batch, end))
            pixels = torch.from_numpy(self.pixels.read(rows)).to(place)
            images.append(towers.images(pixels, None if view is None else view.encode_image).cpu().numpy())
            texts.append(towers.texts(torch.from_numpy(self.tokens.of_rows(rows)).to(place)).cpu().numpy())
        image_nD, text_nD = np.concatenate(images), np.concatenate(texts)
        return image_nD.astype(np.float16), text_nD.astype(np.float16)

    def _model(self) -> ClipModel:
        """Return the model; a worker takes as many threads as the process that sent it."""
        if self.clip is not None:
            return self.clip
        torch.set_num_threads(self.threads)
        return _loaded(self.checkpoint, self.weights)


@lru_cache(maxsize=1)  # a worker embeds one set after the other by one model
def _loaded(checkpoint: Path, weights: str) -> ClipModel:
    """Load a worker's model, named by its weights too, so that another one at the same place is not taken for it."""
    assert read_metadata(checkpoint)["weights_sha256"] == weights, "the checkpoint changed on the way to a worker"
    return load_checkpoint(checkpoint)


def write_embeddings(
    how: Embedding, clip: ClipModel, out: Path, name: str, metadata: dict[str, object], workers: Workers
) -> None:
    """Embed every row of a set into an Arrow file of float16 rows.

    Args:
        how: what it takes.
        clip: the model.
        out: the file to write.
        name: of the set, for the progress bar.
        metadata: of the file, beside scale and bias.
        workers: who does it. Here a model computes on the whole machine, one block after the other.
    """
    rows = how.batch * max(1, ROWS_PER_BLOCK // how.batch)
    what = "embeddings" if how.low is None else f"embeddings-{how.low.name}"
    width, (scale, bias) = int(clip.config["model_cfg"]["embed_dim"]), clip.scale_and_bias()
    with folder_of_blocks(workers.kept, out.parent) as folder:
        blocks = make_blocks(
            how,
            len(how.tokens),
            rows,
            folder,
            workers.jobs.here(),
            what=what,
            description=f"embed {name}",
            needs=Needs(how.threads, gpu=how.device in ("auto", "cuda")),
        )
        with EmbeddingCacheWriter(out, width, width, {"scale": scale, "bias": bias, **metadata}) as writer:
            for block in blocks:
                writer.append(*block.read())
