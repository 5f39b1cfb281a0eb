"""The clean sets, balanced over concepts: curated pairs, zero-shot classification, retrieval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from superbatch.data.writing import (
    Sample,
    crawl_record,
    encode_image,
    sample_key,
    write_lines,
    write_shard,
    write_split,
)
from superbatch.options import SimwebSettings
from superbatch.simweb import words
from superbatch.simweb.captions import write_captions, write_identifying_captions
from superbatch.simweb.drawing import draw_scenes
from superbatch.simweb.draws import Draws, Ints, permutation
from superbatch.simweb.glyphs import load_glyphs
from superbatch.simweb.pool import PAIR_SHARE
from superbatch.simweb.scenes import Scenes, draw_second_concepts, make_scenes, nth_second_concept, second_choices

_EVEN = np.full(words.NUM_CONCEPTS, 1 / words.NUM_CONCEPTS)
_DISTRACTOR_SHARE = 0.2  # classification images with a second, smaller object
_BATCH = 1_000


def balanced_concepts(seed: int, stream: str, count: int) -> Ints:
    """Return int64[count]: concepts in turn, each as often as any other or once more, in an order of the seed's."""
    return permutation(seed, stream, words.NUM_CONCEPTS)[np.arange(count) % words.NUM_CONCEPTS]


def render_curated(settings: SimwebSettings, folder: Path) -> int:
    """Write the curated set (img2dataset's layout, and .cls); returns its number of pairs."""
    concept = balanced_concepts(settings.seed, "curated", settings.curated_pairs)
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(concept), settings.shard_size)):
        index = np.arange(start, min(start + settings.shard_size, len(concept)))
        write_shard(folder / f"{number:05d}.tar", _curated_samples(settings, index, concept[index]))
    return len(concept)


def _curated_samples(settings: SimwebSettings, index: Ints, concept: Ints) -> Iterator[Sample]:
    draws = Draws(settings.seed, "curated", index)
    scenes = _balanced_scenes(settings, draws, concept, "training", PAIR_SHARE)
    url_bits, is_jpeg = draws.bits("url").tolist(), (draws.uniform("jpeg") < 0.5).tolist()
    images = _pictures(settings, scenes)
    for row, (picture, caption) in enumerate(zip(images, write_captions(scenes, draws), strict=True)):
        key, extension = sample_key(int(index[row]), settings.shard_size), "jpg" if is_jpeg[row] else "png"
        image = encode_image(picture, extension)
        record = crawl_record(
            key, f"https://curated.example.com/{url_bits[row]:016x}.{extension}", image, settings.image_size
        )
        yield Sample(
            key, {extension: image, "txt": caption.encode(), "json": record, "cls": str(concept[row]).encode()}
        )


def render_classification(settings: SimwebSettings, folder: Path) -> dict[str, int]:
    """Write the zero-shot classification sets in CLIP_benchmark's layout; returns images by split."""
    write_lines(folder / "classnames.txt", words.CLASS_NAMES)
    write_lines(folder / "zeroshot_classification_templates.txt", words.TEMPLATES)
    write_lines(folder / "dataset_type.txt", ["classification"])
    per_class = {"validation": settings.validation_images_per_class, "test": settings.test_images_per_class}
    counts = {split: images * words.NUM_CONCEPTS for split, images in per_class.items()}
    for split, count in counts.items():
        write_split(folder / split, _classification_samples(settings, split, count))
    return counts


def _classification_samples(settings: SimwebSettings, split: str, count: int) -> Iterator[Sample]:
    stream = f"classification {split}"
    concept = balanced_concepts(settings.seed, stream, count)
    for start in range(0, count, _BATCH):
        index = np.arange(start, min(start + _BATCH, count))
        draws = Draws(settings.seed, stream, index)
        scenes = _balanced_scenes(settings, draws, concept[index], split, _DISTRACTOR_SHARE)
        rows = zip(index.tolist(), _pictures(settings, scenes), write_captions(scenes, draws), strict=True)
        for i, picture, caption in rows:
            yield Sample(
                f"{i:07d}",
                {"png": encode_image(picture, "png"), "cls": str(concept[i]).encode(), "txt": caption.encode()},
            )


def render_retrieval(settings: SimwebSettings, folder: Path) -> dict[str, int]:
    """Write the retrieval sets in CLIP_benchmark's layout, several captions an image; returns images by split."""
    write_lines(folder / "dataset_type.txt", ["retrieval"])
    counts = {"validation": settings.validation_retrieval_images, "test": settings.test_retrieval_images}
    for split, count in counts.items():
        write_split(folder / split, _retrieval_samples(settings, split, count))
    return counts


def _retrieval_samples(settings: SimwebSettings, split: str, count: int) -> Iterator[Sample]:
    stream = f"retrieval {split}"
    concept = balanced_concepts(settings.seed, stream, count)
    second = _distinct_seconds(settings.seed, stream, concept)
    for start in range(0, count, _BATCH):
        index = np.arange(start, min(start + _BATCH, count))
        draws = Draws(settings.seed, stream, index)
        scenes = make_scenes(draws, concept[index], second[index], load_glyphs(settings.seed), split)
        rows = zip(index.tolist(), _pictures(settings, scenes), write_identifying_captions(scenes, draws), strict=True)
        for i, picture, captions in rows:
            yield Sample(f"{i:07d}", {"png": encode_image(picture, "png"), "txt": "\n".join(captions).encode()})


def _distinct_seconds(seed: int, stream: str, concept: Ints) -> Ints:
    """Give each image a second object such that no unordered pair of objects comes twice (while any are left).

    Each concept goes through its partners in an order of its own, so that the captions of a set tell its images apart.
    """
    choices = second_choices()
    first_choice = Draws(seed, stream, np.arange(words.NUM_CONCEPTS)).integers("partner", choices)
    result = np.empty_like(concept)
    used: set[tuple[int, int]] = set()
    tried = np.zeros(words.NUM_CONCEPTS, dtype=np.int64)
    for row, main in enumerate(concept.tolist()):
        for _ in range(choices):
            number = (
                first_choice[main] + 37 * tried[main]
            ) % choices  # 37 has no factor in common with 161: all partners in turn
            tried[main] += 1
            partner = int(nth_second_concept(np.array([main]), np.array([number]))[0])
            if (min(main, partner), max(main, partner)) not in used:
                break
        used.add((min(main, partner), max(main, partner)))
        result[row] = partner
    return result


def _balanced_scenes(settings: SimwebSettings, draws: Draws, concept: Ints, split: str, paired: float) -> Scenes:
    second = np.where(draws.uniform("paired") < paired, draw_second_concepts(draws, concept, _EVEN), -1)
    return make_scenes(draws, concept, second, load_glyphs(settings.seed), split)


def _pictures(settings: SimwebSettings, scenes: Scenes) -> Iterator[np.ndarray]:
    yield from draw_scenes(scenes, load_glyphs(settings.seed), settings.image_size)
