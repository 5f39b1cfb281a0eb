"""Nodes of the stage `search`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged, build_once, read_stamp
from superbatch.config import ReportSettings, Storage, read
from superbatch.errors import UserError
from superbatch.options import SearchSettings

FORMAT = 1  # raised when the same inputs give other pictures, words or embeddings
log = logging.getLogger(__name__)


def gather(
    pool: Path, curated: Path, evaluation_sets: Path, features: Path, settings: dict[str, Any], storage: dict[str, Any]
) -> Staged:
    """List the distinct pictures of the sets that are searched, with the words of their captions and small pictures for the page.

    Args:
        pool, curated, evaluation_sets, features: the ingested sets, and the pool's features.
        settings: `params:search` -> `options.SearchSettings`.
        storage: `params:storage`.
    """
    search, places = read(SearchSettings, settings, "search"), read(Storage, storage, "storage")
    from superbatch.evaluation import load_evaluation_sets
    from superbatch.pipelines.search.inputs import SPLIT, class_names, open_sets
    from superbatch.pipelines.search.showing import write_small
    from superbatch.tasks.pictures import write_pictures

    sets = open_sets(search, pool, curated, features, evaluation_sets)
    names = class_names(load_evaluation_sets(evaluation_sets, SPLIT))

    def write(out: Path) -> None:
        write_pictures(sets, names, out, limit=search.limit, words=search.words)
        write_small(sets, search.page_pictures, out)

    known = [[one.name, one.manifest.fingerprint] for one in sets]
    decides = ["search pictures", FORMAT, known, names, search.limit, search.words, search.page_pictures]
    return build_once("search pictures", fingerprint(decides), Path(places.stages), write)


def index(
    run: str, model: Path, pictures: Path, pool: Path, curated: Path, evaluation_sets: Path, features: Path,
    settings: dict[str, Any], storage: dict[str, Any],
) -> Staged:  # fmt: skip
    """Embed the pictures, and the words that the page knows, with a run's model.

    Args:
        run: its name, bound by the pipeline.
        model: its checkpoint.
        pictures: what `gather` made.
        pool, curated, evaluation_sets, features: the ingested sets, and the pool's features.
        settings: `params:search`.
        storage: `params:storage`.
    """
    search, places = read(SearchSettings, settings, "search"), read(Storage, storage, "storage")
    from superbatch.models import load_checkpoint, read_metadata
    from superbatch.models.classifier import is_classifier
    from superbatch.models.headed import is_image_only
    from superbatch.pipelines.search.inputs import open_sets, pixels_for
    from superbatch.tasks.pictures import Pictures
    from superbatch.tasks.search import write_index
    from superbatch.tasks.view import preprocessing, shell

    if is_classifier(model) or is_image_only(model):
        what = f"{run!r} was trained without texts, so it has no text tower to search by"
        raise UserError("search.runs", what, "name runs of image-text pairs, such as jest")

    def write(out: Path) -> None:
        clip, found = load_checkpoint(model), Pictures(pictures)
        pixels = pixels_for(clip, found, open_sets(search, pool, curated, features, evaluation_sets))
        write_index(clip, pixels, len(found), found.words, out, name=run, batch=search.batch, device=search.device)

    weights = read_metadata(model)["weights_sha256"]
    decides = ["search index", FORMAT, run, weights, preprocessing(shell(model)), read_stamp(pictures), search.batch]
    return build_once(f"{run} images", fingerprint(decides), Path(places.stages), write)


def answer(
    pictures: Path, pool: Path, curated: Path, evaluation_sets: Path, features: Path, settings: dict[str, Any],
    report: dict[str, Any], command: str, *found: Path,
) -> dict[str, Any]:  # fmt: skip
    """Find the pictures nearest to the queries by each run.

    Args:
        pictures: what `gather` made.
        pool, curated, evaluation_sets, features: the ingested sets, and the pool's features.
        settings: `params:search`.
        report: `params:report`, for the title.
        command: what makes this run again.
        found: checkpoint and images of each run in turn.

    Returns:
        `summary` (text), `table` (data frame), `sheet` (picture), `page` (HTML).
    """
    from superbatch.pipelines.search.inputs import open_sets, queries_of
    from superbatch.pipelines.search.showing import Search
    from superbatch.reporting.search.answers import console_text, frame
    from superbatch.reporting.search.contact_sheet import contact_sheet
    from superbatch.reporting.search.page import render_page
    from superbatch.tasks.pictures import Pictures

    search = read(SearchSettings, settings, "search")
    sets = open_sets(search, pool, curated, features, evaluation_sets)
    listed = Pictures(pictures)
    made = Search(search, listed, sets, found, queries_of(search, evaluation_sets, listed.words))
    page = render_page(made.page(read(ReportSettings, report, "report").title, command))
    log.info("search page: %.1f MB", len(page) / 1e6)
    return {
        "summary": console_text(made.answers, made.where) + "\n",
        "table": frame(made.answers),
        "sheet": contact_sheet(made.answers),
        "page": page,
    }
