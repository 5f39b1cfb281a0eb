"""Settings of the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen

from superbatch.bounds import Because, Count, Settings, require

# A query may be a number: `--params=search.query=404` passes one.
Words = Annotated[str | int | float | tuple[str, ...], Because("{value} is not words", "words, or a list of them")]
Names = Annotated[tuple[str, ...], MinLen(1)]


@dataclass(frozen=True)
class SearchSettings(Settings, section="search"):
    """What is searched, for which words, and with which runs' models."""

    query: Words | None = None  # None: some of the evaluation sets' classes
    runs: Names = ("jest", "uniform")  # whose models search, shown beside each other in this order
    sets: Names = ("pool",)  # pool, curated, and evaluation sets by name (their test split)
    limit: Count | None = None  # search a random sample of so many pictures; None: all
    top: Count = 12
    words: Count = 3_000  # that the page knows
    page_pictures: Count = 12_000  # a random sample of so many pictures is on the page
    batch: Count = 512
    device: str = "auto"

    def check(self) -> None:
        """Refuse runs or sets that are named twice."""
        for name, values in (("runs", self.runs), ("sets", self.sets)):
            twice = sorted({value for value in values if values.count(value) > 1})
            require(not twice, f"search.{name}", f"{', '.join(twice)} is named twice", "name each once")

    @property
    def queries(self) -> tuple[str, ...]:
        """What is searched for, each once; empty where nothing was said."""
        given = () if self.query is None else self.query if isinstance(self.query, tuple) else (str(self.query),)
        return tuple(dict.fromkeys(" ".join(query.split()) for query in given))
