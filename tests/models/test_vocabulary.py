"""A model that trains on the token ids in use says of captions what it said with its whole vocabulary."""

from __future__ import annotations

import open_clip
import pytest
import torch

from superbatch.models import Vocabulary
from superbatch.models.vocabulary import full_vocabulary

VISION = {"image_size": 16, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
TEXT = {"context_length": 8, "vocab_size": 300, "width": 32, "heads": 2, "layers": 1}
START, END = 101, 102


@pytest.mark.parametrize("pooling", [{"pool_type": "eos", "eos_id": END}, {"pool_type": "last"}, {}])
def test_shrunk_and_whole_embed_alike(pooling: dict[str, object]) -> None:
    """A tower that looks for the end token by its id looked for the old one, found none, and gave all captions one embedding."""
    torch.manual_seed(0)
    model = open_clip.CLIP(16, VISION, TEXT | pooling).eval()
    ids = torch.zeros(4, 8, dtype=torch.int64)
    for row, words in enumerate(([200, 201], [250], [220, 221, 222], [299])):
        ids[row, : len(words) + 2] = torch.tensor([START, *words, END])
    with torch.no_grad():
        expected = model.encode_text(ids)
        vocabulary = Vocabulary.of(model, ids[:, 2:].numpy())
        assert END in vocabulary.ids_V
        vocabulary = Vocabulary.of(model, ids.numpy())
        vocabulary.shrink(model)
        torch.testing.assert_close(model.encode_text(vocabulary.to_compact(ids)), expected)
        with full_vocabulary(model, vocabulary) as whole:
            torch.testing.assert_close(whole.encode_text(ids), expected)
        torch.testing.assert_close(model.encode_text(vocabulary.to_compact(ids)), expected)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
