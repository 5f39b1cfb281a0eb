"""Who goes where: teams apart, re-publications nowhere else, few drawings a concept."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from superbatch.errors import UserError
from superbatch.icons.content import outline_digest
from superbatch.icons.package import read_sets
from superbatch.icons.sets import Drawing, IconSet
from superbatch.icons.splits import Splits, deal
from tests.icons.packages import CONCEPTS, body, by_name, contents, settings, write_folder


def test_sets_of_one_team_are_held_out_together(sets: list[IconSet]) -> None:
    splits = deal(sets, settings())
    assert {one.set for one in splits.pool} == {"plain", "styled", "careful"}
    assert {one.set for one in splits.curated} == {"careful"}
    assert {one.set for one in splits.classification["test"]} == {"test", "test-more"}
    assert {one.set for one in splits.classification["validation"]} == {"val"}
    assert splits.num_held_out == {"test": 24, "validation": 16}


def test_curated_has_a_drawing_a_concept_that_is_not_in_the_pool(sets: list[IconSet]) -> None:
    splits = deal(sets, settings())
    assert Counter(one.concept for one in splits.curated) == dict.fromkeys(CONCEPTS, 1)
    rest = [one for one in splits.pool if one.set == "careful"]
    assert len(rest) == len(CONCEPTS)
    assert not set(rest) & set(splits.curated)
    assert len(deal(sets, settings(curated_per_concept=2)).curated) == 2 * len(CONCEPTS)


def test_classes_are_concepts_of_many_teams_and_sets_take_turns(sets: list[IconSet]) -> None:
    splits = deal(sets, settings())
    assert splits.classnames == sorted(CONCEPTS)
    for drawings, most in ((splits.classification["test"], 3), (splits.classification["validation"], 2)):
        assert set(Counter(one.concept for one in drawings).values()) == {most}
    two = deal(sets, settings(test_images_per_class=2)).classification["test"]
    assert {(one.concept, one.set) for one in two} == {(c, s) for c in CONCEPTS for s in ("test", "test-more")}


def test_retrieval_has_one_drawing_a_concept(sets: list[IconSet]) -> None:
    splits = deal(sets, settings())
    assert {split: len({one.concept for one in drawings}) for split, drawings in splits.retrieval.items()} == {
        "test": 6,
        "validation": 4,
    }


def rare_world(tmp_path: Path) -> list[IconSet]:
    """Concepts that one team of the pool draws, beside those that three draw."""
    sets = contents()
    for number in range(6):
        for name in ("plain", "test", "val"):
            sets[name]["icons"][f"rare{number}"] = {"body": body(name, f"rare{number}")}
    for name in ("test", "val"):
        sets[name]["icons"]["unheard-of"] = {"body": body(name, "unheard-of")}
    return read_sets(write_folder(tmp_path / "rare", sets))


def test_half_of_the_retrieval_s_concepts_are_rare_and_all_are_in_the_pool(tmp_path: Path) -> None:
    splits = deal(rare_world(tmp_path), settings(test_retrieval_concepts=8))
    names = [one.concept for one in splits.retrieval["test"]]
    assert sum(name.startswith("rare") for name in names) == 4
    assert "unheard of" not in names
    everything = deal(rare_world(tmp_path / "again"), settings(test_retrieval_concepts=14))
    assert len(everything.retrieval["test"]) == 14


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    copied=st.lists(st.tuples(st.sampled_from(["test", "test-more", "val"]), st.integers(0, 7)), max_size=6),
    to=st.sampled_from(["plain", "styled", "careful", "val"]),
    seed=st.integers(0, 5),
)
def test_what_a_held_out_team_drew_is_nowhere_else(
    sets: list[IconSet], copied: list[tuple[str, int]], to: str, seed: int
) -> None:
    """Also where another set publishes it again, spaced and coloured in another way, under another name."""
    world = {one.name: copy.copy(one) for one in sets}
    copies = []
    for number, (source, which) in enumerate(copied):
        drawing = world[source].drawings[which]
        shape = body(source, drawing.name, colour="#456", gap=" ,")
        copies.append(Drawing(to, f"copy{number}", f"copy{number}", shape, (0, 0, 24, 24)))
    one = world[to]
    world[to] = IconSet(one.name, one.title, one.author, one.author_url, one.licence, (*one.drawings, *copies))
    splits = deal(list(world.values()), settings(seed=seed))
    test, validation = (outlines(splits, split) for split in ("test", "validation"))
    assert not test & validation
    held = {outline_digest(d.body) for name in ("test", "test-more") for d in world[name].drawings}
    assert test <= held
    assert not held & validation
    assert not (held | validation) & {outline_digest(d.body) for d in splits.curated}
    assert {d for d in splits.pool if d.body in splits.held_out} >= {
        d for d in splits.pool if outline_digest(d.body) in held
    }, "the pool's are found when they are rendered"


def outlines(splits: Splits, split: str) -> set[bytes]:
    drawings = [*splits.classification[split], *splits.retrieval[split]]
    return {outline_digest(one.body) for one in drawings}


def test_a_seed_decides_and_nothing_else(sets: list[IconSet]) -> None:
    one, again = deal(sets, settings()), deal(list(reversed(sets)), settings())
    assert (one.pool, one.curated, one.classification, one.retrieval) == (
        again.pool,
        again.curated,
        again.classification,
        again.retrieval,
    )
    assert deal(sets, settings(seed=1)).pool != one.pool


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"test_sets": ("tst",)}, r"^icons\.test_sets: the package has no set 'tst'; did you mean test\?"),
        (
            {"curated_sets": ("closed",)},
            r"^icons\.curated_sets: closed is under GPL-3\.0-or-later; name a set with a licence that allows",
        ),
        (
            {"validation_sets": ("test-more",)},
            r"^icons\.validation_sets: the team that drew test-more is held out for test",
        ),
        (
            {"curated_sets": ("val",)},
            r"^icons\.curated_sets: the team that drew val is held out for validation already",
        ),
        (
            {"class_teams": 9},
            r"^icons\.class_teams: 0 concepts are drawn by 9 teams or more and by one of the test's; use",
        ),
        ({"test_retrieval_concepts": 99}, r"^icons\.test_retrieval_concepts: 8 concepts .* fewer than 99; use fewer"),
        ({"test_sets": ()}, r"^icons\.test_sets: \(\) names no set; use a list of at least one set"),
        ({"shard_size": 0}, r"^icons\.shard_size: 0 is too small; use 1 or more"),
        ({"image_size": 4}, r"^icons\.image_size: 4 pixels are too few"),
        ({"jobs": -1}, r"^icons\.jobs: -1 is too small; use 0 or more"),
    ],
)
def test_settings_that_the_package_cannot_meet_are_one_line(
    sets: list[IconSet], changes: dict[str, Any], line: str
) -> None:
    with pytest.raises(UserError, match=line):
        deal(sets, settings(**changes))


def test_licences_that_forbid_handing_on_are_left_out(sets: list[IconSet]) -> None:
    assert by_name(sets)["closed"].drawings
    splits = deal(sets, settings())
    everywhere = [*splits.pool, *splits.curated, *(d for part in splits.classification.values() for d in part)]
    assert "closed" not in {one.set for one in everywhere}
