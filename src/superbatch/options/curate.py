"""Settings of the stage `curate`: how rows are scored, and the decisions that are made of the scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval

from superbatch.bounds import Because, Count, Settings, Share, require

WAYS = ("at_least", "at_most", "among", "best_share", "one_of_each", "cap", "uids_in", "uids_out")  # to leave rows out
BY_LIST = ("uids_in", "uids_out")
RANKED = ("one_of_each", "cap")  # rules that use a second column


@dataclass(frozen=True)
class RuleSettings(Settings, section="rule"):
    """One rule of a decision: a column of scores and what of it stays, or a list of uids."""

    name: str = ""  # the reason of the rows that it leaves out
    column: str | None = None  # of the scores
    at_least: float | None = None
    at_most: float | None = None
    among: tuple[str, ...] | None = None  # of a column of words
    best_share: Annotated[float, Interval(gt=0, le=1), Because("{value} is not a share")] | None = None
    one_of_each: bool = False  # one row of each value, the best
    cap: Count | None = None  # so many rows of each value, the best
    by: str = "reference_cosine"  # the column that says which are the best; draw: at random
    uids_in: str | None = None  # a list as DataComp has it (.npy): rows that stand in it stay
    uids_out: str | None = None  # rows that stand in it go

    def check(self) -> None:
        """Refuse a rule that says nothing, or two things."""
        require(bool(self.name), "rule.name", "is missing", "say why a row is left out, such as duplicate")
        given = [way for way in WAYS if getattr(self, way) is not None and getattr(self, way) is not False]
        kinds = {"bounds" if way in ("at_least", "at_most") else way for way in given}
        what = f"{self.name!r} says {' and '.join(given) or 'nothing'}"
        require(len(kinds) == 1, "rule", what, f"give one of {', '.join(WAYS)} (at_least and at_most may be together)")
        by_list = given[0] in BY_LIST
        require(by_list or self.column is not None, "rule.column", f"{self.name!r} needs one", "see docs/curation.md")
        require(not by_list or self.column is None, "rule.column", f"{self.name!r} uses a list of uids", "leave it out")
        usual = self.by == "reference_cosine"
        require(
            usual or given[0] in RANKED,
            "rule.by",
            "applies to one_of_each and cap only",
            "leave it out, or use one of them",
        )


@dataclass(frozen=True)
class CurateSettings(Settings, section="curate"):
    """How the pool's rows are scored, and what is decided of the scores."""

    clusters: Count = 64  # of captions, for `text_cluster`
    hash_bits: Annotated[int, Interval(ge=0, lt=64)] = (
        0  # near-duplicates: their hashes differ in at most this many of 64 bits
    )
    near: Share = 0.99  # near-duplicates: the cosine of their embeddings by the reference is at least this
    batch: Count = 256  # evaluation images a forward pass
    device: str = "auto"
    decide: dict[str, tuple[RuleSettings, ...]] = field(default_factory=dict)  # rules in order, by decision

    def check(self) -> None:
        """Refuse a decision without a name that a column can have, and two rules of one name."""
        for decision, rules in self.decide.items():
            where = f"curate.decide.{decision}"
            require(decision.isidentifier() and decision != "row", where, "is not a name", "use letters, digits and _")
            names = [rule.name for rule in rules]
            twice = sorted({name for name in names if names.count(name) > 1})
            require(not twice, where, f"{', '.join(twice)} is used twice", "give each rule its own name")
