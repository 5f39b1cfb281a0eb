"""Sets against thresholds: each expectation has a set that trips it and nothing else, and the line names it."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from superbatch.curation import statistics as statistics_module
from superbatch.curation.columns import entry_table
from superbatch.curation.expectations import require_valid, validate_set, write_data_docs
from superbatch.curation.statistics import (
    DEFAULT_THRESHOLDS,
    DISTRIBUTIONS,
    UNREAD_SHARES,
    check_thresholds,
    known_statistics,
    summary_statistics,
    with_defaults,
)
from superbatch.data import manifest as manifest_module
from superbatch.data.ingest import ingest
from superbatch.data.reasons import REASONS
from superbatch.errors import UserError
from superbatch.files import read_json
from tests.data.shard_helpers import Members, encode, noise, tar_bytes


def sample(number: int, caption: str | None = None, image: Image.Image | None = None) -> Members:
    """A good sample: 16 x 16 pixels, a caption of its own."""
    picture = encode(image or noise(number, 16, 16))
    return [(f"{number:03d}.png", picture), (f"{number:03d}.txt", (caption or f"picture {number}").encode())]


def together(*parts: Members) -> Members:
    return [member for part in parts for member in part]


GOOD_SET = together(*(sample(i) for i in range(10)))
SAME_IMAGE = noise(0, 16, 16)
CUT = encode(noise(0, 16, 16))[:-30]
# A set that meets every expectation but one: members, and thresholds of its own where the defaults don't have it.
TRIPS: dict[str, tuple[Members, dict[str, Any]]] = {
    "rows": (GOOD_SET, {"rows": {"min": 11}}),
    "rejected_share": (together(GOOD_SET, *([(f"x{i}.png", b""), (f"x{i}.txt", b"c")] for i in range(3))), {}),
    "duplicate_image_share": (together(*(sample(i, image=SAME_IMAGE) for i in range(10))), {}),
    "distinct_captions": (together(*(sample(i, "the same") for i in range(10))), {}),
    "caption_characters": (together(*(sample(i, "abcdefghij"[i]) for i in range(10))), {}),
    "shorter_side": (together(*(sample(i, image=noise(i, 40, 15)) for i in range(10))), {}),
    "aspect_ratio": (
        together(GOOD_SET, sample(10, image=noise(10, 170, 16))),
        {"aspect_ratio": {"max": 10, "mostly": 0.95}},
    ),
    "caption_characters.median": (GOOD_SET, {"caption_characters.median": {"max": 8}}),
    "note_share.control": (
        together(GOOD_SET, sample(10, "a bell\x07")),
        {"note_share.control": {"max": 0}, "note_share.alpha": {"max": 0}},
    ),
    "note_share.alpha": (
        together(*(sample(i, image=Image.new("RGBA", (16, 16), (i, 9, 9, 128))) for i in range(5))),
        {"note_share.alpha": {"min": 0, "max": 0.5}},
    ),
    "distinct_caption_share": (
        together(*(sample(i, f"picture {i // 5}") for i in range(10))),
        {"distinct_caption_share": {"min": 0.5}},
    ),
    "rejected_share.image_truncated": (
        together(GOOD_SET, [("x.png", CUT), ("x.txt", b"c")]),
        {"rejected_share.image_truncated": {"max": 0.01}, "rejected_share.image_corrupt": {"max": 0.01}},
    ),
    "rejected_share.duplicate_key": (together(GOOD_SET, sample(3)), {"rejected_share.duplicate_key": {"max": 0}}),
    "caption_characters.max": (
        together(GOOD_SET, sample(10, "word " * 30)),
        {"caption_characters.max": {"max": 100}, "caption_characters.p95": {"max": 100}},
    ),
    "shorter_side.p05": (
        together(GOOD_SET, sample(10, image=noise(10, 16, 2))),
        {"shorter_side.p05": {"min": 10}, "shorter_side.p95": {"min": 10}},
    ),
    "script_share.latin": (
        together(GOOD_SET, *(sample(i, "красный квадрат") for i in range(10, 15))),
        {"script_share.latin": {"min": 0.8}, "script_share.cjk": {"max": 0.1}},
    ),
    "script_share.cyrillic": (GOOD_SET, {"script_share.cyrillic": {"min": 0.5}}),
}


def ingested(members: Members, folder: Path) -> Path:
    (folder / "x.tar").write_bytes(tar_bytes(members))
    ingest([folder / "x.tar"], folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine samples and a broken image."""
    broken = [("x.png", b"no image"), ("x.txt", b"a caption")]
    return ingested(together(*(sample(i) for i in range(9)), broken), tmp_path_factory.mktemp("good"))


def test_a_good_set_passes(good: Path) -> None:
    validation = validate_set(good)
    assert validation["success"]
    assert validation["failures"] == validation["warnings"] == validation["examples"] == {}
    results = validation["results"]
    assert set(results) == {"samples", "shards", "statistics"}
    assert sum(len(result["results"]) for result in results.values()) == len(DEFAULT_THRESHOLDS)
    json.dumps(validation)
    require_valid("pool", validation)


@pytest.mark.parametrize("name", TRIPS)
def test_each_expectation_has_a_set_that_trips_it(name: str, tmp_path: Path) -> None:
    members, own = TRIPS[name]
    validation = validate_set(ingested(members, tmp_path), with_defaults(own))
    assert not validation["success"] and list(validation["failures"]) == [name]
    remedy = rf"pool\.expect\.{name}\.max=1" if name == "duplicate_image_share" else rf"change pool\.expect\.{name}"
    with pytest.raises(UserError, match=rf"^pool: expected {name} to be at .*{remedy}$"):
        require_valid("pool", validation)


def test_every_default_and_every_kind_of_statistic_is_tripped() -> None:
    assert TRIPS.keys() | {*UNREAD_SHARES} >= DEFAULT_THRESHOLDS.keys()  # those have shards of their own below
    kinds = {name.partition(".")[0] for name in TRIPS}
    assert kinds >= {"rejected_share", "script_share", *DISTRIBUTIONS}


def test_both_ends_of_a_range(tmp_path: Path) -> None:
    folder = ingested(together(*(sample(i, f"{i} " + "long " * 500) for i in range(10))), tmp_path)
    (line,) = validate_set(folder)["failures"].values()
    assert line == (
        "expected caption_characters to be at least 2 and at most 2000 in 0.5 of the samples, found 0 "
        "(such as 000 (2501), 001 (2501), 002 (2501))"
    )


def test_own_thresholds_in_one_line(good: Path) -> None:
    own = {"rows": {"min": 100}, "rejected_share.image_corrupt": {"max": 0.01}, "rejected_share.link": {"max": 0}}
    with pytest.raises(UserError) as caught:
        require_valid("ingest.pool", validate_set(good, own), "rejects.parquet")
    assert str(caught.value) == (
        "ingest.pool: expected rows to be at least 100, found 9; "
        "expected rejected_share.image_corrupt to be at most 0.01, found 0.1 "
        "(image_corrupt 1: fetch the image again; the detail says what the decoder met; such as x (image_corrupt)); "
        "see rejects.parquet for the reasons, or change ingest.pool.expect.rows and "
        "ingest.pool.expect.rejected_share.image_corrupt"
    )


def test_values_that_fail_are_shown_with_their_keys(tmp_path: Path) -> None:
    odd = together(sample(10, image=noise(3, 16, 16)), sample(11, "b"), sample(12, image=noise(12, 8, 20)))
    folder = ingested(together(GOOD_SET, odd), tmp_path)
    own = {
        "duplicate_image_share": {"max": 0},
        "caption_characters": {"min": 2},
        "shorter_side": {"min": 16, "mostly": 0.99},
    }
    found = validate_set(folder, own)
    assert found["examples"] == {
        "duplicate_image_share": [{"key": "010", "value": "003"}],
        "caption_characters": [{"key": "011", "value": 1}],
        "shorter_side": [{"key": "012", "value": 8}],
    }
    with pytest.raises(
        UserError, match=r"found 0\.0769231 \(such as 010 \(003\)\).*in 0\.99 of the samples, found 0\.923077"
    ):
        require_valid("ingest.pool", found)


def test_several_captions_an_image_are_found_in_the_manifest_and_can_be_allowed(tmp_path: Path) -> None:
    """All are rows: the rejects say nothing of them."""
    folder = ingested(together(*(sample(i, image=noise(i % 3, 16, 16)) for i in range(9))), tmp_path)
    with pytest.raises(UserError) as caught:
        require_valid("ingest.pool", validate_set(folder), folder / "rejects.parquet")
    assert str(caught.value).endswith(
        f"(such as 003 (000), 004 (001), 005 (002)); rows of one image have one sha256 in {folder}/manifest.parquet; "
        "several captions an image are allowed by --params=ingest.pool.expect.duplicate_image_share.max=1"
    )
    assert validate_set(folder, with_defaults({"duplicate_image_share": {"max": 1}}))["success"]
    manifest = pq.read_table(folder / "manifest.parquet", columns=["sha256"])
    assert len(set(manifest["sha256"].to_pylist())) == 3


@pytest.mark.parametrize(("number", "mostly"), [(9, True), (10, False)])
def test_a_share_is_met_up_to_its_bound(tmp_path: Path, number: int, mostly: bool) -> None:
    """Whatever 1 - max is in binary: exactly the bound is met, one more is not."""
    bad = [member for i in range(number) for member in ((f"x{i}.png", b""), (f"x{i}.txt", b"c"))]
    folder = ingested(together(*(sample(i) for i in range(100 - number)), bad), tmp_path)
    assert validate_set(folder, {"rejected_share": {"max": 0.09}})["success"] is mostly
    assert validate_set(folder, {"rejected_share": {"max": 0.09, "min": 0.0}})["success"] is mostly


def test_shards_that_were_not_read_stop_a_run_and_the_line_says_how_to_go_on(tmp_path: Path) -> None:
    shards = []
    for number in range(10):
        data = tar_bytes(together(*(sample(10 * number + i) for i in range(10))))
        data = gzip.compress(data) if number in (2, 5, 7) else data[: len(data) // 2] if number == 8 else data
        shards.append(tmp_path / f"{number}.tar")
        shards[-1].write_bytes(data)
    assert ingest(shards, tmp_path / "out")["rejected_share"] < 0.2
    with pytest.raises(UserError) as caught:
        require_valid("ingest.pool", validate_set(tmp_path / "out"))
    first, second, _ = str(caught.value).split("; expected ")[0], *str(caught.value).split("found ")[1:]
    assert first.startswith(
        "ingest.pool: expected unread_shard_share to be at most 0, found 0.4 (shard_compressed 3, shard_truncated 1: "
        f"unpack the archive (gunzip, zstd -d); such as {tmp_path}/2.tar (shard_compressed), "
    )
    assert second
    assert str(caught.value).endswith(
        "; see rejects.parquet for the reasons, or continue without the unread parts: --params="
        "ingest.pool.expect.unread_shard_share.max=1,ingest.pool.expect.unread_byte_share.max=1"
    )
    allowed = with_defaults({"unread_shard_share": {"max": 0.4}, "unread_byte_share": {"max": 1}})
    assert validate_set(tmp_path / "out", allowed)["success"]
    assert list(validate_set(tmp_path / "out", {"unread_shard_share": {"max": 0.39}})["failures"])


def test_severity_is_of_each_expectation(good: Path) -> None:
    stop, warn = {"min": 100}, {"max": 0.05, "severity": "warn"}
    validation = validate_set(good, {"rejected_share": warn})
    assert validation["success"] and list(validation["warnings"]) == ["rejected_share"]
    require_valid("pool", validation)
    validation = validate_set(good, {"rejected_share": warn, "rows": stop})
    assert not validation["success"]
    assert list(validation["failures"]) == ["rows"] and list(validation["warnings"]) == ["rejected_share"]
    said = [entry["expectation_config"] for part in validation["results"].values() for entry in part["results"]]
    assert {one["meta"]["name"]: one["severity"] for one in said} == {"rows": "critical", "rejected_share": "warning"}


def test_thresholds_lie_over_the_defaults() -> None:
    assert with_defaults({}) == DEFAULT_THRESHOLDS
    assert with_defaults({"rows": {"min": 5}})["rows"] == {"min": 5}
    assert with_defaults({"rows": {"severity": "warn"}})["rows"] == {"min": 1, "severity": "warn"}
    assert with_defaults({"shorter_side": {"min": 9}})["shorter_side"] == {"min": 9}
    assert with_defaults({"shorter_side": {"mostly": 0.9}})["shorter_side"] == {"min": 16, "mostly": 0.9}
    assert "rows" not in with_defaults({"rows": None})


def test_statistics(good: Path) -> None:
    statistics = summary_statistics(read_json(good / "summary.json"))
    assert statistics["rejected_share.image_corrupt"] == 0.1 and statistics["rejected_share.duplicate_key"] == 0
    assert statistics["caption_characters.p95"] == 9 and statistics["script_share.latin"] == 1
    assert statistics["note_share.control"] == statistics["unread_byte_share"] == 0
    assert [name for name in statistics if not name.startswith("script_share.")] == list(known_statistics())


def test_a_set_without_captions_passes(tmp_path: Path) -> None:
    images = [(f"{i}.png", encode(noise(i, 16, 16))) for i in range(3)]
    (tmp_path / "x.tar").write_bytes(tar_bytes([*images, ("0.cls", b"1")]))
    summary = ingest([tmp_path / "x.tar"], tmp_path, require_caption=False)
    assert math.isnan(summary_statistics(summary)["caption_characters.median"])
    assert validate_set(tmp_path, with_defaults({"script_share.latin": {"min": 0.9}}))["success"]


def test_the_first_caption_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tar").write_bytes(tar_bytes(together(sample(0, "a\nlonger"), sample(1, "longer\nb"))))
    ingest([tmp_path / "x.tar"], tmp_path, captions_per_line=True)
    table = entry_table(tmp_path, ["caption_characters", "aspect_ratio", "notes", "rejected"])
    assert table["caption_characters"].to_pylist() == [1, 6] and table["aspect_ratio"].to_pylist() == [1.0, 1.0]
    assert table["notes"].to_pylist() == ["", ""] and table["rejected"].to_pylist() == ["no", "no"]
    monkeypatch.setattr(manifest_module, "MOST_TEXT", 1)  # more text than 32 bits count is measured like any other
    more = entry_table(tmp_path, ["caption_characters", "same_image_as"])
    assert more["caption_characters"].to_pylist() == [1, 6] and more["same_image_as"].to_pylist() == ["", ""]


def test_a_set_of_which_nothing_can_be_used_has_a_table_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="0 usable samples"):
        ingested([("x.png", b""), ("x.txt", b"c")], tmp_path)
    assert entry_table(tmp_path / "out", ["rejected"])["rejected"].to_pylist() == ["image_empty"]
    assert list(validate_set(tmp_path / "out")["failures"]) == ["rows", "rejected_share"]


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        (
            {"row": {"min": 1}},
            r"^here\.row: the set has no such statistic; there are caption_characters, .*<reason code>",
        ),
        ({"rejected_share.image_corupt": {"max": 1}}, "the set has no such statistic"),
        ({"script_share.latn": {"min": 1}}, r"^here\.script_share\.latn: Unicode knows no such script"),
        ({"rows": {"at_least": 1}}, "at_least"),
        ({"rows": {}}, "give min, max or both"),
        ({"rows": {"min": None, "severity": "warn"}}, "give min, max or both"),
        ({"rows": {"min": 3, "max": 2}}, r"^here\.rows: min 3 is over max 2"),
        (
            {"rows": {"min": 1, "mostly": 0.5}},
            r"^here\.rows\.mostly: a statistic of the whole set is met or not; mostly is for",
        ),
        ({"shorter_side": {"min": 1, "mostly": 0}}, r"^here\.shorter_side: mostly is 0; give the share"),
        ({"shorter_side": {"mostly": 0.5}}, "give min, max or both"),
        ({"rows": {"min": 1, "severity": "shout"}}, "the severity is 'shout'; use stop or warn"),
    ],
)
def test_misspelt_thresholds(good: Path, thresholds: dict[str, Any], words: str) -> None:
    for use in (lambda: check_thresholds(thresholds, "here"), lambda: validate_set(good, thresholds, "here")):
        with pytest.raises(UserError, match=words):
            use()


def test_scripts_are_looked_up_only_where_they_are_constatisticd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_module, "known_scripts", lambda: pytest.fail("a walk over Unicode for nothing"))
    check_thresholds({name: {"max": 1} for name in known_statistics()}, "here")
    assert len(REASONS) < len(list(known_statistics()))


def test_data_docs(good: Path, tmp_path: Path) -> None:
    tripped = with_defaults({"rows": {"min": 1_000}, "rejected_share": {"max": 0.01, "severity": "warn"}})
    write_data_docs(tmp_path, {"ingest.pool": (good, DEFAULT_THRESHOLDS), "ingest.curated": (good, tripped)})
    index = (tmp_path / "index.html").read_text()
    assert "ingest.pool" in index and "ingest.curated" in index
    pages: dict[str, str] = {}
    for page in sorted(tmp_path.glob("validations/**/*.html")):
        name = ".".join(page.relative_to(tmp_path).parts[2:4])
        pages[name] = page.read_text()
    assert set(pages) == {
        f"{name}.{part}" for name in ("pool", "curated") for part in ("samples", "shards", "statistics")
    }
    assert "shorter_side" in pages["pool.samples"] and "rows" in pages["pool.statistics"]
    failed = {name for name, page in pages.items() if "</i> Failed" in page}
    assert failed == {"curated.samples", "curated.statistics"}
    assert "image_corrupt" in pages["curated.samples"] and ">x<" in pages["curated.samples"]  # the value and its key
