"""Image-text retrieval: recall at k, both ways, in memory that does not grow with images x texts.

Letters in names: N images, M texts, D embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superbatch.errors import UserError
from superbatch.evaluation.intervals import clustered_wilson, packed
from superbatch.evaluation.ranks import exact_unit, whole_numbers

RECALL_AT = (1, 5, 10)


def retrieval(
    image_ND: Tensor, text_MD: Tensor, image_of_text: Tensor | np.ndarray, *, block: int = 1024
) -> dict[str, Any]:
    """Compute R@1, R@5, R@10 from images to texts and from texts to images.

    What is computed, precisely (the definition of CLIP and of CLIP_benchmark, any positive; big_vision's
    image_text_retrieval.py):

    - *text to image*, one query a text: a hit at k if the text's own image is among the k images of highest cosine;
    - *image to text*, one query an image: a hit at k if *any* of its own texts is among the k texts of highest cosine;
    - R@k is the share of queries that hit. The gallery is the whole set: all N images, all M texts.
    - An item that is not the query's own and whose score equals the own item's counts as ranked before it: a model that
      embeds everything alike scores 0. So does a caption that two images share: each is the other's competitor, which
      limits R@1.
    - Scores are exact (see `ranks`), so the result does not depend on `block`, threads or device.

    Ranks are counted, not sorted, tile by tile: work O(N M D), memory O((N + M) D + block^2).

    Args:
        image_ND: image embeddings; they are normalised here.
        text_MD: text embeddings, on the same device.
        image_of_text: (M,) the image (0..N-1) that each text describes; every image needs a text.
        block: side of a tile.

    Returns:
        `metrics`: {"image_to_text_r1": ..., "text_to_image_r10": ...}; `confidence`: the 95 % interval of each (Wilson;
            texts of one image count as a group); `hits`: which queries hit (`intervals.packed`), texts image by image;
            `num_images`, `num_texts`; `texts_an_image`: one number where all have as many.

    Raises:
        UserError: an image without a text, a text of no image, no images, embeddings that are not finite.
    """
    owner_M = _owners(image_of_text, len(image_ND), len(text_MD))
    image_rank_N, text_rank_M = retrieval_ranks(image_ND, text_MD, owner_M, block=block)
    ways = {
        "image_to_text": (image_rank_N.cpu().numpy(), np.arange(len(image_ND))),
        "text_to_image": (text_rank_M.cpu().numpy(), owner_M.numpy()),
    }
    metrics: dict[str, float] = {}
    confidence: dict[str, tuple[float, float]] = {}
    hits: dict[str, str] = {}
    order = np.argsort(owner_M.numpy(), kind="stable")  # texts image by image
    for way, (rank, group) in ways.items():
        for k in RECALL_AT:
            metrics[f"{way}_r{k}"] = float((rank < k).mean())
            confidence[f"{way}_r{k}"] = clustered_wilson(rank < k, group)
            hits[f"{way}_r{k}"] = packed(rank < k if way == "image_to_text" else rank[order] < k)
    counts = torch.bincount(owner_M).tolist()
    texts = counts[0] if len(set(counts)) == 1 else counts
    sizes = {"num_images": len(image_ND), "num_texts": len(text_MD), "texts_an_image": texts}
    return {"metrics": metrics, "confidence": confidence, "hits": hits, **sizes}


def retrieval_ranks(image_ND: Tensor, text_MD: Tensor, owner_M: Tensor, *, block: int = 1024) -> tuple[Tensor, Tensor]:
    """Count, for each query, the foreign items that score at least as high as its (best) own item.

    Args:
        image_ND: image embeddings.
        text_MD: text embeddings.
        owner_M: int64, on the CPU, the image of each text.
        block: side of a tile.

    Returns:
        int64 ranks from 0: (N,) image to text, (M,) text to image.
    """
    image_ND, text_MD = exact_unit(image_ND), exact_unit(text_MD)
    own_M = _own_scores(image_ND, text_MD, owner_M.to(image_ND.device), block)
    best_N, tied_N = _best_own(own_M.cpu(), owner_M, len(image_ND))
    # The tiles below count own items too: starting at minus their number, no tile needs a mask.
    best_N, image_rank_N = best_N.to(image_ND.device), -tied_N.to(image_ND.device)
    text_rank_M = torch.full_like(own_M, -1, dtype=torch.int64)
    for i in _blocks(len(image_ND), block):
        for j in _blocks(len(text_MD), block):
            scores = image_ND[i] @ text_MD[j].T
            # int32: three times as fast as the default int64
            image_rank_N[i] += (scores >= best_N[i, None]).sum(1, dtype=torch.int32)
            text_rank_M[j] += (scores >= own_M[j]).sum(0, dtype=torch.int32)
    return image_rank_N, text_rank_M


def _own_scores(image_ND: Tensor, text_MD: Tensor, owner_M: Tensor, block: int) -> Tensor:
    """Score each text with its own image, exactly as any tile computes the same entry."""
    return torch.cat([(image_ND[owner_M[j]] * text_MD[j]).sum(1) for j in _blocks(len(text_MD), block)])


def _best_own(own_M: Tensor, owner_M: Tensor, num_images: int) -> tuple[Tensor, Tensor]:
    """Return each image's best score with a text of its own, and how many of its texts reach it; on the CPU."""
    best_N = torch.full((num_images,), -torch.inf, dtype=own_M.dtype).scatter_reduce_(0, owner_M, own_M, "amax")
    return best_N, torch.bincount(owner_M[own_M == best_N[owner_M]], minlength=num_images)


def _blocks(length: int, block: int) -> Iterator[slice]:
    assert block >= 1
    return (slice(start, min(start + block, length)) for start in range(0, length, block))


def _owners(image_of_text: Tensor | np.ndarray, num_images: int, num_texts: int) -> Tensor:
    """Check the map from texts to images."""
    owner_M = whole_numbers(image_of_text)
    where = "image_of_text"
    if not num_images or len(owner_M) != num_texts:
        what = f"{len(owner_M)} entries for {num_texts} texts of {num_images} images"
        raise UserError(where, what, "give one entry for each text")
    low, high = int(owner_M.min()), int(owner_M.max())
    if low < 0 or high >= num_images:
        raise UserError(where, f"names images {low}..{high} of {num_images}", "count images from 0")
    alone = (torch.bincount(owner_M, minlength=num_images) == 0).nonzero().flatten()
    if len(alone):
        raise UserError(where, f"{len(alone)} images have no text, first image {int(alone[0])}", "leave them out")
    return owner_M
