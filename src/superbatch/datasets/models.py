"""Trained models, and the embeddings that the reference left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from superbatch.datasets.reading import ReadOnlyDataset

if TYPE_CHECKING:
    from superbatch.data.embeddings import EmbeddingCache
    from superbatch.models import ClipModel


class ModelDataset(ReadOnlyDataset["ClipModel"]):
    """A checkpoint directory as a model in evaluation mode, on the CPU: ours, or any in open_clip's format.

    Examples:
        Using the YAML API:

        ```yaml
        "{run}.model":
          type: superbatch.datasets.ModelDataset
          filepath: data/06_models/{run}
          name: "{run}"
        ```

        Using the Python API:

        >>> from superbatch.datasets import ModelDataset
        >>> from superbatch.tasks import embed_images, embed_texts
        >>> clip = ModelDataset(filepath="data/06_models/jest", name="jest").load()
        >>> embed_images(clip, ["photo.jpg"]) @ embed_texts(clip, ["a red square"]).T
        tensor([[0.31]])
    """

    def read(self, path: Path) -> ClipModel:
        """Build the model and load its weights."""
        from superbatch.models import load_checkpoint

        return load_checkpoint(path)


class EmbeddingsDataset(ReadOnlyDataset["EmbeddingCache"]):
    """The reference's embeddings of a set, memory-mapped: rows are read when they are asked for.

    Examples:
        Using the YAML API:

        ```yaml
        "{set}.embeddings":
          type: superbatch.datasets.EmbeddingsDataset
          filepath: data/04_feature/{set}/embeddings.arrow
          name: "{set}"
          stage: embed
        ```

        Using the Python API:

        >>> import numpy as np
        >>> from superbatch.datasets import EmbeddingsDataset
        >>> cache = EmbeddingsDataset(filepath="data/04_feature/pool/embeddings.arrow", name="pool", stage="embed").load()
        >>> images, texts = cache.rows(np.array([0, 7]))
    """

    def read(self, path: Path) -> EmbeddingCache:
        """Map the file."""
        from superbatch.data.embeddings import EmbeddingCache

        return EmbeddingCache(path)
