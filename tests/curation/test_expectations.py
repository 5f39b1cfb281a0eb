"""Sets against thresholds: each expectation has a set that trips it and nothing else, and the line names it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from superbatch.curation import figures as figures_module
from superbatch.curation.expectations import require_valid, validate_set, write_data_docs
from superbatch.curation.figures import (
    DEFAULT_THRESHOLDS,
    DISTRIBUTIONS,
    check_thresholds,
    known_figures,
    summary_figures,
    with_defaults,
)
from superbatch.data.ingest import ingest
from superbatch.data.reasons import REASONS
from superbatch.errors import UserError
from tests.data.shard_helpers import Members, encode, noise, tar_bytes

GOOD: dict[str, Any] = {
    "shards": 1,
    "bytes": 10_240,
    "members": 303,
    "rows": 90,
    "rejected": 10,
    "rejected_share": 0.1,
    "rejected_by_reason": {"image_corrupt": 10},
    "duplicate_image_share": 0.0,
    "captions": 90,
    "distinct_captions": 80,
    "distinct_caption_share": 0.89,
    "caption_characters": [1.0, 5.0, 20.0, 60.0, 90.0],
    "shorter_side": [32.0] * 5,
    "labels": 0,
    "formats": {"png": 90},
    "notes": {},
    "scripts": {"latin": 1.0},
}


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
    "caption_characters.median": (together(*(sample(i, "abcdefghij"[i]) for i in range(10))), {}),
    "shorter_side.median": (together(*(sample(i, image=noise(i, 40, 15)) for i in range(10))), {}),
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


def ingested(members: Members, folder: Path) -> dict[str, Any]:
    (folder / "x.tar").write_bytes(tar_bytes(members))
    return ingest([folder / "x.tar"], folder / "out")


def test_a_good_set_passes(tmp_path: Path) -> None:
    for summary in (GOOD, ingested(GOOD_SET, tmp_path)):
        validation = validate_set(summary)
        assert validation["success"] and validation["failures"] == validation["warnings"] == {}
        assert len(validation["result"]["results"]) == len(DEFAULT_THRESHOLDS)
        json.dumps(validation)
        require_valid("pool", validation)


@pytest.mark.parametrize("name", TRIPS)
def test_each_expectation_has_a_set_that_trips_it(name: str, tmp_path: Path) -> None:
    members, own = TRIPS[name]
    validation = validate_set(ingested(members, tmp_path), with_defaults(own))
    assert not validation["success"] and list(validation["failures"]) == [name]
    with pytest.raises(UserError, match=rf"^pool: expected {name} to be at .* or change pool\.expect\.{name}$"):
        require_valid("pool", validation)


def test_every_default_and_every_kind_of_figure_is_tripped() -> None:
    assert TRIPS.keys() >= DEFAULT_THRESHOLDS.keys()
    kinds = {name.partition(".")[0] for name in TRIPS}
    assert kinds >= {"rejected_share", "script_share", *DISTRIBUTIONS}


def test_both_ends_of_a_range(tmp_path: Path) -> None:
    summary = ingested(together(*(sample(i, f"{i} " + "long " * 500) for i in range(10))), tmp_path)
    (line,) = validate_set(summary)["failures"].values()
    assert line == "expected caption_characters.median to be at least 2 and at most 2000, found 2501"


def test_own_thresholds_in_one_line() -> None:
    validation = validate_set(
        GOOD, {"rows": {"min": 100}, "rejected_share.image_corrupt": {"max": 0.01}, "rejected_share.link": {"max": 0}}
    )
    with pytest.raises(UserError) as caught:
        require_valid("ingest.pool", validation, "rejects.parquet")
    assert str(caught.value) == (
        "ingest.pool: expected rows to be at least 100, found 90; "
        "expected rejected_share.image_corrupt to be at most 0.01, found 0.1 "
        "(image_corrupt 10: fetch the image again; the detail says what the decoder met); "
        "see rejects.parquet for the reasons, or change ingest.pool.expect.rows and "
        "ingest.pool.expect.rejected_share.image_corrupt"
    )


def test_severity_is_of_each_expectation() -> None:
    stop, warn = {"min": 100}, {"max": 0.05, "severity": "warn"}
    validation = validate_set(GOOD, {"rejected_share": warn})
    assert validation["success"] and list(validation["warnings"]) == ["rejected_share"]
    require_valid("pool", validation)
    validation = validate_set(GOOD, {"rejected_share": warn, "rows": stop})
    assert not validation["success"]
    assert list(validation["failures"]) == ["rows"] and list(validation["warnings"]) == ["rejected_share"]
    said = {
        e["expectation_config"]["kwargs"]["column"]: e["expectation_config"] for e in validation["result"]["results"]
    }
    assert {name: entry["severity"] for name, entry in said.items()} == {
        "rows": "critical",
        "rejected_share": "warning",
    }


def test_thresholds_lie_over_the_defaults() -> None:
    assert with_defaults({}) == DEFAULT_THRESHOLDS
    assert with_defaults({"rows": {"min": 5}})["rows"] == {"min": 5}
    assert with_defaults({"rows": {"severity": "warn"}})["rows"] == {"min": 1, "severity": "warn"}
    assert with_defaults({"caption_characters.median": {"min": 9}})["caption_characters.median"] == {"min": 9}
    assert "rows" not in with_defaults({"rows": None})


def test_figures() -> None:
    figures = summary_figures(GOOD)
    assert figures["rejected_share.image_corrupt"] == 0.1 and figures["rejected_share.duplicate_key"] == 0
    assert figures["caption_characters.p95"] == 60 and figures["script_share.latin"] == 1
    assert [name for name in figures if not name.startswith("script_share.")] == list(known_figures())


def test_a_set_without_captions_passes() -> None:
    none = {
        "captions": 0,
        "distinct_captions": 0,
        "distinct_caption_share": 0.0,
        "caption_characters": [],
        "scripts": {},
    }
    bare = {**GOOD, **none}
    assert math.isnan(summary_figures(bare)["caption_characters.median"])
    assert validate_set(bare, with_defaults({"script_share.latin": {"min": 0.9}}))["success"]


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"row": {"min": 1}}, r"^here\.row: the set has no such figure; there are shards, .*<reason code>"),
        ({"rejected_share.image_corupt": {"max": 1}}, "the set has no such figure"),
        ({"script_share.latn": {"min": 1}}, r"^here\.script_share\.latn: no letter has a Unicode name that begins"),
        ({"rows": {"at_least": 1}}, "at_least"),
        ({"rows": {}}, "give min, max or both"),
        ({"rows": {"min": None, "severity": "warn"}}, "give min, max or both"),
        ({"rows": {"min": 3, "max": 2}}, r"^here\.rows: min 3 is over max 2"),
        ({"rows": {"min": 1, "severity": "shout"}}, "the severity is 'shout'; use stop or warn"),
    ],
)
def test_misspelt_thresholds(thresholds: dict[str, Any], words: str) -> None:
    for use in (lambda: check_thresholds(thresholds, "here"), lambda: validate_set(GOOD, thresholds, "here")):
        with pytest.raises(UserError, match=words):
            use()


def test_scripts_are_looked_up_only_where_they_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_module, "known_scripts", lambda: pytest.fail("a walk over Unicode for nothing"))
    check_thresholds({name: {"max": 1} for name in known_figures()}, "here")
    assert len(REASONS) < len(list(known_figures()))


def test_data_docs(tmp_path: Path) -> None:
    tripped = with_defaults({"rows": {"min": 1_000}, "rejected_share": {"max": 0.01, "severity": "warn"}})
    write_data_docs(tmp_path, {"ingest.pool": (GOOD, DEFAULT_THRESHOLDS), "ingest.curated": (GOOD, tripped)})
    index = (tmp_path / "index.html").read_text()
    assert "ingest.pool" in index and "ingest.curated" in index
    pages = {page.relative_to(tmp_path).parts[2]: page.read_text() for page in tmp_path.glob("validations/**/*.html")}
    assert set(pages) == {"pool", "curated"}
    assert "rejected_share" in pages["pool"] and "shorter_side.median" in pages["pool"]
    assert {name: "</i> Failed" in page for name, page in pages.items()} == {"pool": False, "curated": True}
