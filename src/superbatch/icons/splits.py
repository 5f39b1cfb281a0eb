"""Which drawing goes where: pool, curated set, validation and test; whole design teams apart.

A team whose set is named for validation or test is held out with all its sets. What it drew is looked for by content
(`content.outline_digest`) in all other sets, so that a re-publication is nowhere else either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from superbatch.errors import UserError
from superbatch.icons.content import Outlines, outline_digest
from superbatch.icons.draws import draw
from superbatch.icons.licences import is_permissive
from superbatch.icons.sets import Drawing, IconSet
from superbatch.options import IconsSettings

VALIDATION, TEST = "validation", "test"


@dataclass(frozen=True)
class Splits:
    """All drawings, dealt out.

    Attributes:
        pool, curated: in the order of their shards; the pool still has re-publications of `held_out` in it.
        classnames: the concepts of the classification set, by class number.
        classification, retrieval: by split; of retrieval one drawing a concept.
        held_out: outlines of everything that the held-out teams drew.
        num_held_out: how many drawings the held-out teams have, by split.
        republished: of validation and curated set, how many were left out as re-publications of what a held-out team drew.
    """

    pool: list[Drawing]
    curated: list[Drawing]
    classnames: list[str]
    classification: dict[str, list[Drawing]]
    retrieval: dict[str, list[Drawing]]
    held_out: Outlines
    num_held_out: dict[str, int]
    republished: dict[str, int]


def deal(sets: Sequence[IconSet], settings: IconsSettings) -> Splits:
    """Deal out the drawings of all sets whose licence is permissive.

    Raises:
        UserError: a set that is named but not there, or not permissive, or in two places; too few concepts.
    """
    usable = [one for one in sets if is_permissive(one.licence)]
    place = _place_of_teams(sets, usable, settings)
    by_place: dict[str, list[Drawing]] = defaultdict(list)
    for one in usable:
        by_place[place.get(one.team, "pool")] += one.drawings
    held = {split: _by_outline(by_place[split], settings.seed) for split in (VALIDATION, TEST)}
    republished = {VALIDATION: len(held[VALIDATION].keys() & held[TEST].keys())}
    held[VALIDATION] = {digest: one for digest, one in held[VALIDATION].items() if digest not in held[TEST]}
    drawn = {split: list(drawings.values()) for split, drawings in held.items()}
    held_out = Outlines(one.body for drawings in drawn.values() for one in drawings)
    curated, republished["curated"] = _curated(by_place["pool"], held_out, settings)
    chosen = {one.identity for one in curated}
    pool = [one for one in by_place["pool"] if one.identity not in chosen]
    classnames = _classnames(usable, drawn[TEST], settings)
    return Splits(
        pool=_shuffled(pool, settings.seed, "pool"),
        curated=_shuffled(curated, settings.seed, "curated"),
        classnames=classnames,
        classification=_classification(drawn, classnames, settings),
        retrieval=_retrieval(drawn, _teams_by_concept(one for one in usable if one.team not in place), settings),
        held_out=held_out,
        num_held_out={split: len(by_place[split]) for split in drawn},
        republished=republished,
    )


def _place_of_teams(sets: Sequence[IconSet], usable: Sequence[IconSet], settings: IconsSettings) -> dict[str, str]:
    """Return the split of each team that is held out."""
    by_name = {one.name: one for one in usable}
    known = {one.name: one.licence for one in sets}
    place: dict[str, str] = {}
    for split, names in (
        (TEST, settings.test_sets),
        (VALIDATION, settings.validation_sets),
        ("curated", settings.curated_sets),
    ):
        for name in names:
            setting = f"icons.{split}_sets"
            if name not in known:
                close = get_close_matches(name, known, 1)
                raise UserError(
                    setting, f"the package has no set {name!r}", f"did you mean {close[0]}?" if close else ""
                )
            if name not in by_name:
                raise UserError(
                    setting,
                    f"{name} is under {known[name] or 'no named licence'}",
                    "name a set with a licence that allows redistribution",
                )
            team = by_name[name].team
            if place.get(team, split) != split:
                raise UserError(
                    setting,
                    f"the team that drew {name} is held out for {place[team]} already",
                    "name a set of another team",
                )
            if split != "curated":
                place[team] = split
    return place


def _by_outline(drawings: Iterable[Drawing], seed: int) -> dict[bytes, Drawing]:
    """Return drawings by outline, each outline once, in an order of the seed's."""
    return {outline_digest(one.body): one for one in reversed(_shuffled(drawings, seed, "held out"))}


def _curated(drawings: Iterable[Drawing], held_out: Outlines, settings: IconsSettings) -> tuple[list[Drawing], int]:
    """Choose a few drawings of each concept from the carefully named sets, in turn; also returns how many were re-publications."""
    by_concept: dict[str, list[Drawing]] = defaultdict(list)
    republished = 0
    for one in drawings:
        if one.set in settings.curated_sets:
            if one.body in held_out:
                republished += 1
            else:
                by_concept[one.concept].append(one)
    chosen: list[Drawing] = []
    for candidates in by_concept.values():
        chosen += in_turn(candidates, settings.seed)[: settings.curated_per_concept]
    return chosen, republished


def in_turn(drawings: Iterable[Drawing], seed: int) -> list[Drawing]:
    """Order drawings such that the sets take turns; inside a set and among the sets by the seed."""
    by_set: dict[str, list[Drawing]] = defaultdict(list)
    for one in _shuffled(drawings, seed, "in turn"):
        by_set[one.set].append(one)
    turns = [(turn, draw(seed, "set", name), one) for name, own in by_set.items() for turn, one in enumerate(own)]
    return [one for *_, one in sorted(turns, key=lambda turn: turn[:2])]


def _classnames(usable: Sequence[IconSet], tested: Iterable[Drawing], settings: IconsSettings) -> list[str]:
    """List the concepts that many teams draw, among them one of the test's."""
    teams = _teams_by_concept(usable)
    names = sorted({one.concept for one in tested if teams[one.concept] >= settings.class_teams})
    if len(names) < 2:
        what = f"{len(names)} concepts are drawn by {settings.class_teams} teams or more and by one of the test's"
        raise UserError("icons.class_teams", what, "use fewer teams, or name larger test_sets")
    return names


def _teams_by_concept(sets: Iterable[IconSet]) -> Mapping[str, int]:
    """Count the teams that draw each concept; 0 for those that none of them draws."""
    teams: dict[str, set[str]] = defaultdict(set)
    for one in sets:
        for drawing in one.drawings:
            teams[drawing.concept].add(one.team)
    return defaultdict(int, {concept: len(who) for concept, who in teams.items()})


def _classification(
    drawn: Mapping[str, list[Drawing]], classnames: Sequence[str], settings: IconsSettings
) -> dict[str, list[Drawing]]:
    per_class = {VALIDATION: settings.validation_images_per_class, TEST: settings.test_images_per_class}
    chosen: dict[str, list[Drawing]] = {}
    for split, drawings in drawn.items():
        by_concept = _by_concept(drawings)
        chosen[split] = [
            one for name in classnames for one in in_turn(by_concept[name], settings.seed)[: per_class[split]]
        ]
        if not chosen[split]:
            raise UserError(f"icons.{split}_sets", "have drawn none of the classes", "name larger sets")
    return chosen


def _retrieval(
    drawn: Mapping[str, list[Drawing]], teams: Mapping[str, int], settings: IconsSettings
) -> dict[str, list[Drawing]]:
    """Choose one drawing a concept, half of the concepts rare: drawn by few teams of the pool, but by one at least."""
    wanted = {VALIDATION: settings.validation_retrieval_concepts, TEST: settings.test_retrieval_concepts}
    return {split: _some_of_each(_by_concept(drawn[split]), teams, wanted[split], split, settings) for split in drawn}


def _some_of_each(
    by_concept: Mapping[str, list[Drawing]], teams: Mapping[str, int], wanted: int, split: str, settings: IconsSettings
) -> list[Drawing]:
    known = sorted((c for c in by_concept if teams[c]), key=lambda c: draw(settings.seed, "retrieval", split, c))
    rare = [concept for concept in known if teams[concept] <= settings.rare_teams]
    common = [concept for concept in known if teams[concept] > settings.rare_teams]
    if len(known) < wanted:
        what = f"{len(known):,} concepts of these teams are drawn in the pool too, fewer than {wanted:,}"
        raise UserError(f"icons.{split}_retrieval_concepts", what, "use fewer, or name larger sets")
    num_rare = min(len(rare), max(wanted // 2, wanted - len(common)))
    concepts = sorted(rare[:num_rare] + common[: wanted - num_rare])
    return [in_turn(by_concept[concept], settings.seed)[0] for concept in concepts]


def _by_concept(drawings: Iterable[Drawing]) -> dict[str, list[Drawing]]:
    found: dict[str, list[Drawing]] = defaultdict(list)
    for one in drawings:
        found[one.concept].append(one)
    return found


def _shuffled(drawings: Iterable[Drawing], seed: int, what: str) -> list[Drawing]:
    return sorted(drawings, key=lambda one: draw(seed, what, one.identity))
