from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from superbatch.evaluation.pairs.exchange import exchange, mixed

captions = st.lists(st.sampled_from("abcdefgh"), max_size=40)
seeds = st.integers(0, 2**32 - 1)


@given(captions, seeds)
def test_each_image_gets_a_caption_that_reads_differently_and_each_caption_goes_once(given_captions, seed) -> None:
    images, others = exchange(given_captions, np.random.default_rng(seed))
    assert all(given_captions[image] != given_captions[other] for image, other in zip(images, others, strict=True))
    assert len(set(others)) == len(others) and list(images) == sorted(set(images))
    most = max(Counter(given_captions).values(), default=0)
    if 2 * most <= len(given_captions):
        assert len(images) == len(given_captions)
    else:  # those that are too many keep theirs
        assert len(images) == 2 * (len(given_captions) - most)


@given(captions, st.floats(0, 1), seeds)
def test_a_mixture_exchanges_about_the_share_that_was_asked_for(given_captions, share, seed) -> None:
    caption_of = mixed(given_captions, share, np.random.default_rng(seed))
    changed = np.flatnonzero(caption_of != np.arange(len(given_captions)))
    assert all(given_captions[image] != given_captions[caption_of[image]] for image in changed)
    if len(set(given_captions)) == len(given_captions) >= 4:
        assert sorted(caption_of) == list(range(len(given_captions))), "each caption once"
        assert len(changed) == np.clip(round(share * len(given_captions)), 2, len(given_captions) - 2)
