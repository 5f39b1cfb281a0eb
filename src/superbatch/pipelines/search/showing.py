"""A search under way: pictures, the runs' models and indexes, and what is asked for; answers and page are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from superbatch.data.reader import ImageReader
from superbatch.models import load_checkpoint
from superbatch.options import SearchSettings
from superbatch.pipelines.search.inputs import asking
from superbatch.reporting.search.answers import Answer, Hit
from superbatch.reporting.search.page import Searcher, SearchPage, room_on_page
from superbatch.reporting.search.sheets import Sheets, write_sheets
from superbatch.tasks.pictures import PicturePixels, Pictures, SearchedSet, shuffled
from superbatch.tasks.search import SearchIndex, embed_queries, unknown_words
from superbatch.tasks.words import SEPARATORS, STOP_WORDS, words_of

TILE = 48  # pixels a side of the page's small pictures, at most
THUMBNAIL = 96  # of those that were found


def write_small(sets: Sequence[SearchedSet], count: int, out: Path) -> None:
    """Write small pictures of a random sample for the page; `out` has the pictures already.

    Args:
        sets: those that are searched.
        count: how many, at most.
        out: the directory.
    """
    pictures = Pictures(out)
    widths = np.concatenate([np.asarray(one.manifest.column("width")) for one in sets])
    tile = int(min(TILE, np.median(widths))) if len(widths) else TILE
    readers = [ImageReader(one.manifest, tile) for one in sets]
    write_sheets(PicturePixels(pictures, readers).read, shuffled(len(pictures), count), tile, out)


class Search:
    """A search under way.

    Args:
        settings: what is searched.
        pictures, sets: where.
        found: checkpoint and images of each of the settings' runs in turn.
        queries: what is asked for.
    """

    def __init__(
        self,
        settings: SearchSettings,
        pictures: Pictures,
        sets: Sequence[SearchedSet],
        found: Sequence[Path],
        queries: Sequence[str],
    ) -> None:
        self.settings, self.pictures, self.sets, self.queries = settings, pictures, sets, list(queries)
        self.models = dict(zip(settings.runs, found[::2], strict=True))
        self.indexes = {run: SearchIndex(path) for run, path in zip(settings.runs, found[1::2], strict=True)}

    @cached_property
    def texts(self) -> dict[str, Tensor]:
        """The queries as each run embeds them, float32 (Q, D)."""
        return {run: embed_queries(load_checkpoint(path), self.queries) for run, path in self.models.items()}

    @property
    def where(self) -> str:
        """A sentence on what is searched."""
        drawn = "a random sample of " if self.settings.limit is not None else ""
        names = " and ".join(self.settings.sets)
        return (
            f"Searched: {drawn}{len(self.pictures):,} different pictures of {names}, by {' beside '.join(self.models)}."
        )

    @cached_property
    def answers(self) -> list[Answer]:
        """The nearest pictures to each query by each run."""
        ranked = {run: self.indexes[run].rank(self.texts[run], self.settings.top) for run in self.models}
        captions = self.pictures.captions()
        return [
            Answer(
                query,
                {run: self._hits(numbers[q], cosines[q]) for run, (numbers, cosines) in ranked.items()},
                tuple(unknown_words(query, captions)),
            )
            for q, query in enumerate(self.queries)
        ]

    def _hits(self, numbers: np.ndarray, cosines: np.ndarray) -> list[Hit]:
        images, rows = self._thumbnails.read(numbers), self.pictures.rows[numbers].tolist()
        captions, names = self.pictures.captions(numbers), self._names(numbers)
        return [Hit(*hit) for hit in zip(cosines.tolist(), captions, names, rows, images, strict=True)]

    @cached_property
    def _thumbnails(self) -> PicturePixels:
        return PicturePixels(self.pictures, [ImageReader(one.manifest, THUMBNAIL) for one in self.sets])

    def _names(self, numbers: np.ndarray) -> list[str]:
        return [self.pictures.set_names[number] for number in self.pictures.set_numbers[numbers]]

    def page(self, title: str, command: str) -> SearchPage:
        """Make the page of it.

        Args:
            title: of the project. command: what makes this run again.
        """
        sheets = Sheets.read(self.pictures.directory).first(self._room)
        known = set(self.pictures.words)
        new = [q for q, words in enumerate(self._asked) if words and words not in known]
        return SearchPage(
            title,
            self.answers,
            [self._searcher(run, sheets.numbers, new) for run in self.models],
            [*self.pictures.words, *(self._asked[q] for q in new)],
            SEPARATORS,
            sorted(STOP_WORDS),
            sheets,
            self.pictures.captions(sheets.numbers),
            self._names(sheets.numbers),
            total=len(self.pictures),
            top=self.settings.top,
            where=self.where,
            command=asking(command),
        )

    @property
    def _asked(self) -> list[str]:
        """The queries as the page looks them up."""
        return [" ".join(words_of(query)) for query in self.queries]

    @property
    def _room(self) -> int:
        return room_on_page([index.images.shape[1] for index in self.indexes.values()])

    def _searcher(self, run: str, numbers: np.ndarray, new: list[int]) -> Searcher:
        own = self.indexes[run]
        return Searcher(run, own.images[numbers], np.concatenate([own.words, self.texts[run].numpy()[new]]))
