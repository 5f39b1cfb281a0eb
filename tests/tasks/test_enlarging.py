"""Which pairs join the curated set: the best, balanced over clusters; none that is held out, in another set, or there twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.curation.enlarged import Added, image_numbers, known_images, read_origins, write_enlarged
from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache, EmbeddingCacheWriter
from superbatch.data.manifest import MANIFEST_FILE, MANIFEST_SCHEMA, Manifest, read_manifest
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.options import BootstrapSettings
from superbatch.tasks.captioner import find_captioner, write_captions
from superbatch.tasks.enlarging import SUMMARY, Scored, best_of_equal, choose, enlarge
from superbatch.tasks.reference import split_rows
from tests.manifests import write_made_up

POOL, CURATED = 60, 20


def write_cache(folder: Path, score_N: np.ndarray, group_N: np.ndarray) -> EmbeddingCache:
    """A cache whose pair scores are these, with captions in groups that lie far apart."""
    text = np.zeros((len(score_N), 8))
    text[np.arange(len(text)), group_N] = 1
    image = score_N[:, None] * text
    image[:, 7] = np.sqrt(1 - score_N**2)
    metadata = {"scale": 1.0, "bias": 0.0, "loss": "sigmoid", "fingerprint": "x"}
    with EmbeddingCacheWriter(folder / EMBEDDINGS, 8, 8, metadata) as writer:
        writer.append(image, text)
    return EmbeddingCache(folder / EMBEDDINGS)


@st.composite
def pools(draw: Callable) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, clusters, images of which some are equal, and which rows are open."""
    size = draw(st.integers(1, 40))

    def numbers(most: int) -> np.ndarray:
        return np.array(draw(st.lists(st.integers(0, most), min_size=size, max_size=size)))

    return numbers(9) / 9.0, numbers(4), numbers(15), numbers(3) > 0


@given(pools())
def test_of_equal_images_the_best_is_left(pool: tuple[np.ndarray, ...]) -> None:
    scores, _, images, is_open = pool
    left = best_of_equal(scores, images, is_open)
    assert not (left & ~is_open).any()
    for image in np.unique(images[is_open]):
        same = np.flatnonzero(is_open & (images == image))
        assert list(np.flatnonzero(left & (images == image))) == [same[np.argmax(scores[same])]]


@given(pools(), st.integers(1, 50), st.floats(0, 1))
def test_the_best_of_each_cluster_are_chosen(pool: tuple[np.ndarray, ...], most: int, balance: float) -> None:
    scores, clusters, _, is_open = pool
    if not is_open.any():
        with pytest.raises(UserError, match=r"bootstrap\.aligned"):
            choose(scores, clusters, is_open, most, balance)
        return
    rows = choose(scores, clusters, is_open, most, balance)
    assert len(rows) == min(most, is_open.sum()) and is_open[rows].all() and (np.diff(rows) > 0).all()
    for cluster in np.unique(clusters):
        of_cluster = np.flatnonzero(is_open & (clusters == cluster))
        best = of_cluster[np.argsort(-scores[of_cluster], kind="stable")]
        mine = rows[clusters[rows] == cluster]
        assert set(mine) == set(best[: len(mine)])
    if balance == 1:
        given_by = np.array([(clusters[rows] == cluster).sum() for cluster in range(5)])
        has = np.array([(is_open & (clusters == cluster)).sum() for cluster in range(5)])
        rest = given_by[given_by < has]
        assert not len(rest) or (np.ptp(rest) <= 1 and given_by.max() <= rest.max() + 1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Manifest, Manifest, EmbeddingCache]:
    """A pool that repeats two curated images, two evaluation images and three of its own, all among its best."""
    folder = tmp_path_factory.mktemp("sets")
    curated = write_made_up(folder / "curated", [1000 + row for row in range(CURATED)], "curated")
    evaluation = write_made_up(folder / "evaluation", [2000, 2001, 2002], "evaluation")
    images = list(range(POOL))
    _, held_out = split_rows(curated, 0.3)
    images[0], images[1] = 1000 + int(held_out[0]), 1000 + int(np.setdiff1d(np.arange(CURATED), held_out)[0])
    images[2], images[3] = 2000, 2002
    images[4] = images[5] = images[6]
    pool = write_made_up(folder / "pool", images, "pool")
    score = np.linspace(0.95, 0.05, POOL)
    return curated, evaluation, pool, write_cache(folder, score, np.arange(POOL) % 3)


KNOWN = np.linspace(0.5, 0.9, 21)  # 95 % of them are 0.52 or more


def enlarged(out: Path, sets: tuple[Manifest, Manifest, Manifest, EmbeddingCache], **changes: object) -> Path:
    curated, evaluation, pool, cache = sets
    settings = BootstrapSettings(**{"share": 0.2, "clusters": 3, "balance": 1.0} | changes)
    out.mkdir()
    enlarge(out, curated, Scored(pool, cache, KNOWN), settings, [evaluation])
    return out


def test_what_joins_is_in_no_other_set_and_there_once(tmp_path: Path, sets: tuple) -> None:
    curated, evaluation, pool, cache = sets
    out = enlarged(tmp_path / "out", sets)
    manifest, origins = read_manifest(out), read_origins(out).to_pandas()
    assert len(manifest) == len(origins) == CURATED + 12 and (origins["row"] == np.arange(len(origins))).all()
    digests = manifest.column("sha256").to_pylist()
    assert len(set(digests)) == len(digests), "no image twice: neither curated ones nor the pool's own"
    assert not set(digests) & set(evaluation.column("sha256").to_pylist())
    assert digests[:CURATED] == curated.column("sha256").to_pylist(), "curated rows keep their numbers"
    joined = origins[origins["set"] == "pool"]
    assert joined["cluster"].value_counts().tolist() == [4, 4, 4], "balanced"
    assert (joined["score"] >= 0.52).all() and np.allclose(joined["score"], cache.pair_scores()[joined["set_row"]])
    for place, row in zip(joined["row"], joined["set_row"], strict=True):
        for column in ("key", "shard", "offset", "captions", "sha256"):
            assert manifest.column(column)[place].as_py() == pool.column(column)[row].as_py()
    assert set(manifest.shard_sizes) == set(manifest.column("shard").to_pylist())
    assert read_json(out / SUMMARY) | {"curated": CURATED, "chosen": 12, "recaptioned": 0} == read_json(out / SUMMARY)


def test_the_oracle_of_the_choice_looks_at_every_row(tmp_path: Path, sets: tuple) -> None:
    """Row by row, without arrays: the best four of each group that may join."""
    curated, evaluation, pool, cache = sets
    known = {*curated.column("sha256").to_pylist(), *evaluation.column("sha256").to_pylist()}
    wanted: set[int] = set()
    scores, digests = cache.pair_scores(), pool.column("sha256").to_pylist()
    for group in range(3):
        taken: list[int] = []
        for row in sorted(range(POOL), key=lambda row: (-scores[row], row)):
            first = digests.index(digests[row]) == row  # scores fall with rows, so the first is the best
            if row % 3 == group and digests[row] not in known and first and len(taken) < 4:
                taken.append(row)
        wanted |= set(taken)
    origins = read_origins(enlarged(tmp_path / "out", sets)).to_pandas()
    assert set(origins.loc[origins["set"] == "pool", "set_row"]) == wanted


def test_only_aligned_pairs_join_however_many_are_asked_for(tmp_path: Path, sets: tuple) -> None:
    origins = read_origins(enlarged(tmp_path / "all", sets, share=1.0)).to_pandas()
    assert origins["score"].min() >= 0.52
    every = read_origins(enlarged(tmp_path / "any", sets, share=1.0, aligned=0.0)).to_pandas()
    assert len(every) == CURATED + POOL - 4 - 2, "all but those in other sets and there twice"


def test_without_held_out_pairs_nobody_knows_what_is_aligned(tmp_path: Path, sets: tuple) -> None:
    curated, _, pool, cache = sets
    with pytest.raises(
        UserError, match=r"bootstrap\.aligned: needs curated pairs that were held out .* set reference\.held_out"
    ):
        enlarge(tmp_path, curated, Scored(pool, cache, np.empty(0)), BootstrapSettings(clusters=3), [])


def loud(pool: Manifest, rows: np.ndarray, *, mark: str = "!", spared: tuple[int, ...] = ()) -> list[str | None]:
    """A captioner: the first caption, louder."""
    return [None if row in spared else f" {pool.captions(np.array([row]))[0][0]}{mark} " for row in rows.tolist()]


def test_pairs_that_are_not_aligned_get_other_captions(tmp_path: Path, sets: tuple) -> None:
    captioner = {"captioner": f"{__name__}:loud", "captioner_options": {"mark": "?", "spared": [59]}}
    out = enlarged(tmp_path / "out", sets, recaption_share=1.0, **captioner)
    origins, manifest = read_origins(out).to_pandas(), read_manifest(out)
    again = origins[origins["reason"] == "recaptioned"]
    assert len(again) and (again["score"] < 0.52).all() and 59 not in set(again["set_row"])
    for place, row in zip(again["row"], again["set_row"], strict=True):
        assert manifest.captions(np.array([place])) == [[f"pool {row}?"]]
    assert list(again["caption_before"]) == [f"pool {row}" for row in again["set_row"]]
    assert origins.loc[origins["reason"] != "recaptioned", "caption_before"].isna().all()
    assert (origins["reason"] == "chosen").sum() == 12, "they come besides"
    assert pq.read_schema(out / MANIFEST_FILE).names == MANIFEST_SCHEMA.names
    few = read_json(enlarged(tmp_path / "few", sets, recaption_share=0.05, **captioner) / SUMMARY)
    assert few["recaptioned"] <= 3


def silent(pool: Manifest, rows: np.ndarray) -> list[str]:
    return []


def numbers(pool: Manifest, rows: np.ndarray) -> list[int]:
    return rows.tolist()


@pytest.mark.parametrize(
    ("path", "options", "line"),
    [
        ("nowhere", {}, "bootstrap.captioner: 'nowhere' is not a function; name it as package.module:function"),
        ("no.such.module:f", {}, "bootstrap.captioner: 'no.such.module:f' cannot be imported (No module named 'no')"),
        (f"{__name__}:quiet", {}, f"bootstrap.captioner: '{__name__}:quiet' cannot be imported"),
        (f"{__name__}:POOL", {}, f"bootstrap.captioner: '{__name__}:POOL' is not a function"),
        (f"{__name__}:loud", {"volume": 3}, f"bootstrap.captioner_options: {__name__}:loud does not take a pool, rows and ['volume']"),
        (f"{__name__}:silent", {}, f"bootstrap.captioner: {__name__}:silent gave 0 captions for 2 rows; return one for each row"),
        (f"{__name__}:numbers", {}, f"bootstrap.captioner: {__name__}:numbers gave 7 for a caption; return text, or None"),
    ],
)  # fmt: skip
def test_a_captioner_that_is_none_is_one_line(sets: tuple, path: str, options: dict, line: str) -> None:
    with pytest.raises(UserError) as found:
        write_captions(path, options, sets[2], np.array([7, 8]))
    assert str(found.value).startswith(line)


def test_a_captioner_is_found_by_its_path() -> None:
    assert find_captioner(f"{__name__}:loud", {"mark": "."}) is not None


def test_pieces_of_a_manifest_come_together(tmp_path: Path, sets: tuple) -> None:
    """Whatever the row groups: the rows that were asked for, in their order."""
    curated, _, pool, _ = sets
    cut = tmp_path / "cut"
    cut.mkdir()
    table = pq.read_table(pool.path)
    pq.write_table(table, cut / MANIFEST_FILE, row_group_size=7)
    rows = np.array([0, 6, 7, 20, 41, 59])
    added = Added(rows, np.zeros(6, np.float32), np.zeros(6, np.int32), {})
    marks = []
    for name, source in (("whole", pool), ("pieces", read_manifest(cut))):
        (tmp_path / name).mkdir()
        marks.append(write_enlarged(tmp_path / name, curated, source, added))
    assert marks[0] == marks[1]
    assert read_manifest(tmp_path / "pieces").keys[CURATED:] == [f"{row:03d}" for row in rows]


def test_equal_images_have_equal_numbers(sets: tuple) -> None:
    curated, evaluation, pool, _ = sets
    found, digests = image_numbers(pool), pool.column("sha256").to_pylist()
    for row, digest in enumerate(digests):
        assert list(np.flatnonzero(found == found[row])) == [n for n, other in enumerate(digests) if other == digest]
    assert list(np.flatnonzero(known_images(pool, [curated, evaluation]))) == [0, 1, 2, 3]
    assert not known_images(pool, []).any()
