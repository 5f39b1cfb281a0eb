"""The shards as written: what is in them and what is not, for any number of processes."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from PIL import Image

from superbatch.artifacts.fingerprints import directory_digest
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.errors import UserError
from superbatch.evaluation.sets import load_evaluation_set, split_shards
from superbatch.icons import make
from superbatch.icons.licences import PERMISSIVE
from superbatch.icons.rendering import BLANK, INVALID, Unrenderable, render
from superbatch.icons.sets import Drawing, IconSet
from superbatch.icons.shards import picture_digest
from tests.icons.packages import BROKEN, CONCEPTS, WHITE, body, contents, settings


def samples(root: Path, pattern: str) -> list[dict[str, Any]]:
    """Samples of some shards: their parts by extension."""
    found: dict[str, dict[str, Any]] = {}
    for shard in sorted(root.glob(pattern)):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                data = tar.extractfile(member).read()
                value = json.loads(data) if extension == "json" else data if extension == "png" else data.decode()
                found.setdefault(f"{shard.parent}/{key}", {})[extension] = value
    return list(found.values())


def test_each_sample_says_whose_it_is(made: tuple[Path, dict[str, Any]]) -> None:
    root, _ = made
    authors = {name: one["info"]["author"]["name"] for name, one in contents().items()}
    everything = samples(root, "**/*.tar")
    assert len(everything) > 80
    for sample in everything:
        about = sample["json"]
        assert about["licence"] in PERMISSIVE
        assert about["author"] == authors[about["set"]]
        assert about["author_url"] == f"https://example.com/{about['set']}"
        assert about["name"] in contents()[about["set"]]["icons"]
    assert "closed" not in {sample["json"]["set"] for sample in everything}


def test_captions_are_names_in_the_pool_and_concepts_in_the_curated_set(made: tuple[Path, dict[str, Any]]) -> None:
    root, _ = made
    pool = {(one["json"]["set"], one["json"]["name"]): one["txt"] for one in samples(root, "pool/*.tar")}
    assert pool["styled", "traffic-light-fill"] == "traffic light fill"
    assert {pool["plain", "home"]} <= {"home", "house", "home, Things", "house, Things"}
    assert sorted(one["txt"] for one in samples(root, "curated/*.tar")) == sorted(CONCEPTS)


def test_what_the_test_shows_is_in_no_other_part(made: tuple[Path, dict[str, Any]]) -> None:
    """By pixels, whatever the names; `castle` and `tower` are re-publications."""
    root, summary = made
    pictures = {
        part: {picture_digest(one["png"]) for one in samples(root, pattern)}
        for part, pattern in {
            "pool": "pool/*.tar", "curated": "curated/*.tar", "validation": "evaluation/*/validation/*.tar", "test": "evaluation/*/test/*.tar",
        }.items()
    }  # fmt: skip
    names = list(pictures)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            assert not pictures[one] & pictures[other], f"{one} and {other}"
    assert not {"castle", "tower"} & {one["json"]["name"] for one in samples(root, "pool/*.tar")}
    assert summary["republished"] == {"pool": {"outline": 1, "picture": 1}}


def test_all_drawings_are_accounted_for(made: tuple[Path, dict[str, Any]]) -> None:
    root, summary = made
    assert summary["permissive"] == {"sets": 6, "teams": 5, "drawings": 84}
    assert summary["failed"] == {"blank": 1, "invalid": 1}
    kept = summary["samples"]["pool"] + summary["samples"]["curated"]
    lost = sum(summary["failed"].values()) + sum(summary["republished"]["pool"].values())
    assert kept + lost + sum(summary["held_out"].values()) == 84
    assert summary["samples"] == {
        "pool": len(samples(root, "pool/*.tar")),
        "curated": 8,
        "classification/test": 24,
        "classification/validation": 16,
        "retrieval/test": 6,
        "retrieval/validation": 4,
    }
    assert json.loads((root / "summary.json").read_text()) == summary


def test_the_sets_are_what_ingestion_and_evaluation_read(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, summary = made
    counts = ingest(sorted((root / "pool").glob("*.tar")), tmp_path / "pool", jobs=1)
    assert (counts["rows"], counts["rejected"]) == (summary["samples"]["pool"], 0)
    manifest = read_manifest(tmp_path / "pool")
    assert set(manifest.column("width").to_pylist()) == set(manifest.column("height").to_pylist()) == {16}
    assert manifest.column("notes").to_pylist() == [[]] * len(manifest)
    for kind in ("classification", "retrieval"):
        place = root / "evaluation" / kind
        ingest(split_shards(place, "test"), tmp_path / kind, jobs=1)
        found = load_evaluation_set(tmp_path / kind, place, split="test")
        assert found.kind == kind
        assert found.num_images == summary["samples"][f"{kind}/test"]
    assert found.captions == tuple(sorted(found.captions))
    assert len(set(found.captions)) == 6


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_the_same_bytes_for_any_number_of_processes(
    backend: str,
    made: tuple[Path, dict[str, Any]],
    sets: list[IconSet],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    with parallel_config(backend=backend):
        make(sets, settings(jobs=3), tmp_path / "out")
    assert directory_digest(tmp_path / "out") == directory_digest(made[0])
    said = [record.message for record in caplog.records]
    assert said[0].startswith(
        "icons: rendering 44 drawings at 16 px in 3 processes, about 0.0 GB; held out for validation"
    )
    assert said[-1].endswith("without a picture: 1 blank, 1 invalid; left out as re-publications: 2")


def test_the_card_tells_sizes_licences_and_failures(made: tuple[Path, dict[str, Any]]) -> None:
    root, summary = made
    card = (root / "README.md").read_text()
    assert f"| pool | {summary['samples']['pool']} |" in card
    for line in (
        "| invalid | 1 | resvg can't read it |",
        "| blank | 1 | white on white, or nothing at all |",
        "| pool | outline | 1 |",
        "GPL-3.0-or-later (8)",
        "| styled | Styled | [B](https://example.com/styled) | Apache-2.0 | 16 |",
        "val for validation, test for test",
    ):
        assert line in card
    sheet = Image.open(root / "contact_sheet.png")
    assert sheet.width > 1_000 and np.asarray(sheet.convert("L")).min() < 50


def drawing(shape: str, box: tuple[float, float, float, float] = (0, 0, 24, 24)) -> Drawing:
    return Drawing("some", "thing", "thing", shape, box)


@pytest.mark.parametrize(
    ("shape", "box", "reason"),
    [
        (BROKEN, (0, 0, 24, 24), INVALID),
        (WHITE, (0, 0, 24, 24), BLANK),
        ("", (0, 0, 24, 24), BLANK),
        (body("a", "b"), (90, 90, 24, 24), BLANK),
    ],
)
def test_a_drawing_without_a_picture_has_a_reason(
    shape: str, box: tuple[float, float, float, float], reason: str
) -> None:
    with pytest.raises(Unrenderable, match=reason):
        render(drawing(shape, box), 16)


def test_a_drawing_is_black_on_white_and_keeps_its_proportions() -> None:
    wide = '<path fill="currentColor" d="M0 0h48v24H0z"/>'
    pixels = np.asarray(Image.open(io.BytesIO(render(drawing(wide, (0, 0, 48, 24)), 32))))
    assert pixels.shape == (32, 32, 3)
    assert (pixels[8:24] == 0).all()
    assert (pixels[:8] == 255).all() and (pixels[24:] == 255).all()


def test_without_resvg_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, sets: list[IconSet], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(
        UserError, match=r"^icons: needs the package resvg_py, which .*; run `pip install 'superbatch\[icons\]'`$"
    ):
        make(sets, settings(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [32, 64])
def test_a_drawing_is_a_square_of_the_wanted_size(size: int, sets: list[IconSet]) -> None:
    picture = Image.open(io.BytesIO(render(sets[0].drawings[0], size)))
    assert picture.size == (size, size) and picture.mode == "RGB"
