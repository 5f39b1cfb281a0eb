"""One shard of the pool: scenes, their damage, and the truth about them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from superbatch.data.writing import JPEG_QUALITY, Sample, crawl_record, encode_image, sample_key, write_shard
from superbatch.options import SimwebSettings
from superbatch.simweb.captions import write_captions
from superbatch.simweb.damage import DAMAGE_KINDS, boilerplate_captions, corrupt, garble, off_topic_pictures
from superbatch.simweb.drawing import Pictures, draw_scenes
from superbatch.simweb.draws import Dice, Draws, Ints
from superbatch.simweb.glyphs import load_glyphs
from superbatch.simweb.plan import POOL, PoolPlan, pool_weights
from superbatch.simweb.scenes import Scenes, draw_second_concepts, make_scenes

PAIR_SHARE = 0.25  # scenes with two objects
_JPEG_SHARE = 0.7
_KIND = {name: number for number, name in enumerate(DAMAGE_KINDS)}


@dataclass
class Truth:
    """The truth about each pair of the pool; reports read it, training never does.

    Attributes:
        keys: keys in the shards.
        kinds: kind of damage.
        concepts: concept of the image's main object, -1 for an off-topic image.
        true_captions: a caption that fits the image; empty for an off-topic image.
        source_keys: near-duplicates: the pair copied; mismatched: the pair whose caption it carries; else empty.
        shown_captions: what the pool says.
    """

    keys: list[str]
    kinds: list[str]
    concepts: list[int]
    true_captions: list[str]
    source_keys: list[str]
    shown_captions: list[str]

    @classmethod
    def joined(cls, parts: list[Truth]) -> Truth:
        """Put the truth of several shards one behind the other."""
        return cls(*(list(itertools.chain.from_iterable(getattr(part, f.name) for part in parts)) for f in fields(cls)))


def pool_scenes(settings: SimwebSettings, index: Ints, concept: Ints) -> Scenes:
    """Make the scenes of some pairs of the pool, whatever became of these pairs."""
    draws = Draws(settings.seed, POOL, index)
    second = draw_second_concepts(draws, concept, pool_weights(settings))
    second = np.where(draws.uniform("paired") < PAIR_SHARE, second, -1)
    return make_scenes(draws, concept, second, load_glyphs(settings.seed), "training")


def render_pool_shard(settings: SimwebSettings, plan: PoolPlan, folder: Path, number: int) -> Truth:
    """Render and write the pairs of one shard; a pure function of settings and plan, in any process.

    Returns:
        The truth about its pairs.
    """
    draws = Draws(settings.seed, POOL, plan.index)
    pictures, off_topic = _pictures(settings, plan, draws)
    true_captions = _captions(settings, plan.image_of, plan.image_concept)
    shown = _shown_captions(settings, plan, draws, true_captions, off_topic)
    keys = [sample_key(i, settings.shard_size) for i in plan.index.tolist()]
    samples = list(_samples(settings, plan, draws, keys, pictures, shown))
    write_shard(folder / f"{number:05d}.tar", samples)
    return _truth(settings, plan, keys, true_captions, [s.parts["txt"].decode() for s in samples])


def _pictures(settings: SimwebSettings, plan: PoolPlan, draws: Draws) -> tuple[Pictures, list[str]]:
    """Return uint8[n, S, S, 3], and the captions of the off-topic ones among them, in order."""
    scenes = pool_scenes(settings, plan.image_of, plan.image_concept)
    nudge = np.where(plan.kind == _KIND["near_duplicate"], draws.uniform("nudge", 0.2, 1.6) / settings.image_size, 0.0)
    pictures = draw_scenes(scenes.nudged(draws, nudge), load_glyphs(settings.seed), settings.image_size)
    rows = np.flatnonzero(plan.kind == _KIND["off_topic"])
    pictures[rows], captions = off_topic_pictures(draws.subset(rows), settings.image_size)
    return pictures, captions


def _captions(settings: SimwebSettings, index: Ints, concept: Ints) -> list[str]:
    return write_captions(pool_scenes(settings, index, concept), Draws(settings.seed, POOL, index))


def _shown_captions(
    settings: SimwebSettings, plan: PoolPlan, draws: Draws, true_captions: list[str], off_topic: list[str]
) -> list[str]:
    """The caption that the pool has for each picture."""
    shown = list(true_captions)

    def put(rows: NDArray[np.intp], captions: list[str]) -> None:
        for row, caption in zip(rows.tolist(), captions, strict=True):
            shown[row] = caption

    rows_of = {name: np.flatnonzero(plan.kind == number) for name, number in _KIND.items()}
    mismatched = rows_of["mismatched"]
    put(mismatched, _captions(settings, plan.caption_of[mismatched], plan.caption_concept[mismatched]))
    put(rows_of["boilerplate"], boilerplate_captions(draws.subset(rows_of["boilerplate"])))
    garbled = rows_of["garbled"]
    put(garbled, garble([true_captions[row] for row in garbled.tolist()], draws.subset(garbled)))
    put(rows_of["off_topic"], off_topic)
    copies = rows_of["near_duplicate"]
    reworded = copies[draws.subset(copies).uniform("reworded") < 0.5]
    put(reworded, [_nearly_same(true_captions[row]) for row in reworded.tolist()])
    return shown


def _nearly_same(caption: str) -> str:
    """The same words with other punctuation and capitals, as re-posts have them."""
    return caption[0].upper() + caption[1:] + "."


def _samples(
    settings: SimwebSettings, plan: PoolPlan, draws: Draws, keys: list[str], pictures: Pictures, shown: list[str]
) -> Iterator[Sample]:
    is_jpeg, url_bits = (draws.uniform("jpeg") < _JPEG_SHARE).tolist(), draws.bits("url").tolist()
    copies = plan.kind == _KIND["near_duplicate"]
    quality = np.where(copies, 75 + draws.integers("quality", 21), JPEG_QUALITY).tolist()
    broken = draws.table("corrupt", 8).tolist()
    for row, (key, caption) in enumerate(zip(keys, shown, strict=True)):
        extension = "jpg" if is_jpeg[row] else "png"
        image = encode_image(pictures[row], extension, quality[row])
        if plan.kind[row] == _KIND["corrupt"]:
            image, caption = corrupt(image, caption, Dice(broken[row]))
        url = f"https://img{url_bits[row] % 40:02d}.example.com/{url_bits[row]:016x}.{extension}"
        record = crawl_record(key, url, image, settings.image_size)
        yield Sample(key, {extension: image, "txt": caption.encode(), "json": record})


def _truth(
    settings: SimwebSettings, plan: PoolPlan, keys: list[str], true_captions: list[str], shown: list[str]
) -> Truth:
    off_topic, size = plan.kind == _KIND["off_topic"], settings.shard_size
    source = np.where(
        plan.kind == _KIND["mismatched"],
        plan.caption_of,
        np.where(plan.kind == _KIND["near_duplicate"], plan.image_of, -1),
    )
    return Truth(
        keys=keys,
        kinds=[DAMAGE_KINDS[kind] for kind in plan.kind.tolist()],
        concepts=np.where(off_topic, -1, plan.image_concept).tolist(),
        true_captions=["" if off else caption for off, caption in zip(off_topic.tolist(), true_captions, strict=True)],
        source_keys=[sample_key(i, size) if i >= 0 else "" for i in source.tolist()],
        shown_captions=shown,
    )
