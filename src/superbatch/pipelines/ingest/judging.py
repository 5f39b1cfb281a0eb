"""How the stage `ingest` judges a set it has read: expectations, their severity, Data Docs, and what is kept of a set that is refused."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import atomic_directory, write_json
from superbatch.artifacts.stamps import read_stamp, write_stamp
from superbatch.config import Thresholds
from superbatch.errors import DiskFull, UserError

log = logging.getLogger(__name__)
EXPECTATIONS = "expectations.json"  # what Great Expectations found, beside the manifest


@dataclass(frozen=True)
class Judged:
    """A set that a stage judges: its key in the settings, its thresholds, its folder in the stage."""

    setting: str
    expect: Thresholds
    place: Path = Path()


def plain(expect: Thresholds) -> dict[str, dict[str, Any] | None]:
    """Return thresholds as they were given: what counts for a stage's fingerprint, and what the core takes."""
    return {
        statistic: None if threshold is None else threshold.model_dump(exclude_unset=True)
        for statistic, threshold in expect.items()
    }


def check(sets: list[Judged]) -> None:
    """Check the thresholds of sets before hours are spent on reading them.

    Raises:
        UserError: a statistic that there isn't, or bounds that make no sense.
    """
    from superbatch.curation.statistics import check_thresholds, with_defaults

    for one in sets:
        check_thresholds(with_defaults(plain(one.expect)), f"{one.setting}.expect")


def validate(name: str, summary: Mapping[str, Any], expect: Thresholds, out: Path) -> None:
    """Judge a set through Great Expectations, write what it found, warn, and stop on a set that fails.

    Raises:
        UserError: an expectation of severity `stop` that is not met.
    """
    from superbatch.curation.expectations import require_valid, validate_set
    from superbatch.curation.statistics import with_defaults
    from superbatch.data.manifest import REJECTS_FILE

    log.info("%s: %s", name, told(summary))
    found = validate_set(out, with_defaults(plain(expect)), f"{name}.expect")
    write_json(out / EXPECTATIONS, found)
    for statistic, line in found["warnings"].items():
        log.warning("%s: %s; the run continues (%s.expect.%s.severity)", name, line, name, statistic)
    require_valid(name, found, out / REJECTS_FILE)


def told(summary: Mapping[str, Any]) -> str:
    """Say in one line what became of a set's samples: `39,600 rows; 400 rejected (caption_empty 111, ...); alpha 12`."""
    rejected = _counts(summary["rejected_by_reason"])
    line = f"{summary['rows']:,} rows; {summary['rejected']:,} rejected{f' ({rejected})' if rejected else ''}"
    unread = _counts(summary["unread_shards_by_reason"])
    line += f"; shards not read whole: {unread}" if unread else ""
    return f"{line}; {_counts(summary['notes'])}" if summary["notes"] else line


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


@contextmanager
def kept_if_refused(out: Path, place: Path) -> Iterator[None]:
    """Keep what was found about a set that is refused: rejects and reasons, which the message then names where they lie.

    Args:
        out: where the set is being built; it is removed when the error passes.
        place: where its files are kept until the next refusal.
    """
    try:
        yield
    except DiskFull:
        raise
    except UserError as error:
        with atomic_directory(place) as directory:
            shutil.copytree(out, directory, dirs_exist_ok=True)
        raise UserError(
            *(part.replace(str(out), str(place)) for part in (error.where, error.what, error.remedy))
        ) from None


def write_docs(target: Path, fingerprint: str, folder: Path, sets: list[Judged]) -> None:
    """Write the Data Docs of some sets, unless those that are there were made of the same.

    Args:
        target: gets `index.html` and the pages behind it, whole.
        fingerprint: of the stage that read the sets.
        folder: where the sets lie, each with its `summary.json`; one without (reading stopped before it) is left out.
        sets: their thresholds.
    """
    from superbatch.curation.statistics import with_defaults
    from superbatch.data.manifest import SUMMARY_FILE

    found = {
        ".".join([one.setting, *one.place.parts[1:]]): (
            folder / one.place,
            with_defaults(plain(one.expect)),
        )
        for one in sets
        if (folder / one.place / SUMMARY_FILE).is_file()
    }
    if not found or read_stamp(target) == fingerprint:
        return
    from superbatch.curation.expectations import write_data_docs

    with atomic_directory(target) as directory:
        write_data_docs(directory, found)
        write_stamp(directory, fingerprint)
    log.info("Data Docs: %s", target / "index.html")
