"""A set against thresholds: each default has a summary that trips it, and the line names it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from superbatch.curation.expectations import DEFAULT_THRESHOLDS, require_valid, summary_figures, validate_set
from superbatch.errors import UserError

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
}
TRIPS: dict[str, dict[str, Any]] = {
    "rows": {"rows": 0},
    "rejected_share": {"rejected_share": 0.21},
    "duplicate_image_share": {"duplicate_image_share": 0.6},
    "distinct_captions": {"distinct_captions": 1},
    "caption_characters.median": {"caption_characters": [0.0, 0.0, 1.0, 2.0, 3.0]},
    "shorter_side.median": {"shorter_side": [1.0, 1.0, 8.0, 9.0, 64.0]},
}


def test_a_good_set_passes() -> None:
    validation = validate_set(GOOD)
    assert validation["success"] and validation["failures"] == []
    assert len(validation["result"]["results"]) == len(DEFAULT_THRESHOLDS)
    json.dumps(validation)
    require_valid("pool", validation)


def test_each_default_has_a_set_that_trips_it() -> None:
    assert TRIPS.keys() == DEFAULT_THRESHOLDS.keys()
    for name, change in TRIPS.items():
        validation = validate_set({**GOOD, **change})
        assert not validation["success"] and len(validation["failures"]) == 1, name
        assert validation["failures"][0].startswith(f"expected {name} to be at ")


def test_own_thresholds_in_one_line() -> None:
    validation = validate_set(
        GOOD, {"rows": {"min": 100}, "rejected_share.image_corrupt": {"max": 0.01}, "rejected_share.link": {"max": 0}}
    )
    with pytest.raises(UserError) as caught:
        require_valid("data/02_intermediate/pool", validation)
    assert str(caught.value).startswith(
        "data/02_intermediate/pool: expected rows to be at least 100, found 90; "
        "expected rejected_share.image_corrupt to be at most 0.01, found 0.1; "
    )


def test_figures() -> None:
    figures = summary_figures(GOOD)
    assert figures["rejected_share.image_corrupt"] == 0.1 and figures["rejected_share.duplicate_key"] == 0
    assert figures["caption_characters.p95"] == 60


def test_a_set_without_captions_passes() -> None:
    bare = {**GOOD, "captions": 0, "distinct_captions": 0, "distinct_caption_share": 0.0, "caption_characters": []}
    assert math.isnan(summary_figures(bare)["caption_characters.median"])
    assert validate_set(bare)["success"]


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"row": {"min": 1}}, "thresholds.row: the set has no such figure"),
        ({"rows": {"at_least": 1}}, "at_least"),
        ({"rows": {}}, "give min, max or both"),
    ],
)
def test_misspelt_thresholds(thresholds: dict[str, dict[str, float]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        validate_set(GOOD, thresholds)
