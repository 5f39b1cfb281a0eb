"""The rooms below render(): draws, plan, scenes, glyphs, captions, pictures."""

from __future__ import annotations

import numpy as np
import pytest
from simweb_helpers import small_settings

from superbatch.simweb import words
from superbatch.simweb.captions import MAX_WORDS, count_words, write_captions, write_identifying_captions
from superbatch.simweb.clean import _distinct_seconds, balanced_concepts
from superbatch.simweb.damage import DAMAGE_KINDS, garble, off_topic_pictures
from superbatch.simweb.drawing import draw_scenes
from superbatch.simweb.draws import Draws, permutation
from superbatch.simweb.glyphs import load_glyphs
from superbatch.simweb.plan import exact_counts, plan_pool, pool_weights
from superbatch.simweb.pool import pool_scenes
from superbatch.simweb.scenes import (
    Scenes,
    draw_second_concepts,
    make_scenes,
    nth_second_concept,
    second_choices,
    zipf_weights,
)


def _scenes(count: int = 500, split: str = "training", second: int | None = None) -> tuple[Scenes, Draws]:
    draws = Draws(7, "test scenes", np.arange(count))
    concept = draws.integers("concept", words.NUM_CONCEPTS)
    seconds = draw_second_concepts(draws, concept, np.full(words.NUM_CONCEPTS, 1.0))
    if second is not None:
        seconds = np.full(count, second)
    return make_scenes(draws, concept, seconds, load_glyphs(0), split), draws


def test_draws_are_uniform_and_depend_on_the_index_alone() -> None:
    draws = Draws(3, "x", np.arange(20_000))
    unit = draws.uniform("a")
    assert unit.min() >= 0 and unit.max() < 1 and abs(unit.mean() - 0.5) < 0.01
    assert (
        abs(np.corrcoef(unit, draws.uniform("b"))[0, 1]) < 0.03 and abs(np.corrcoef(unit[1:], unit[:-1])[0, 1]) < 0.03
    )
    np.testing.assert_array_equal(Draws(3, "x", np.array([17, 4])).uniform("a"), unit[[17, 4]])
    assert (Draws(4, "x", np.arange(9)).bits("a") != draws.bits("a")[:9]).all()


def test_known_draws_stay_as_they_are() -> None:
    """A change here changes every rendered byte: results recorded on simweb would no longer be reproducible."""
    assert Draws(0, "pool", np.arange(3)).bits("concept").tolist() == KNOWN_BITS


KNOWN_BITS = [13949140762152236309, 16614821986042627241, 17074909674677868534]


def test_exact_counts_add_up() -> None:
    shares = {
        "clean": 0.30,
        "mismatched": 0.35,
        "boilerplate": 0.15,
        "garbled": 0.08,
        "off_topic": 0.07,
        "near_duplicate": 0.04,
        "corrupt": 0.01,
    }
    for total in (1, 7, 99, 100, 40_000):
        assert sum(exact_counts(shares, total).values()) == total
    assert exact_counts(shares, 40_000)["mismatched"] == 14_000


def test_plan_keeps_its_promises() -> None:
    plan = plan_pool(small_settings(pool_pairs=20_000))
    mismatched, copies = (plan.kind == DAMAGE_KINDS.index(name) for name in ("mismatched", "near_duplicate"))
    assert (plan.caption_of == plan.image_of)[~mismatched].all() and (plan.image_of == plan.index)[~copies].all()
    assert (plan.caption_concept != plan.image_concept)[mismatched].all()
    assert (plan.image_of < plan.index)[copies].all() and (
        plan.kind[plan.image_of[copies]] == DAMAGE_KINDS.index("clean")
    ).all()


@pytest.mark.parametrize("seed", range(5))
def test_tiny_pools_can_be_planned(seed: int) -> None:
    shares = {"clean": 0.2, "near_duplicate": 0.4, "mismatched": 0.4}
    plan = plan_pool(small_settings(pool_pairs=5, shares=shares, seed=seed))
    assert (plan.caption_of[plan.kind == 1] != plan.index[plan.kind == 1]).all() and plan.kind[0] == 0


def test_pool_concepts_have_a_zipf_tail() -> None:
    settings = small_settings(pool_pairs=40_000, zipf_exponent=1.2, shares={"clean": 1.0})
    counts = np.sort(np.bincount(plan_pool(settings).image_concept, minlength=words.NUM_CONCEPTS))[::-1]
    ranks = np.arange(1, 101)
    slope = np.polyfit(np.log(ranks), np.log(counts[:100]), 1)[0]
    assert slope == pytest.approx(-1.2, abs=0.05)
    weights = np.sort(pool_weights(settings))[::-1]
    assert weights[0] / weights[9] == pytest.approx(10**1.2) and weights.sum() == pytest.approx(1)


def test_zipf_exponent_zero_is_even_and_the_seed_permutes_the_ranking() -> None:
    np.testing.assert_allclose(zipf_weights(0.0, np.arange(8)), 1 / 8)
    assert (pool_weights(small_settings(seed=1)).argmax()) != (pool_weights(small_settings(seed=2)).argmax())


def test_digit_images_are_split_by_image() -> None:
    members = {split: set(np.concatenate(groups).tolist()) for split, groups in load_glyphs(0).members.items()}
    assert sum(len(images) for images in members.values()) == len(set().union(*members.values())) == 1797


@pytest.mark.parametrize("split", ["training", "validation", "test"])
def test_scenes_use_their_splits_digits(split: str) -> None:
    scenes, _ = _scenes(2_000, split)
    glyphs = load_glyphs(0)
    for objects in (scenes.main, scenes.second):
        digits = objects.kind < words.NUM_DIGITS
        assert set(objects.glyph[digits].tolist()) <= set(np.concatenate(glyphs.members[split]).tolist())
        for digit in range(10):
            assert set(objects.glyph[objects.kind == digit].tolist()) <= set(glyphs.members[split][digit].tolist())
        assert (objects.glyph[~digits] == -1).all()


def test_pool_scenes_are_of_the_training_split() -> None:
    settings = small_settings()
    scenes = pool_scenes(settings, np.arange(600), balanced_concepts(0, "x", 600))
    used = {g for objects in (scenes.main, scenes.second) for g in objects.glyph.tolist()} - {-1}
    assert used and not used & set(np.concatenate(load_glyphs(0).members["test"]).tolist())


def test_second_objects_differ_in_kind_and_colour() -> None:
    for main in (0, 77, 191):
        partners = nth_second_concept(np.full(second_choices(), main), np.arange(second_choices()))
        assert len(set(partners.tolist())) == second_choices()
        assert (partners // 8 != main // 8).all() and (partners % 8 != main % 8).all()
    scenes, _ = _scenes(3_000)
    assert (scenes.main.kind != scenes.second.kind).all() and (scenes.main.colour != scenes.second.colour).all()


def test_retrieval_pairs_come_once() -> None:
    concept = balanced_concepts(0, "retrieval", 3_000)
    second = _distinct_seconds(0, "retrieval", concept)
    assert len({frozenset(pair) for pair in zip(concept.tolist(), second.tolist(), strict=True)}) == 3_000


def test_captions_are_many_short_and_true() -> None:
    scenes, draws = _scenes(3_000, second=-1)
    captions = write_captions(scenes, draws)
    assert len(set(captions)) > 2_000 and max(map(count_words, captions)) <= MAX_WORDS
    for caption, colour in zip(captions, scenes.main.colour.tolist(), strict=True):
        assert any(word in caption for word in words.COLOUR_WORDS[colour])


def test_identifying_captions_name_both_objects() -> None:
    scenes, draws = _scenes(300)
    for row, captions in enumerate(write_identifying_captions(scenes, draws)):
        assert 3 <= len(set(captions)) == len(captions) <= 5
        for caption in captions:
            assert count_words(caption) <= MAX_WORDS
            for objects in (scenes.main, scenes.second):
                assert any(word in caption for word in words.COLOUR_WORDS[objects.colour[row]])
                assert any(word in caption for word in words.KIND_WORDS[objects.kind[row]])


def test_captions_fit_clips_tokenizer() -> None:
    open_clip = pytest.importorskip("open_clip")
    scenes, draws = _scenes(2_000)
    lengths = (open_clip.SimpleTokenizer(context_length=77)(write_captions(scenes, draws)) != 0).sum(dim=1)
    assert lengths.max() <= 24


def test_garbled_captions_never_stay_whole() -> None:
    captions = ["a red circle", "ox", "aaa aaa"] * 200
    garbled = garble(captions, Draws(0, "g", np.arange(len(captions))))
    assert all(new != old and new.strip() for new, old in zip(garbled, captions, strict=True))


def test_pictures_show_the_colours_and_do_not_depend_on_the_batch() -> None:
    scenes, _ = _scenes(300, second=-1)
    glyphs = load_glyphs(0)
    pictures = draw_scenes(scenes, glyphs, 32)
    assert pictures.shape == (300, 32, 32, 3) and pictures.dtype == np.uint8
    for row, colour in enumerate(scenes.main.colour.tolist()):
        wanted = words.COLOUR_RGB[colour] * scenes.gain[row]
        nearest = np.abs(pictures[row].reshape(-1, 3) - wanted).max(axis=1)
        assert (nearest < 40).sum() >= 8, (
            words.CLASS_NAMES[scenes.main.concept[row]],
            words.TEXTURES[scenes.main.texture[row]],
        )
    np.testing.assert_array_equal(draw_scenes(scenes.rows(slice(40, 60)), glyphs, 32), pictures[40:60])


def test_a_larger_picture_shows_the_same_scene() -> None:
    scenes, _ = _scenes(100)
    small, large = (draw_scenes(scenes, load_glyphs(0), size).astype(float) for size in (32, 96))
    assert np.abs(large.reshape(100, 32, 3, 32, 3, 3).mean(axis=(2, 4)) - small).mean() < 6


def test_scenes_are_told_apart_by_a_nearest_neighbour() -> None:
    """The kinds carry signal at 32 px: 1-NN on plain large shapes of one colour is far above chance (1 in 24)."""
    draws = Draws(0, "neighbours", np.arange(1_200))
    concept = (np.arange(1_200) % len(words.KINDS)) * words.NUM_COLOURS
    scenes = make_scenes(draws, concept, np.full(1_200, -1), load_glyphs(0), "training")
    rows = np.flatnonzero((scenes.size == 2) & (scenes.main.texture == 0))
    pictures = draw_scenes(scenes.rows(rows), load_glyphs(0), 32).astype(float)
    mask = np.abs(pictures - words.COLOUR_RGB[0] * scenes.gain[rows][:, None, None, None]).max(axis=-1) < 45
    flat, labels = mask.reshape(len(rows), -1).astype(float), concept[rows]
    distances = (flat**2).sum(1)[:, None] - 2 * flat @ flat.T + (flat**2).sum(1)[None]
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.7


def test_off_topic_pictures() -> None:
    draws = Draws(0, "off", np.arange(200))
    pictures, captions = off_topic_pictures(draws, 32)
    assert pictures.shape == (200, 32, 32, 3) and len(set(captions)) > 50
    assert pictures.reshape(200, -1).std(axis=1).min() > 3


def test_permutation_is_one() -> None:
    assert sorted(permutation(0, "x", 100).tolist()) == list(range(100)) != permutation(0, "x", 100).tolist()
