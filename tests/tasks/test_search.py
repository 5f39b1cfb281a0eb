"""What is searched (distinct pictures, their words), and embeddings of it by a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.reader import ImageReader
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.errors import UserError
from superbatch.models import ClipModel
from superbatch.models.build import instantiate
from superbatch.tasks import embed_images, embed_texts
from superbatch.tasks.pictures import PicturePixels, Pictures, SearchedSet, sample, write_pictures
from superbatch.tasks.search import SearchIndex, embed_queries, unknown_words, write_index
from superbatch.tasks.words import frequent_words
from tests.tiny_model import tiny_model_cfg

SIZE = 16


def colour(number: int) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), (number * 20, 255 - number * 20, number), np.uint8)


def made_set(folder: Path, name: str, numbers: list[int]) -> SearchedSet:
    """A set of plain colours; equal numbers are equal pictures."""
    samples = [
        Sample(f"{i:03d}", {"png": encode_image(colour(n), "png"), "txt": f"{name} colour {n}".encode()})
        for i, n in enumerate(numbers)
    ]
    write_shard(folder / name / "0.tar", samples)
    ingest([folder / name / "0.tar"], folder / f"{name}-set")
    manifest = read_manifest(folder / f"{name}-set")
    return SearchedSet(name, manifest, manifest.first_captions())


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[SearchedSet]:
    folder = tmp_path_factory.mktemp("sets")
    return [made_set(folder, "pool", [0, 1, 1, 2, 0]), made_set(folder, "others", [3, 2, 4, 4, 5])]


def gathered(sets: list[SearchedSet], out: Path, limit: int | None = None) -> Pictures:
    out.mkdir(exist_ok=True)
    write_pictures(sets, ["Dark Red"], out, limit=limit, words=50)
    return Pictures(out)


def test_equal_pictures_are_there_once_under_their_first_row(sets: list[SearchedSet], tmp_path: Path) -> None:
    found = gathered(sets, tmp_path)
    places = [(found.set_names[s], row) for s, row in zip(found.set_numbers, found.rows.tolist(), strict=True)]
    assert places == [("pool", 0), ("pool", 1), ("pool", 3), ("others", 0), ("others", 2), ("others", 4)]
    assert found.captions() == [f"pool colour {n}" for n in (0, 1, 2)] + [f"others colour {n}" for n in (3, 4, 5)]
    assert found.captions(np.array([5, 0])) == ["others colour 5", "pool colour 0"]


def test_pixels_come_from_the_set_that_has_the_picture(sets: list[SearchedSet], tmp_path: Path) -> None:
    found = gathered(sets, tmp_path)
    pixels = PicturePixels(found, [ImageReader(one.manifest, SIZE) for one in sets])
    numbers = np.array([4, 0, 5, 2])
    assert np.array_equal(pixels.read(numbers), np.stack([colour(n).transpose(2, 0, 1) for n in numbers]))


def test_a_limit_keeps_a_sample_that_is_always_the_same(sets: list[SearchedSet], tmp_path: Path) -> None:
    whole, some = gathered(sets, tmp_path / "a"), gathered(sets, tmp_path / "b", limit=4)
    assert len(some) == 4 and set(some.captions()) < set(whole.captions())
    assert some.captions() == gathered(sets, tmp_path / "c", limit=4).captions()
    assert len(gathered(sets, tmp_path / "d", limit=1000)) == len(whole)
    assert len(set(sample(50, 20).tolist())) == 20 and (np.diff(sample(50, 20)) > 0).all()


def test_a_manifest_without_digests_beside_it_gives_the_same(sets: list[SearchedSet], tmp_path: Path) -> None:
    """Sets of earlier versions have none."""
    manifest = read_manifest(sets[0].manifest.path.parent)
    manifest._digests_file = None
    old = SearchedSet("pool", manifest, sets[0].captions)
    assert gathered([old, sets[1]], tmp_path / "a").captions() == gathered(sets, tmp_path / "b").captions()


def test_names_come_first_then_frequent_words_and_phrases_that_recur() -> None:
    captions = ["a red fox", "the red fox", "red wolf", "Fox in a box!"]
    found = frequent_words(captions, ["Grey-Wolf", "fox"], 9)
    assert found == ["grey wolf", "fox", "red", "box", "wolf", "red fox"]
    assert frequent_words(captions, ["fox"], 2) == ["fox", "red"]
    assert frequent_words([], [], 5) == [] and frequent_words(["?!", ""], [], 5) == []


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    config = {"model_cfg": tiny_model_cfg()}
    found = ClipModel(instantiate(config, seed=0), config, "SimpleTokenizer")
    found.model.eval()
    return found


def test_an_index_has_what_the_model_makes_of_each_picture_and_word(
    clip: ClipModel, sets: list[SearchedSet], tmp_path: Path
) -> None:
    found = gathered(sets, tmp_path)
    pixels = PicturePixels(found, [ImageReader(one.manifest, SIZE) for one in sets])
    out = tmp_path / "index"
    out.mkdir()
    write_index(clip, pixels, len(found), found.words, out, name="tiny", batch=4, device="cpu")
    made = SearchIndex(out)
    images = embed_images(clip, [Image.fromarray(colour(n)) for n in range(6)])
    assert made.images.dtype == np.float16 and np.allclose(made.images, images, atol=1e-3)
    assert np.allclose(made.words, embed_texts(clip, found.words), atol=1e-3)
    queries = embed_queries(clip, ["red", "colour 3"])
    numbers, cosines = made.rank(queries, 3)
    exact = queries.double().numpy() @ made.images.astype(np.float64).T
    assert numbers.tolist() == np.argsort(-exact, axis=1, kind="stable")[:, :3].tolist()
    assert np.allclose(cosines, -np.sort(-exact, axis=1)[:, :3], atol=2e-3)


@pytest.mark.parametrize("query", ["", "  \t "])
def test_a_query_of_which_the_tokenizer_leaves_nothing_is_one_line(clip: ClipModel, query: str) -> None:
    with pytest.raises(UserError, match=r"search\.query: .* has no word in it; say what to look for"):
        embed_queries(clip, ["red", query])
    assert torch.equal(embed_queries(clip, ["red"]), embed_texts(clip, ["red"]))


def test_words_that_no_caption_has_are_named() -> None:
    captions = ["A Red fox", "blue box", "zebras"]
    assert unknown_words("the red zebra and a Blue quokka", captions) == ["zebra", "quokka"]
    assert unknown_words("red box", captions) == []
